//! Certificates: read from files, chosen by name, checked as clients check them, or made for development.

mod development;
mod pem;
mod table;
mod ticket_keys;
mod verify;

pub use development::{DEVELOPMENT_NAMES, DevelopmentCertificates};
pub(crate) use pem::private_key;
pub use pem::{PemError, certificates as read_certificates};
pub use table::{CertificateError, CertificateTable};
pub use ticket_keys::{TicketKeysError, ticket_keys};
pub use verify::{VerifyError, verify_files};
