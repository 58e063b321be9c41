//! Whole files: the shipped ones, what is printed, what cannot be opened.

use std::collections::BTreeMap;
use std::fs;
use std::num::NonZeroUsize;
use std::path::Path;
use std::path::PathBuf;

use headpin_settings::ByteSize;

use crate::config::*;

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
    assert_eq!(config.upstream.servers[0].url.to_string(), "http://127.0.0.1:9001");

    let mut default = Config::default();
    default.tls.certificates = config.tls.certificates.clone();
    default.upstream.servers = config.upstream.servers.clone();
    assert_eq!(config, default);
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
    let message = Config::load(&path).unwrap_err().to_string();
    assert_eq!(message.lines().count(), 2, "{message}");
    assert!(
        message.contains(":2: tls.certificates[0].cert = 'cert.pem': accepted is a file that can be read"),
        "{message}"
    );
    assert!(message.contains("is not a file"), "{message}");

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
    let message = error.to_string();
    assert!(
        message.starts_with("cannot read no/such/headpin.toml (there is no folder /"),
        "{message}"
    );
    assert!(message.contains("/no/such; "), "{message}");
    assert!(std::error::Error::source(&error).is_some());
}

/// No field has its default, so that one that is not printed or not read shows.
fn every_key_changed() -> Config {
    let count = |count| NonZeroUsize::new(count).unwrap();
    let seconds = std::time::Duration::from_secs;
    Config {
        head_policy: HeadPolicy::Pin,
        relay_policy: RelayPolicy::Queue,
        routes: vec![
            RouteConfig {
                name: Some("every key".to_owned()),
                host: Some("*.a.test".parse().unwrap()),
                path: Some("/b/".parse().unwrap()),
                upstream: Some("chat".to_owned()),
                respond: None,
                redirect: None,
                replace_prefix: Some("/".parse().unwrap()),
                head_policy: Some(HeadPolicy::Pin),
                response_timeout: Some(seconds(1)),
                body_timeout: Some(seconds(2)),
                idle_timeout: Some(None),
                max_body: Some(ByteSize::kib(1)),
                websocket: false,
                upgrades: Some(vec!["tcp".parse().unwrap()]),
                origins: Some(vec![
                    "https://*.a.test".parse().unwrap(),
                    "http://b.test:1".parse().unwrap(),
                ]),
                forwarded: Some(ForwardedPolicy::Append),
                request_headers: Some(FieldChanges {
                    set: vec!["x-a: \"b\"".parse().unwrap()],
                    remove: vec!["cookie".parse().unwrap()],
                }),
                response_headers: Some(FieldChanges::default()),
            },
            RouteConfig {
                respond: Some(RespondConfig {
                    status: 404,
                    body: "not\nhere".to_owned(),
                    content_type: "application/json".parse().unwrap(),
                }),
                ..RouteConfig::default()
            },
            RouteConfig {
                path: Some("/old".parse().unwrap()),
                redirect: Some(RedirectConfig {
                    to: "https://new.test".parse().unwrap(),
                    status: 302,
                }),
                ..RouteConfig::default()
            },
        ],
        upstreams: BTreeMap::from([(
            "chat".to_owned(),
            UpstreamConfig {
                servers: vec![UpstreamServer::new("unix:/a.sock".parse().unwrap())],
                ..UpstreamConfig::default()
            },
        )]),
        server: ServerConfig {
            listen: "[::1]:1".parse().unwrap(),
            workers: count(1023),
            max_connections: Some(count(7)),
            drain_grace: seconds(0),
            handover: "/run/a \"b\".sock".parse().unwrap(),
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
            ticket_keys: Some("/t".into()),
            handshake_timeout: seconds(90),
        },
        http: HttpConfig {
            header_timeout: seconds(1),
            body_timeout: seconds(2),
            max_header_bytes: ByteSize::new(10_001),
            max_headers: 101,
            header_case: HeaderCase::AsSent,
            upgrades: vec!["tcp".parse().unwrap(), "SPDY/3.1".parse().unwrap()],
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
            servers: vec![
                UpstreamServer::new("https://[::1]:2".parse().unwrap()),
                UpstreamServer {
                    url: "http://app".parse().unwrap(),
                    weight: 3,
                    max_connections: NonZeroUsize::new(4),
                },
            ],
            balance: Balance::Hash,
            hash_on: "cookie:sid".parse().unwrap(),
            sticky_cookie: Some("server".parse().unwrap()),
            connect_timeout: seconds(3),
            dial_timeout: seconds(8),
            response_timeout: seconds(4),
            pool_idle_timeout: seconds(5),
            pool_max_idle: 0,
            down_for: seconds(6),
            down_for_max: seconds(9),
            eject_after: None,
            eject_share: 10,
            slow_start: Some(seconds(10)),
            retries: 2,
            retry_budget: 30,
            queue: 0,
            queue_timeout: seconds(11),
            health: Some(HealthConfig {
                path: Some("/healthz".parse().unwrap()),
                interval: seconds(12),
                timeout: seconds(13),
                fall: count(14),
                rise: count(15),
                status: "204".parse().unwrap(),
                body: Some("fine".to_owned()),
                host: Some("app.test".parse().unwrap()),
            }),
            close_tunnels_of_gone_servers: true,
            ca: Some("/ca.pem".into()),
            client_cert: Some("/client.pem".into()),
            client_key: Some("/client-key.pem".into()),
            server_name: Some("app.test".parse().unwrap()),
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
