//! `[admin]`: where metrics, health and the live page are served.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use super::printer::Printer;
use super::section::Section;

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
    /// How long a client may take to read a heap snapshot or a heap profile; then its memory is freed and the next may ask.
    /// Takes effect at start.
    pub dump_timeout: Duration,
}

impl Default for AdminConfig {
    fn default() -> Self {
        Self {
            listen: DEFAULT_LISTEN,
            dump_timeout: DEFAULT_DUMP_TIMEOUT,
        }
    }
}

impl AdminConfig {
    pub(super) fn read(mut section: Section<'_>) -> Self {
        let config = Self {
            listen: section.address("listen", DEFAULT_LISTEN),
            dump_timeout: section.duration("dump_timeout", DEFAULT_DUMP_TIMEOUT, SHORTEST..=LONGEST),
        };
        section.finish();
        config
    }

    pub(super) fn print(&self, printer: &mut Printer) {
        let Self { listen, dump_timeout } = self;
        printer.section("admin");
        printer.quoted("listen", listen);
        printer.duration("dump_timeout", *dump_timeout);
    }
}
