//! `[admin]`: where metrics, health and the live page are served, and under which names.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;
use std::time::Duration;

use headpin_settings::kind::{address, duration, list, parsed};
use headpin_settings::{Layer, NamedFiles, Settings as _, SettingsError, settings};

use super::admin_host::AdminHost;

const LISTEN: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 9900);

const HOSTS: &str = r#"["headpin.internal", "headpin.internal:9900"]"#;
const HOST: &str = r#"a host name such as "headpin.internal" or "headpin.internal:9900", without scheme and path"#;

const SHORTEST: Duration = Duration::from_millis(100);
const LONGEST: Duration = Duration::from_secs(60 * 60);

settings! {
    /// Where metrics, health and the live page are served.
    pub struct AdminConfig {
        /// Where metrics, health and the live page are served: IP address and port. Whoever reaches it can drain the
        /// proxy and change its head policy, so it is on loopback.
        listen: SocketAddr = address(LISTEN), default(LISTEN), at_start;
        /// Names that admin requests may come by, such as "headpin.internal" (any port) or "headpin.internal:9900", for a
        /// browser, curl or a reverse proxy that uses a name. "localhost" and IP addresses need no entry. A request by any other
        /// name, or from a web page of another origin, is answered 403: else a page that somebody merely visits could steer the
        /// proxy (DNS rebinding, CSRF). /metrics, /livez and /readyz change nothing and are answered by every name, so that
        /// Prometheus and probes need no entry.
        hosts: Vec<AdminHost> = list(parsed::<AdminHost>(HOST), HOSTS), default(Vec::new()), at_start;
        /// How long a client may take to read a heap snapshot or a heap profile; then its memory is freed, and the next
        /// client may ask.
        dump_timeout: Duration = duration(SHORTEST..=LONGEST), default(Duration::from_secs(60)), at_start;
    }
}

impl AdminConfig {
    /// Reads `[admin]` of `text`, which stands in the file at `path`, and nothing else of it: for whoever only asks a
    /// running proxy, and is not to stumble over faults elsewhere.
    ///
    /// # Errors
    ///
    /// The text is not TOML; else all faults of the section.
    pub fn parse(text: &str, path: &Path) -> Result<Self, SettingsError> {
        let file = vec![Layer::file(path, text)];
        headpin_settings::read(file, NamedFiles::NotLookedAt, |mut file, _| {
            Self::read(file.section("admin"))
        })
    }
}
