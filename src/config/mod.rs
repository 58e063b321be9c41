//! The configuration: a TOML file in human units becomes a [`Config`] of checked values.
//!
//! ```text
//! file ─► text ─► spanned TOML tree ─► Section::duration("..."), size("..."), ... ─► Config
//!                                           └─ refused, missing, unknown ─► Vec<Fault> ─► ConfigError
//! ```
//!
//! Every component has its own struct, in its own file with the reading and printing of it, and is given only that.
//! Nothing checks a value again after this module. All faults of a file are told at once. [`watch`] tells when files
//! have changed; what a new configuration then means is for its users.

mod admin;
mod admin_host;
mod byte_size;
mod error;
mod http;
mod human_duration;
mod line;
mod log;
mod obstacle;
mod printer;
mod restart;
mod section;
mod server;
mod server_url;
mod slabs;
mod source;
mod tls;
mod tunnel;
mod upstream;
mod value;
pub mod watch;

use std::fs;
use std::path::Path;

use toml::de::DeTable;

pub use self::admin::AdminConfig;
pub use self::admin_host::{AdminHost, InvalidAdminHost};
pub use self::byte_size::{ByteSize, InvalidByteSize};
pub use self::error::{ConfigError, Fault};
pub use self::http::{ForwardedPolicy, HttpConfig};
pub use self::human_duration::{HumanDuration, InvalidDuration};
pub use self::log::{LogConfig, LogFormat};
pub(crate) use self::obstacle::{remedy, write_remedy};
pub use self::server::ServerConfig;
pub use self::server_url::{InvalidServerUrl, Scheme, ServerUrl};
pub use self::slabs::SlabsConfig;
pub use self::tls::{CertificateFiles, TlsConfig, TlsVersion};
pub use self::tunnel::TunnelConfig;
pub use self::upstream::UpstreamConfig;
use crate::observe::labels::{HeadPolicy, RelayPolicy};

use self::printer::Printer;
use self::section::Section;
use self::source::{NamedFiles, Source};

const DEFAULT_HEAD_POLICY: HeadPolicy = HeadPolicy::Copy;
const DEFAULT_RELAY_POLICY: RelayPolicy = RelayPolicy::Pipe;

/// Everything that can be set; the default is what runs without a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// What becomes of heads. Default copy: pin is there to be looked at.
    pub head_policy: HeadPolicy,
    /// What tunnels do with bytes that the other side does not take. Default pipe: queue is there to be looked at.
    pub relay_policy: RelayPolicy,
    /// The listener and the workers behind it.
    pub server: ServerConfig,
    /// Certificates, and how clients shake hands.
    pub tls: TlsConfig,
    /// What requests may take, and which headers are passed on.
    pub http: HttpConfig,
    /// What an upgraded connection may take.
    pub tunnel: TunnelConfig,
    /// The buffers that reads are carved from.
    pub slabs: SlabsConfig,
    /// The servers behind the proxy, and how they are dialled.
    pub upstream: UpstreamConfig,
    /// Where metrics, health and the live page are served.
    pub admin: AdminConfig,
    /// What is logged, and how it looks.
    pub log: LogConfig,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            head_policy: DEFAULT_HEAD_POLICY,
            relay_policy: DEFAULT_RELAY_POLICY,
            server: ServerConfig::default(),
            tls: TlsConfig::default(),
            http: HttpConfig::default(),
            tunnel: TunnelConfig::default(),
            slabs: SlabsConfig::default(),
            upstream: UpstreamConfig::default(),
            admin: AdminConfig::default(),
            log: LogConfig::default(),
        }
    }
}

