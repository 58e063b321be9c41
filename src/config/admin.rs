//! `[admin]`: where metrics, health and the live page are served, and under which names.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;
use std::time::Duration;

use super::admin_host::AdminHost;
use super::error::ConfigError;
use super::printer::{Printer, quote};
use super::section::Section;
use super::source::NamedFiles;

const DEFAULT_LISTEN: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 9900);

const DEFAULT_DUMP_TIMEOUT: Duration = Duration::from_secs(60);
const SHORTEST: Duration = Duration::from_millis(100);
const LONGEST: Duration = Duration::from_secs(60 * 60);

/// Where metrics, health and the live page are served.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AdminConfig {
    /// Where the admin server listens. Default loopback: whoever reaches it can drain the proxy and change its head
    /// policy. Takes effect at start.
    pub listen: SocketAddr,
    /// The host names that requests may come by, besides `localhost` and IP addresses, each with any port if it names
    /// none. Default empty. Any other name is refused, so that no page of others reaches this server through a name
    /// that it makes resolve here. Takes effect at start.
    pub hosts: Vec<AdminHost>,
    /// How long a client may take to read a heap snapshot or a heap profile; then its memory is freed and the next may ask.
    /// Takes effect at start.
    pub dump_timeout: Duration,
}

impl Default for AdminConfig {
    fn default() -> Self {
        Self {
            listen: DEFAULT_LISTEN,
            hosts: Vec::new(),
            dump_timeout: DEFAULT_DUMP_TIMEOUT,
        }
    }
}

impl AdminConfig {
    /// Reads `[admin]` of `text`, which stands in the file at `path`, and nothing else of it: for whoever only asks a
    /// running proxy, and is not to stumble over faults elsewhere.
    ///
    /// # Errors
    ///
    /// The text is not TOML; else all faults of the section.
    pub fn parse(text: &str, path: &Path) -> Result<Self, ConfigError> {
        super::read_file(text, path, NamedFiles::NotLookedAt, |_, mut file| {
            Self::read(file.section("admin"))
        })
    }

    pub(super) fn read(mut section: Section<'_>) -> Self {
        let config = Self {
            listen: section.address("listen", DEFAULT_LISTEN),
            hosts: read_hosts(&mut section),
            dump_timeout: section.duration("dump_timeout", DEFAULT_DUMP_TIMEOUT, SHORTEST..=LONGEST),
        };
        section.finish();
        config
    }

    pub(super) fn print(&self, printer: &mut Printer) {
        let Self {
            listen,
            hosts,
            dump_timeout,
        } = self;
        printer.section("admin");
        printer.quoted("listen", listen);
        printer.list("hosts", hosts.iter().map(|host| quote(&host.to_string())));
        printer.duration("dump_timeout", *dump_timeout);
    }
}

fn read_hosts(section: &mut Section<'_>) -> Vec<AdminHost> {
    let items = section.items("hosts", r#"["headpin.internal", "headpin.internal:9900"]"#);
    let mut hosts = Vec::new();
    for item in items {
        match item.value.as_str().and_then(|text| text.parse().ok()) {
            Some(host) => hosts.push(host),
            None => section.refuse(
                &item,
                r#"a host name such as "headpin.internal" or "headpin.internal:9900", without scheme and path"#,
            ),
        }
    }
    hosts
}
