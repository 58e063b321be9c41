//! `[tls]`: certificates, and how clients shake hands.

use std::path::{Path, PathBuf};
use std::time::Duration;

use headpin_labels::labels;
use headpin_settings::kind::{LONGEST, SHORTEST, choice, duration, file, inline_table, list, optional};
use headpin_settings::settings;

const CERTIFICATE: &str = r#"{ cert = "../certs/localhost.pem", key = "../certs/localhost-key.pem" }"#;
const CERTIFICATES: &str = r#"[{ cert = "../certs/localhost.pem", key = "../certs/localhost-key.pem" }]"#;

labels! {
    /// A version of TLS.
    TlsVersion {
        /// RFC 5246.
        V1_2 = "1.2",
        /// RFC 8446.
        V1_3 = "1.3",
    }
}

settings! {
    /// Certificates, and how clients shake hands.
    pub struct TlsConfig {
        /// PEM files: the chain with the server's own certificate first, and its key. The name that a client asks for chooses
        /// between several; the first is for all other clients. `headpin certs` makes these for development.
        certificates: Vec<CertificateFiles> = list(inline_table::<CertificateFiles>(CERTIFICATE), CERTIFICATES).not_empty(),
            required(CERTIFICATES), at_reload;
        /// The oldest TLS version that is spoken, "1.2" or "1.3". Clients with only older ones fail their handshake.
        min_version: TlsVersion = choice(), default(TlsVersion::V1_2), at_reload;
        /// File with the keys of session tickets, for several proxies whose clients come back to any of them: a line for each key,
        /// the seconds since 1970 from which it seals and 64 hexadecimal digits. It is read again when it changes. A key opens
        /// for 12 hours after the next one began to seal. Left out: keys are made here, replaced every 6 hours, and go to a
        /// successor.
        ticket_keys: Option<PathBuf> = optional(file(None)), left_out(r#""ticket-keys.txt""#), at_reload;
        /// From the accepted connection to the end of its handshake; then it is cut. The default is several round trips on a
        /// bad line, and short for whoever opens connections to hold them.
        handshake_timeout: Duration = duration(SHORTEST..=LONGEST), default(Duration::from_secs(10)), at_reload;
    }
}

settings! {
    /// The two PEM files of a certificate.
    pub struct CertificateFiles {
        /// The chain, the server's own certificate first.
        cert: PathBuf = file(Some(for_trying_out)), required(r#""../certs/localhost.pem""#), at_reload;
        /// The private key of the chain's first certificate.
        key: PathBuf = file(None), required(r#""../certs/localhost-key.pem""#), at_reload;
    }
}

/// What makes the file that the shipped configs name: `headpin certs` writes it under this name.
fn for_trying_out(path: &Path) -> Option<String> {
    let folder = path.parent()?.display();
    (path.file_name()? == "localhost.pem")
        .then(|| format!("for trying it out, `headpin certs --out {folder}` makes one"))
}
