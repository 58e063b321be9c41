//! Certificates for development: made here, trusted by nobody else.

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose,
};

/// Names that a development certificate is for.
pub const DEVELOPMENT_NAMES: [&str; 3] = ["localhost", "127.0.0.1", "::1"];

/// A development authority and a certificate of it, in PEM form.
#[derive(Debug, Clone)]
pub struct DevelopmentCertificates {
    /// The authority's certificate: what clients are to trust.
    pub ca: String,
    /// The authority's key.
    pub ca_key: String,
    /// The server's certificate, for [`DEVELOPMENT_NAMES`].
    pub leaf: String,
    /// The server's key.
    pub leaf_key: String,
}

impl DevelopmentCertificates {
    /// Makes a new authority and a certificate for `names`: host names and addresses.
    ///
    /// # Errors
    /// When a name is neither, or there is no randomness.
    pub fn make(names: impl IntoIterator<Item = impl Into<String>>) -> Result<Self, rcgen::Error> {
        let mut ca = CertificateParams::new(Vec::new())?;
        ca.distinguished_name.push(DnType::CommonName, "headpin development CA");
        ca.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        ca.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let ca = CertifiedIssuer::self_signed(ca, KeyPair::generate()?)?;

        let names: Vec<String> = names.into_iter().map(Into::into).collect();
        let mut leaf = CertificateParams::new(names)?;
        leaf.distinguished_name.push(DnType::CommonName, "headpin development");
        leaf.use_authority_key_identifier_extension = true;
        leaf.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        leaf.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        let leaf_key = KeyPair::generate()?;
        let leaf = leaf.signed_by(&leaf_key, &ca)?;
        Ok(Self {
            ca: ca.pem(),
            ca_key: ca.key().serialize_pem(),
            leaf: leaf.pem(),
            leaf_key: leaf_key.serialize_pem(),
        })
    }
}
