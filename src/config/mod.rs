//! The configuration: a TOML file in human units becomes a [`Config`] of checked values.
//!
//! Each section is declared in its own file, key by key: [`headpin_settings::settings`] has how, and what follows from it.
//! Every component is given only its own section. Nothing checks a value again after this module. All faults of a file are
//! reported at once. [`watch`] reports when files have changed; what a new configuration then means is for its users.

mod admin;
mod admin_host;
mod field;
mod handover_socket;
mod hash_on;
mod host_pattern;
mod http;
mod log;
mod origin_pattern;
mod path_prefix;
mod redirect_target;
mod route;
mod server;
mod server_url;
mod slabs;
mod status_range;
mod tls;
mod tls_name;
mod together;
mod tunnel;
mod upgrade_protocol;
mod upstream;
pub mod watch;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

pub use headpin_settings::Sources;
use headpin_settings::kind::{choice, named, tables};
use headpin_settings::{Layer, NamedFiles, Settings as _, settings, show};

pub use headpin_settings::{
    ByteSize, Fault, HumanDuration, InvalidByteSize, InvalidDuration, SettingsError as ConfigError,
};
pub(crate) use headpin_settings::{remedy, write_remedy};

pub use self::admin::AdminConfig;
pub use self::admin_host::{AdminHost, InvalidAdminHost};
pub use self::field::{FieldLine, FieldName, FieldValue, InvalidField};
pub use self::handover_socket::{HandoverSocket, InvalidHandoverSocket};
pub use self::hash_on::{CookieName, HashOn, InvalidCookieName, InvalidHashOn};
pub use self::host_pattern::{HostPattern, InvalidHost};
pub(crate) use self::http::HEADERS;
pub use self::http::{ForwardedPolicy, HeaderCase, HttpConfig};
pub use self::log::{LogConfig, LogFormat};
pub use self::origin_pattern::{InvalidOrigin, OriginPattern};
pub(crate) use self::path_prefix::is_unreserved;
pub use self::path_prefix::{InvalidPrefix, PathPrefix};
pub use self::redirect_target::{InvalidRedirect, RedirectTarget};
pub use self::route::{FieldChanges, RedirectConfig, RespondConfig, RouteConfig};
pub use self::server::ServerConfig;
pub use self::server_url::{InvalidServerUrl, Place, Scheme, ServerUrl};
pub use self::slabs::SlabsConfig;
pub use self::status_range::{InvalidStatusRange, StatusRange};
pub use self::tls::{CertificateFiles, TlsConfig, TlsVersion};
pub use self::tls_name::TlsName;
pub use self::tunnel::TunnelConfig;
pub use self::upgrade_protocol::{InvalidProtocol, UpgradeProtocol};
pub use self::upstream::{Balance, HealthConfig, UpstreamConfig, UpstreamServer};
use crate::observe::labels::{HeadPolicy, RelayPolicy};

/// What `[upstream]` is called beside `[upstreams.NAME]`, and a route that is for everything.
pub const DEFAULT: &str = "default";

settings! {
    /// The configuration of headpin.
    pub struct Config {
        /// What becomes of a head, the bytes already read past an upgrade:
        /// "copy" moves it to memory of its own size, forwards it and lets it go;
        /// "pin" holds the slice it was read into for the tunnel's life, which keeps the whole slab alive: the leak of Node 0.8.
        /// It changes for open tunnels too: going to "copy" frees what they pinned.
        head_policy: HeadPolicy = choice(), default(HeadPolicy::Copy), at_reload;
        /// What a tunnel does when one side does not take what the other sends:
        /// "pipe" reads no more until the rest has gone, so that each direction holds at most tunnel.relay_buffer;
        /// "queue" reads on and queues in memory without limit: what writing without backpressure does.
        relay_policy: RelayPolicy = choice(), default(RelayPolicy::Pipe), at_start;
        /// Where requests go, by host and path; the most specific route wins. Without any, all requests go to [upstream].
        routes: Vec<RouteConfig> = tables::<RouteConfig>("routes"), default(Vec::new()), at_reload;
        /// Upstreams for routes, by name; the keys are those of [upstream], whose name is "default".
        upstreams: BTreeMap<String, UpstreamConfig> = named::<UpstreamConfig>("upstreams"), default(BTreeMap::new()), at_reload;
    }
    sections {
        /// The listener and the workers behind it.
        server: ServerConfig,
        /// Certificates, and how clients shake hands.
        tls: TlsConfig,
        /// What requests may take, and which headers are passed on.
        http: HttpConfig,
        /// What an upgraded connection may take.
        tunnel: TunnelConfig,
        /// The buffers that reads are carved from.
        slabs: SlabsConfig,
        /// The servers behind the proxy, and how they are dialled.
        upstream: UpstreamConfig = if_there,
        /// Where metrics, health and the live page are served.
        admin: AdminConfig,
        /// What is logged, and how it looks.
        log: LogConfig,
    }
}

