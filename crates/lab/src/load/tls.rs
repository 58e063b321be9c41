//! Whom the generator trusts, and how it speaks TLS.

use std::sync::Arc;

use rustls::client::Resumption;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CipherSuite, ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};

use super::fault::LoadError;
use super::plan::{Resume, Trust};

/// Sessions that are kept for resumption; more than any number of parallel connections uses at once.
const SESSIONS_KEPT: usize = 256;

/// The one configuration that all connections of a run share.
pub(super) fn client_config(trust: &Trust, resume: Resume) -> Result<Arc<ClientConfig>, LoadError> {
    let provider = Arc::new(provider());
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider)).with_safe_default_protocol_versions()?;
    let builder = match trust {
        Trust::Anyone => builder
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(TrustAnyone(provider))),
        Trust::Ca(path) => {
            let refused = |source| LoadError::Ca {
                path: path.clone(),
                source,
            };
            let mut roots = RootCertStore::empty();
            for certificate in CertificateDer::pem_file_iter(path).map_err(|error| refused(error.into()))? {
                let certificate = certificate.map_err(|error| refused(error.into()))?;
                roots.add(certificate).map_err(|error| refused(error.into()))?;
            }
            if roots.is_empty() {
                return Err(refused("it holds none".into()));
            }
            builder.with_root_certificates(roots)
        }
        Trust::System => {
            let mut roots = RootCertStore::empty();
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
            builder.with_root_certificates(roots)
        }
    };
    let mut config = builder.with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    // For the record layer; they do not leave the process.
    config.enable_secret_extraction = true;
    config.key_log = headpin_tls::secret_tap();
    config.resumption = match resume {
        Resume::Never => Resumption::disabled(),
        Resume::Tickets => Resumption::in_memory_sessions(SESSIONS_KEPT),
    };
    Ok(Arc::new(config))
}

/// Prefers AES-128, as browsers do and rustls does not: a server follows its client, and SHA-384, which comes with AES-256,
/// takes a tenth of a handshake.
fn provider() -> CryptoProvider {
    let mut provider = aws_lc_rs::default_provider();
    let suites = &mut provider.cipher_suites;
    suites.sort_by_key(|suite| suite.suite() != CipherSuite::TLS13_AES_128_GCM_SHA256);
    provider
}

/// The name that the target's certificate must have.
pub(super) fn server_name(host: &str) -> Result<ServerName<'static>, LoadError> {
    ServerName::try_from(host.to_owned()).map_err(|_| {
        LoadError::Tls(Error::General(format!(
            "{host:?} is no name that a certificate can have"
        )))
    })
}

/// `--insecure`: any certificate will do, but who holds it must still prove that they hold its key.
#[derive(Debug)]
struct TrustAnyone(Arc<CryptoProvider>);

impl ServerCertVerifier for TrustAnyone {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, cert, dss, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, cert, dss, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
