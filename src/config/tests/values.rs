//! Every kind of value: what is read, and what is refused.

use std::num::NonZeroUsize;
use std::path::Path;
use std::time::Duration;

use crate::config::{ByteSize, Config, ConfigError, TlsVersion};

const REQUIRED: &str = "tls.certificates = [{ cert = 'c', key = 'k' }]\nupstream.servers = ['http://app']\n";

fn parse(line: &str) -> Result<Config, ConfigError> {
    Config::parse(&format!("{REQUIRED}{line}"), Path::new("headpin.toml"))
}

#[test]
fn every_kind_of_value_is_read() {
    let config = parse("tunnel = { idle_timeout = \"off\", relay_buffer = 8192 }").unwrap();
    assert_eq!(
        (config.tunnel.idle_timeout, config.tunnel.relay_buffer),
        (None, ByteSize::kib(8))
    );
    let config = parse("server = { workers = 0x10, max_connections = 1_000, listen = \"[::]:443\" }").unwrap();
    assert_eq!(
        (
            config.server.workers.get(),
            config.server.max_connections.map(NonZeroUsize::get)
        ),
        (16, Some(1000))
    );
    assert_eq!(config.server.listen.to_string(), "[::]:443");
    assert_eq!(
        parse("server.workers = 0").unwrap(),
        parse("server.workers = \"auto\"").unwrap()
    );
    assert_eq!(
        parse("tls.min_version = \"1.3\"").unwrap().tls.min_version,
        TlsVersion::V1_3
    );
    assert!(!parse("log.access = false").unwrap().log.access);
    assert_eq!(
        parse("upstream.down_for = \"0s\"").unwrap().upstream.down_for,
        Duration::ZERO
    );
}

#[test]
fn every_refused_value_is_told_with_what_is_accepted() {
    let examples = r#"such as "500ms", "10s", "5m", "1h""#;
    let duration = format!("a duration from 1ms to 365d, {examples}");
    let cases = [
        ("head_policy = \"pni\"", r#""copy" or "pin""#.to_owned()),
        ("http.header_timeout = \"10 bananas\"", duration.clone()),
        ("http.header_timeout = 10", duration.clone()),
        ("http.header_timeout = \"0s\"", duration.clone()),
        ("http.header_timeout = \"366d\"", duration.clone()),
        ("http.header_timeout = \"off\"", duration.clone()),
        ("tunnel.idle_timeout = false", format!("{duration}, or \"off\"")),
        (
            "server.keepalive = \"500ms\"",
            format!("a duration from 1s to 9h6m7s, {examples}, or \"off\""),
        ),
        (
            "tunnel.relay_buffer = \"1KiB\"",
            r#"a size from 4KiB to 1MiB, such as "64KiB", "10MiB", "1MB", or a number of bytes"#.to_owned(),
        ),
        (
            "slabs.tls_capacity = -1",
            r#"a size from 64KiB to 1GiB, such as "64KiB", "10MiB", "1MB", or a number of bytes"#.to_owned(),
        ),
        (
            "http.max_requests = 0",
            "a whole number from 1 to 1073741824".to_owned(),
        ),
        ("slabs.spares = 65", "a whole number from 0 to 64".to_owned()),
        (
            "server.workers = 1025",
            r#"a whole number from 0 to 1024, or "auto""#.to_owned(),
        ),
        (
            "server.max_connections = 0",
            r#"a whole number from 1 to 1073741824, or "auto""#.to_owned(),
        ),
        ("tls.min_version = 1.2", r#""1.2" or "1.3""#.to_owned()),
        ("log.access = \"yes\"", "true or false".to_owned()),
        (
            "log.filter = \" \"",
            r#"text that is not empty, such as "info""#.to_owned(),
        ),
        (
            "admin.listen = \"localhost:9900\"",
            r#"an IP address and port such as "127.0.0.1:9900" or "[::1]:9900""#.to_owned(),
        ),
        (
            "admin.hosts = \"headpin\"",
            r#"a list such as ["headpin.internal", "headpin.internal:9900"]"#.to_owned(),
        ),
        (
            "upstream.ca = \"\"",
            "the path of a file, relative to this file's folder or absolute".to_owned(),
        ),
    ];
    for (line, accepted) in cases {
        let message = parse(line).expect_err(line).to_string();
        assert_eq!(message, format!("headpin.toml:3: {line}: accepted is {accepted}"));
    }
}
