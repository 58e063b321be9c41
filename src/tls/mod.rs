//! TLS on the downstream side, terminated into slabs.

mod acceptor;
mod certificates;
mod development;
mod error;
mod good;
mod pem;
mod session;
mod stream;

pub use acceptor::TlsAcceptor;
pub use certificates::{CertificateError, CertificateTable};
pub use development::{DEVELOPMENT_NAMES, DevelopmentCertificates};
pub use error::HandshakeError;
pub use good::{NotGood, is_good};
pub use pem::{PemError, certificates as read_certificates};
pub use stream::{SlabStream, TlsBuffers};

#[cfg(test)]
mod tests;
