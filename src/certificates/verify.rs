//! Whether clients accept the certificates in files.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::RootCertStore;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier as _;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::{ServerName, UnixTime};

use super::pem::{self, PemError};
use super::table::{CertificateError, CertificateTable};
use crate::config::CertificateFiles;

/// Why clients do not accept a certificate.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum VerifyError {
    /// It cannot be served, or not with this key.
    #[error(transparent)]
    Certificate(#[from] CertificateError),
    /// The authority's file cannot be used.
    #[error(transparent)]
    Pem(#[from] PemError),
    /// A client that trusts the authority refuses it: not its certificate, not this name, not now.
    #[error("{} is refused by clients that ask for {name:?}", cert.display())]
    Refused {
        /// The certificate.
        cert: PathBuf,
        /// The name they ask for.
        name: String,
        /// What they say.
        #[source]
        source: rustls::Error,
    },
    /// It is not a name.
    #[error("{0:?} is neither a host name nor an address")]
    Name(String),
}

/// Checks that `files` can be served now to clients that trust the authority in `ca`, under each of `names`.
///
/// # Errors
/// [`VerifyError`], the first that is found.
pub fn verify_files<'n>(
    files: &CertificateFiles,
    ca: &Path,
    names: impl IntoIterator<Item = &'n str>,
) -> Result<(), VerifyError> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    CertificateTable::load(std::slice::from_ref(files), &provider)?;
    let chain = pem::certificates(&files.cert)?;
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(pem::certificates(ca)?);
    let refused = |name: &str, source| VerifyError::Refused {
        cert: files.cert.clone(),
        name: name.to_owned(),
        source,
    };
    let verifier = WebPkiServerVerifier::builder_with_provider(roots.into(), provider)
        .build()
        .map_err(|error| refused("anything", rustls::Error::General(error.to_string())))?;
    for name in names {
        let server = ServerName::try_from(name).map_err(|_| VerifyError::Name(name.to_owned()))?;
        verifier
            .verify_server_cert(&chain[0], &chain[1..], &server, &[], UnixTime::now())
            .map_err(|source| refused(name, source))?;
    }
    Ok(())
}
