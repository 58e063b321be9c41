//! TLS on the downstream side, terminated into slabs.

mod acceptor;
mod certificates;
mod error;
mod pem;
mod session;
mod stream;

pub use acceptor::TlsAcceptor;
pub use certificates::{CertificateError, CertificateTable};
pub use error::HandshakeError;
pub use pem::PemError;
pub use stream::{SlabStream, TlsBuffers};
