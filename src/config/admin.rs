//! `[admin]`: where metrics, health and the live page are served.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;

use super::error::ConfigError;
use super::printer::Printer;
use super::section::Section;
use super::source::NamedFiles;

const DEFAULT_LISTEN: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 9900);

/// Where metrics, health and the live page are served.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AdminConfig {
    /// Where the admin server listens. Default loopback: whoever reaches it can drain the proxy and change its head
    /// policy. Takes effect at start.
    pub listen: SocketAddr,
}

impl Default for AdminConfig {
    fn default() -> Self {
        Self { listen: DEFAULT_LISTEN }
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
        };
        section.finish();
        config
    }

    pub(super) fn print(&self, printer: &mut Printer) {
        let Self { listen } = self;
        printer.section("admin");
        printer.quoted("listen", listen);
    }
}
