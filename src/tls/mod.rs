//! TLS on the downstream side, terminated into slabs.

mod acceptor;
mod certificates;
mod development;
mod error;
mod outgoing;
mod pem;
mod pieces;
mod records;
mod session;
mod stream;
mod traffic;
mod unbuffered;
mod verify;

pub use acceptor::TlsAcceptor;
pub use certificates::{CertificateError, CertificateTable};
pub use development::{DEVELOPMENT_NAMES, DevelopmentCertificates};
pub use error::HandshakeError;
pub use pem::{PemError, certificates as read_certificates};
pub(crate) use session::Session;
pub use stream::{SlabStream, TlsBuffers};
pub use verify::{VerifyError, verify_files};

#[cfg(any(test, fuzzing))]
mod tests;

/// Plays `bytes` as traffic to the record layer and to that of rustls.
///
/// # Panics
/// If they make different things of it.
#[cfg(fuzzing)]
pub fn fuzz_records(bytes: &[u8]) {
    tests::differential::fuzz_one(bytes);
}
