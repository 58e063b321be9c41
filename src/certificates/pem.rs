//! PEM files: the one place that uses rustls-pemfile.
//!
//! The crate is marked unmaintained (RUSTSEC-2025-0134): it is a thin shell over rustls-pki-types, which is maintained
//! and does the parsing. It is wanted here; `deny.toml` says so too.

use std::fs::File;
use std::io::{self, BufReader};
use std::path::{Path, PathBuf};

use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use crate::config::remedy;

/// Why a PEM file cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PemError {
    /// Opening, reading or decoding failed.
    #[error("cannot read {}{}", path.display(), remedy(path, source))]
    Read {
        /// The file.
        path: PathBuf,
        /// What went wrong.
        #[source]
        source: io::Error,
    },
    /// The file holds nothing of the kind that is wanted.
    #[error("{} holds no {wanted} in PEM form", path.display())]
    Missing {
        /// The file.
        path: PathBuf,
        /// What was looked for.
        wanted: &'static str,
    },
}

/// Every certificate of the file, in order.
///
/// # Errors
/// When the file cannot be read or holds none.
pub fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, PemError> {
    let certificates: Vec<_> = rustls_pemfile::certs(&mut open(path)?)
        .collect::<Result<_, _>>()
        .map_err(|source| PemError::Read {
            path: path.into(),
            source,
        })?;
    if certificates.is_empty() {
        return Err(PemError::Missing {
            path: path.into(),
            wanted: "certificate",
        });
    }
    Ok(certificates)
}

/// The first private key of the file: PKCS #8, PKCS #1 or SEC1.
pub(crate) fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>, PemError> {
    rustls_pemfile::private_key(&mut open(path)?)
        .map_err(|source| PemError::Read {
            path: path.into(),
            source,
        })?
        .ok_or_else(|| PemError::Missing {
            path: path.into(),
            wanted: "private key",
        })
}

fn open(path: &Path) -> Result<BufReader<File>, PemError> {
    File::open(path).map(BufReader::new).map_err(|source| PemError::Read {
        path: path.into(),
        source,
    })
}
