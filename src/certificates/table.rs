//! Which certificate a client gets.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;

use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use x509_parser::error::X509Error;
use x509_parser::prelude::{FromDer, X509Certificate};

use super::DEVELOPMENT_NAMES;
use super::pem::{self, PemError};
use crate::config::CertificateFiles;

/// Why a certificate cannot be served.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CertificateError {
    /// A file cannot be used.
    #[error(transparent)]
    Pem(#[from] PemError),
    /// The key is of a kind that TLS here does not know, or belongs to another certificate.
    #[error("{} and {} do not go together, or are of a kind that is not supported", cert.display(), key.display())]
    Pair {
        /// The certificate chain.
        cert: PathBuf,
        /// The private key.
        key: PathBuf,
        /// What rustls says.
        #[source]
        source: rustls::Error,
    },
    /// The certificate is no X.509 version 3 certificate with names in it.
    #[error("{} is no certificate that a server can use", cert.display())]
    Names {
        /// The certificate chain.
        cert: PathBuf,
        /// What webpki says.
        #[source]
        source: webpki::Error,
    },
    /// A certificate of the chain is no X.509.
    #[error("{} holds a certificate of which nobody can tell how long it is valid", cert.display())]
    Validity {
        /// The certificate chain.
        cert: PathBuf,
        /// What the parser says.
        #[source]
        source: X509Error,
    },
    /// The list is empty.
    #[error("no certificate is configured")]
    None,
}

/// Chooses a certificate by SNI: by exact name, then by wildcard, else the first of the config.
#[derive(Debug)]
pub struct CertificateTable {
    /// Lower-case names, wildcards as `*.example.org`.
    by_name: HashMap<String, Arc<CertifiedKey>>,
    default: Arc<CertifiedKey>,
    /// End of validity of the one that ends first, in seconds since 1970; chains included.
    first_expiry: i64,
}

impl CertificateTable {
    /// Reads the files of the config. The first certificate that has a name serves it.
    ///
    /// # Errors
    /// When a file cannot be read, or key and certificate do not go together.
    pub fn load(files: &[CertificateFiles], provider: &CryptoProvider) -> Result<Self, CertificateError> {
        let mut by_name = HashMap::new();
        let mut default = None;
        let mut first_expiry = i64::MAX;
        for CertificateFiles { cert, key } in files {
            let chain = pem::certificates(cert)?;
            let names = names(&chain[0]).map_err(|source| CertificateError::Names {
                cert: cert.clone(),
                source,
            })?;
            let expiry = expiry(&chain).map_err(|source| CertificateError::Validity {
                cert: cert.clone(),
                source,
            })?;
            first_expiry = first_expiry.min(expiry);
            let certified =
                certify(chain, pem::private_key(key)?, provider).map_err(|source| CertificateError::Pair {
                    cert: cert.clone(),
                    key: key.clone(),
                    source,
                })?;
            let certified = Arc::new(certified);
            for name in names {
                by_name.entry(name).or_insert_with(|| Arc::clone(&certified));
            }
            default.get_or_insert(certified);
        }
        Ok(Self {
            by_name,
            default: default.ok_or(CertificateError::None)?,
            first_expiry,
        })
    }

    /// One certificate for every name.
    ///
    /// # Errors
    /// When key and certificate do not go together.
    pub fn single(
        chain: Vec<CertificateDer<'static>>,
        key: PrivateKeyDer<'static>,
        provider: &CryptoProvider,
    ) -> Result<Self, rustls::Error> {
        // Callers made the certificate themselves; one that cannot be read counts as one that does not expire.
        let first_expiry = expiry(&chain).unwrap_or(i64::MAX);
        Ok(Self {
            by_name: HashMap::new(),
            first_expiry,
            default: Arc::new(certify(chain, key, provider)?),
        })
    }

    /// A certificate made now, for [`DEVELOPMENT_NAMES`].
    ///
    /// # Panics
    /// When the system has no randomness to give.
    #[must_use]
    pub fn self_signed(provider: &CryptoProvider) -> Self {
        let made = rcgen::generate_simple_self_signed(DEVELOPMENT_NAMES.map(String::from).to_vec())
            .expect("the names are valid and there is randomness");
        let key = PrivateKeyDer::Pkcs8(made.signing_key.serialize_der().into());
        Self::single(vec![made.cert.der().clone()], key, provider).expect("the key was made for the certificate")
    }

    /// When the first of the certificates, those of the authorities in the chains included, ends to be valid: seconds
    /// since 1970.
    #[must_use]
    pub fn first_expiry(&self) -> i64 {
        self.first_expiry
    }