impl Config {
    /// Reads the file at `path`, and looks whether the files that it names can be opened.
    ///
    /// # Errors
    ///
    /// The file cannot be read or is not TOML; else all of its faults together.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        let text = fs::read_to_string(path).map_err(|source| ConfigError::Read {
            path: path.to_owned(),
            source,
        })?;
        Self::read(&text, path, NamedFiles::MustOpen)
    }

    /// Reads `text` as if it stood in the file at `path`, without any access to files: relative paths in it start at
    /// the folder of `path`.
    ///
    /// # Errors
    ///
    /// The text is not TOML; else all of its faults together.
    pub fn parse(text: &str, path: &Path) -> Result<Self, ConfigError> {
        Self::read(text, path, NamedFiles::NotLookedAt)
    }

    /// The whole configuration as TOML: every key, without comments.
    ///
    /// It reads back equal, except that paths stand as this process uses them, hence from its working directory, and
    /// that the embedded default, which has no certificates and no servers, is not a complete file.
    pub fn to_toml(&self) -> String {
        let Self {
            head_policy,
            relay_policy,
            server,
            tls,
            http,
            tunnel,
            slabs,
            upstream,
            admin,
            log,
        } = self;
        let mut printer = Printer::default();
        printer.quoted("head_policy", head_policy);
        printer.quoted("relay_policy", relay_policy);
        server.print(&mut printer);
        tls.print(&mut printer);
        http.print(&mut printer);
        tunnel.print(&mut printer);
        slabs.print(&mut printer);
        upstream.print(&mut printer);
        admin.print(&mut printer);
        log.print(&mut printer);
        printer.into_text()
    }

    fn read(text: &str, path: &Path, named_files: NamedFiles) -> Result<Self, ConfigError> {
        read_file(text, path, named_files, |source, file| {
            let config = Self::read_sections(file);
            config.slabs.check_room(config.tunnel.relay_buffer, source);
            config
        })
    }

    fn read_sections(mut file: Section<'_>) -> Self {
        let config = Self {
            head_policy: file.choice("head_policy", DEFAULT_HEAD_POLICY, &HeadPolicy::ALL, |policy| {
                policy.as_str()
            }),
            relay_policy: file.choice("relay_policy", DEFAULT_RELAY_POLICY, &RelayPolicy::ALL, |policy| {
                policy.as_str()
            }),
            server: ServerConfig::read(file.section("server")),
            tls: TlsConfig::read(file.section("tls")),
            http: HttpConfig::read(file.section("http")),
            tunnel: TunnelConfig::read(file.section("tunnel")),
            slabs: SlabsConfig::read(file.section("slabs")),
            upstream: UpstreamConfig::read(file.section("upstream")),
            admin: AdminConfig::read(file.section("admin")),
            log: LogConfig::read(file.section("log")),
        };
        file.finish();
        config
    }
}