impl Config {
    /// Reads the file at `path`, and looks whether the files that it names can be opened.
    ///
    /// # Errors
    ///
    /// The file cannot be read or is not TOML; else all of its faults together.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        Self::load_and(path, |_, _| ())
    }

    /// The same, where `look_further` may find more faults: what is in the files that it names is for those who use them.
    ///
    /// # Errors
    ///
    /// As [`Self::load`].
    pub fn load_and(path: &Path, look_further: impl FnOnce(&Self, &Sources<'_>)) -> Result<Self, ConfigError> {
        let text = fs::read_to_string(path).map_err(|source| ConfigError::Read {
            path: path.to_owned(),
            source,
        })?;
        Self::read_text(&text, path, NamedFiles::MustOpen, look_further)
    }

    /// Reads `text` as if it stood in the file at `path`, without any access to files: relative paths in it start at
    /// the folder of `path`.
    ///
    /// # Errors
    ///
    /// The text is not TOML; else all of its faults together.
    pub fn parse(text: &str, path: &Path) -> Result<Self, ConfigError> {
        Self::read_text(text, path, NamedFiles::NotLookedAt, |_, _| ())
    }

    /// The whole configuration as TOML: every key, without comments.
    ///
    /// It reads back equal, except that paths stand as this process uses them, hence from its working directory, and
    /// that the embedded default, which has no certificates and no servers, is not a complete file.
    #[must_use]
    pub fn to_toml(&self) -> String {
        show::to_toml(self)
    }

    /// Every upstream by its name: `[upstream]` as [`DEFAULT`] if it has servers, and `[upstreams.NAME]`.
    pub fn all_upstreams(&self) -> impl Iterator<Item = (&str, &UpstreamConfig)> {
        let unnamed = Some((DEFAULT, &self.upstream)).filter(|(_, upstream)| !upstream.servers.is_empty());
        let named = self.upstreams.iter().map(|(name, upstream)| (name.as_str(), upstream));
        unnamed.into_iter().chain(named)
    }

    /// The dotted keys that differ in `new` and only take effect at start; a reload should name them.
    #[must_use]
    pub fn needs_restart(&self, new: &Self) -> Vec<String> {
        let mut keys = Vec::new();
        self.waiting_for_start(new, "", &mut keys);
        keys
    }

    /// The JSON Schema of a config file, for editors.
    #[must_use]
    pub fn json_schema() -> String {
        let schema = show::schema("headpin's configuration", &Self::describe());
        format!("{schema:#}\n")
    }

    fn read_text(
        text: &str,
        path: &Path,
        named_files: NamedFiles,
        look_further: impl FnOnce(&Self, &Sources<'_>),
    ) -> Result<Self, ConfigError> {
        headpin_settings::read(vec![Layer::file(path, text)], named_files, |file, sources| {
            let config = Self::read(file);
            config.slabs.check_room(config.tunnel.relay_buffer, sources);
            together::check(&config, named_files, sources);
            look_further(&config, sources);
            config
        })
    }
}

#[cfg(test)]
mod tests;