    fn choose(&self, server_name: Option<&str>) -> Arc<CertifiedKey> {
        let named = server_name.and_then(|name| {
            let name = name.to_ascii_lowercase();
            let wildcard = name.split_once('.').map(|(_, parent)| format!("*.{parent}"));
            self.by_name.get(&name).or_else(|| self.by_name.get(&wildcard?))
        });
        Arc::clone(named.unwrap_or(&self.default))
    }
}

impl ResolvesServerCert for CertificateTable {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.choose(hello.server_name()))
    }
}

fn certify(
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
    provider: &CryptoProvider,
) -> Result<CertifiedKey, rustls::Error> {
    CertifiedKey::from_der(chain, key, provider)
}

fn names(certificate: &CertificateDer<'_>) -> Result<Vec<String>, webpki::Error> {
    let parsed = webpki::EndEntityCert::try_from(certificate)?;
    Ok(parsed.valid_dns_names().map(str::to_ascii_lowercase).collect())
}

/// End of validity of the certificate of the chain that ends first, in seconds since 1970.
fn expiry(chain: &[CertificateDer<'_>]) -> Result<i64, X509Error> {
    chain.iter().try_fold(i64::MAX, |first, certificate| {
        let (_, parsed) = X509Certificate::from_der(certificate).map_err(X509Error::from)?;
        Ok(first.min(parsed.validity().not_after.timestamp()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(names: &[&[&str]]) -> (CertificateTable, tempfile::TempDir) {
        let folder = tempfile::tempdir().unwrap();
        let files: Vec<_> = names
            .iter()
            .enumerate()
            .map(|(i, names)| {
                let made =
                    rcgen::generate_simple_self_signed(names.iter().map(ToString::to_string).collect::<Vec<_>>());
                let made = made.unwrap();
                let cert = folder.path().join(format!("{i}.pem"));
                let key = folder.path().join(format!("{i}-key.pem"));
                std::fs::write(&cert, made.cert.pem()).unwrap();
                std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();
                CertificateFiles { cert, key }
            })
            .collect();
        let provider = rustls::crypto::aws_lc_rs::default_provider();
        (CertificateTable::load(&files, &provider).unwrap(), folder)
    }

    fn chosen(table: &CertificateTable, name: Option<&str>) -> Vec<String> {
        names(&table.choose(name).cert[0]).unwrap()
    }

    #[test]
    fn a_name_is_served_exactly_then_by_wildcard_then_by_the_first() {
        let (table, _folder) = table(&[&["first.test"], &["*.wild.test"], &["exact.wild.test"]]);
        assert_eq!(chosen(&table, Some("EXACT.wild.test")), ["exact.wild.test"]);
        assert_eq!(chosen(&table, Some("other.wild.test")), ["*.wild.test"]);
        assert_eq!(chosen(&table, Some("a.b.wild.test")), ["first.test"]);
        assert_eq!(chosen(&table, None), ["first.test"]);
    }

    #[test]
    fn a_key_of_another_certificate_is_refused_with_both_names() {
        let (_, folder) = table(&[&["a.test"], &["b.test"]]);
        let files = [CertificateFiles {
            cert: folder.path().join("0.pem"),
            key: folder.path().join("1-key.pem"),
        }];
        let provider = rustls::crypto::aws_lc_rs::default_provider();
        let error = CertificateTable::load(&files, &provider)
            .expect_err("they do not match")
            .to_string();
        assert!(error.contains("0.pem") && error.contains("1-key.pem"), "{error}");
    }

    #[test]
    fn the_first_expiry_is_that_of_any_certificate_of_any_chain() {
        let until = |day: i64| {
            let mut params = rcgen::CertificateParams::new(["a.test".to_owned()]).unwrap();
            params.not_after = rcgen::date_time_ymd(2030, 1, 1) + std::time::Duration::from_secs(86400 * day as u64);
            let key = rcgen::KeyPair::generate().unwrap();
            (params.self_signed(&key).unwrap(), key)
        };
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str, text: &str| {
            let path = folder.path().join(name);
            std::fs::write(&path, text).unwrap();
            path
        };
        let (late, late_key) = until(9);
        let (leaf, leaf_key) = until(6);
        let (authority, _) = until(3);
        let files = [
            CertificateFiles {
                cert: file("late.pem", &late.pem()),
                key: file("late-key.pem", &late_key.serialize_pem()),
            },
            CertificateFiles {
                cert: file("chain.pem", &(leaf.pem() + &authority.pem())),
                key: file("chain-key.pem", &leaf_key.serialize_pem()),
            },
        ];
        let provider = rustls::crypto::aws_lc_rs::default_provider();
        let table = CertificateTable::load(&files, &provider).unwrap();
        // 2030-01-04, from `date -ud 2030-01-04 +%s`.
        assert_eq!(table.first_expiry(), 1_893_715_200);
    }
}
