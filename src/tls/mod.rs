//! TLS on the downstream side, terminated into slabs.

mod acceptor;
mod certificates;
mod development;
mod error;
mod pem;
mod session;
mod stream;

pub use acceptor::TlsAcceptor;
pub use certificates::{CertificateError, CertificateTable};
pub use development::{DEVELOPMENT_NAMES, DevelopmentCertificates};
pub use error::HandshakeError;
pub use pem::{PemError, certificates as read_certificates};
pub(crate) use session::Session;
pub use stream::{SlabStream, TlsBuffers};

#[cfg(test)]
mod tests;