/// Reads `text` as TOML and hands it to `read`, section by section; what that finds wrong is the error.
fn read_file<T>(
    text: &str,
    path: &Path,
    named_files: NamedFiles,
    read: impl FnOnce(&Source<'_>, Section<'_>) -> T,
) -> Result<T, ConfigError> {
    let table = DeTable::parse(text).map_err(|error| error::syntax(path, text, &error))?;
    let source = Source::new(text, path, named_files);
    let value = read(&source, Section::whole_file(&source, table.into_inner()));
    source.finish(path, value)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::num::NonZeroUsize;
    use std::path::PathBuf;

    use super::*;

    /// The path of a file in the project's `config/`, and its text.
    fn shipped(name: &str) -> (PathBuf, String) {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("config").join(name);
        let text = fs::read_to_string(&path).unwrap();
        (path, text)
    }

    fn parse_shipped(name: &str) -> Config {
        let (path, text) = shipped(name);
        Config::parse(&text, &path).unwrap_or_else(|error| panic!("{error}"))
    }

    #[test]
    fn the_shipped_file_says_what_the_defaults_are() {
        let config = parse_shipped("headpin.toml");
        let (path, _) = shipped("headpin.toml");
        assert_eq!(
            config.tls.certificates[0].cert,
            path.with_file_name("../certs/localhost.pem")
        );
        assert_eq!(config.upstream.servers[0].to_string(), "http://127.0.0.1:9001");

        let mut default = Config::default();
        default.tls.certificates = config.tls.certificates.clone();
        default.upstream.servers = config.upstream.servers.clone();
        assert_eq!(config, default);
    }

    #[test]
    fn the_shipped_file_mentions_every_key() {
        let (_, text) = shipped("headpin.toml");
        assert_eq!(dotted_keys(&text), dotted_keys(&every_key_changed().to_toml()));
    }

    #[test]
    fn the_shipped_file_marks_every_key_that_waits_for_a_restart() {
        let (_, text) = shipped("headpin.toml");
        let marked = documented_keys(&text).into_iter().filter(|(_, at_start)| *at_start);
        let marked: BTreeSet<String> = marked.map(|(key, _)| key).collect();
        let wait = Config::default().needs_restart(&every_key_changed());
        assert_eq!(marked, wait.into_iter().map(str::to_owned).collect());
    }

    #[test]
    fn the_short_files_set_the_head_policy_and_nothing_else() {
        let full = parse_shipped("headpin.toml");
        for (name, head_policy) in [("copy.toml", HeadPolicy::Copy), ("pin.toml", HeadPolicy::Pin)] {
            assert_eq!(
                parse_shipped(name),
                Config {
                    head_policy,
                    ..full.clone()
                }
            );
        }
    }

    #[test]
    fn what_is_printed_reads_back_equal() {
        for config in [every_key_changed(), parse_shipped("headpin.toml")] {
            let text = config.to_toml();
            assert_eq!(
                Config::parse(&text, Path::new("headpin.toml")).unwrap(),
                config,
                "{text}"
            );
        }
    }

    #[test]
    fn loading_tells_of_files_that_cannot_be_opened() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("headpin.toml");
        let text = "[tls]\ncertificates = [{ cert = 'cert.pem', key = '.' }]\n[upstream]\nservers = ['http://app']\n";
        fs::write(&path, text).unwrap();
        let told = Config::load(&path).unwrap_err().to_string();
        assert_eq!(told.lines().count(), 2, "{told}");
        assert!(
            told.contains(":2: tls.certificates[0].cert = 'cert.pem': accepted is a file that can be read"),
            "{told}"
        );
        assert!(told.contains("is not a file"), "{told}");

        fs::write(folder.path().join("cert.pem"), "").unwrap();
        fs::write(&path, text.replace("'.'", "'cert.pem'")).unwrap();
        assert_eq!(
            Config::load(&path).unwrap().tls.certificates[0].key,
            folder.path().join("cert.pem")
        );
    }

    #[test]
    fn a_file_that_is_not_there_is_told_by_name() {
        let error = Config::load(Path::new("no/such/headpin.toml")).unwrap_err();
        let told = error.to_string();
        assert!(
            told.starts_with("cannot read no/such/headpin.toml (there is no folder /"),
            "{told}"
        );
        assert!(told.contains("/no/such; "), "{told}");
        assert!(std::error::Error::source(&error).is_some());
    }

    /// The keys of a file in the order of its lines, those that are commented out as well.
    fn dotted_keys(text: &str) -> Vec<String> {
        documented_keys(text).into_iter().map(|(key, _)| key).collect()
    }

    /// The same, each with whether the comment above it is marked (start).
    fn documented_keys(text: &str) -> Vec<(String, bool)> {
        let mut section = String::new();
        let mut at_start = false;
        let mut keys = Vec::new();
        for line in text.lines().map(|line| line.trim_start_matches("# ")) {
            if let Some(name) = line.strip_prefix('[').and_then(|line| line.strip_suffix(']')) {
                section = format!("{name}.");
            } else if let Some((key, _)) = line.split_once(" = ").filter(|(key, _)| !key.contains(' ')) {
                keys.push((format!("{section}{key}"), at_start));
                at_start = false;
            }
            at_start |= line.starts_with("(start) ");
        }
        keys
    }

    /// No field has its default, so that one that is not printed or not read shows.
    fn every_key_changed() -> Config {
        let count = |count| NonZeroUsize::new(count).unwrap();
        let seconds = std::time::Duration::from_secs;
        Config {
            head_policy: HeadPolicy::Pin,
            relay_policy: RelayPolicy::Queue,
            server: ServerConfig {
                listen: "[::1]:1".parse().unwrap(),
                workers: count(1023),
                max_connections: Some(count(7)),
                drain_grace: seconds(0),
                keepalive: None,
            },
            tls: TlsConfig {
                certificates: vec![
                    CertificateFiles {
                        cert: "/a \"quoted\".pem".into(),
                        key: "/it's \\ a key".into(),
                    },
                    CertificateFiles {
                        cert: "/c.pem".into(),
                        key: "/k.pem".into(),
                    },
                ],
                min_version: TlsVersion::V1_3,
                handshake_timeout: seconds(90),
            },
            http: HttpConfig {
                header_timeout: seconds(1),
                body_timeout: seconds(2),
                max_header_bytes: ByteSize::new(10_001),
                max_requests: count(3),
                forwarded: ForwardedPolicy::Append,
            },
            tunnel: TunnelConfig {
                idle_timeout: None,
                relay_buffer: ByteSize::kib(5),
            },
            slabs: SlabsConfig {
                tls_capacity: ByteSize::mib(3),
                tcp_capacity: ByteSize::mib(4),
                spares: 0,
            },
            upstream: UpstreamConfig {
                servers: vec!["https://[::1]:2".parse().unwrap(), "http://app".parse().unwrap()],
                connect_timeout: seconds(3),
                response_timeout: seconds(4),
                pool_idle_timeout: seconds(5),
                pool_max_idle: 0,
                down_for: seconds(6),
                ca: Some("/ca.pem".into()),
            },
            admin: AdminConfig {
                listen: "0.0.0.0:2".parse().unwrap(),
                hosts: vec!["headpin.internal:9900".parse().unwrap()],
                dump_timeout: seconds(7),
            },
            log: LogConfig {
                format: LogFormat::Json,
                filter: "a=debug,b".to_owned(),
                access: false,
            },
        }
    }
}
