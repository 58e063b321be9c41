//! What is wrong in a file, and how that is said.

use std::path::Path;

use crate::config::{Config, ConfigError, Fault};

fn message_of(text: &str) -> String {
    Config::parse(text, Path::new("config/headpin.toml"))
        .unwrap_err()
        .to_string()
}

#[test]
fn all_faults_of_a_file_are_told_at_once_by_line() {
    let text = r#"head_policy = "pin"
[http]
max_requests = -5
header_timeout = "10 bananas"
[server]
listen = 8443
[upstream]
servers = ["http://a", "http://a:80", "ftp://b"]
[tls]
certificates = [{ cert = "c", key = "k" }]
"#;
    assert_eq!(
        message_of(text),
        r#"config/headpin.toml:3: http.max_requests = -5: accepted is a whole number from 1 to 1073741824
config/headpin.toml:4: http.header_timeout = "10 bananas": accepted is a duration from 1ms to 365d, such as "500ms", "10s", "5m", "1h"
config/headpin.toml:6: server.listen = 8443: accepted is an IP address and port such as "127.0.0.1:8443" or "[::1]:8443"
config/headpin.toml:8: upstream.servers[1] = "http://a:80": accepted is each server once; "http://a:80" is listed before
config/headpin.toml:8: upstream.servers[2] = "ftp://b": accepted is a URL such as "http://host:port" or "https://host:port", without a path, or "unix:/path/of/a/socket""#
    );
}

#[test]
fn what_is_not_toml_is_told_with_line_and_remedy() {
    let remedy = r#"accepted is TOML: key = value, with text, durations and sizes in double quotes, as in key = "10s""#;
    for (text, line) in [
        ("[http]\nheader_timeout = 10s\n", 2),
        ("a = \"b\n", 1),
        ("[http\n", 1),
        ("\n\na b\n", 3),
    ] {
        let message = message_of(text);
        assert!(
            message.starts_with(&format!("config/headpin.toml:{line}: ")),
            "{message}"
        );
        assert!(message.ends_with(remedy) && !message.contains('\n'), "{message}");
    }
    assert_eq!(
        message_of("[log]\naccess = true\naccess = false\n"),
        "config/headpin.toml:3: duplicate key; keep one of the two"
    );
}

fn faults_of(text: &str) -> Vec<Fault> {
    match Config::parse(text, Path::new("config/headpin.toml")).unwrap_err() {
        ConfigError::Faults { faults, .. } => faults,
        other => panic!("{other}"),
    }
}

fn fault_in_tunnel(line: &str) -> String {
    let text = format!(
        "[tls]\ncertificates = [{{ cert = 'c', key = 'k' }}]\n[upstream]\nservers = ['http://app']\n[tunnel]\n{line}"
    );
    let faults = faults_of(&text);
    assert_eq!(faults.len(), 1, "{faults:?}");
    faults[0].to_string()
}

#[test]
fn an_unknown_key_is_told_with_the_nearest_known_one() {
    assert_eq!(
        fault_in_tunnel("idle_timout = \"1h\""),
        "config/headpin.toml:6: tunnel.idle_timout = \"1h\": unknown key; did you mean \"idle_timeout\"? known keys here: \
         idle_timeout, relay_buffer"
    );
    assert_eq!(
        fault_in_tunnel("zzz = 1"),
        "config/headpin.toml:6: tunnel.zzz = 1: unknown key; known keys here: idle_timeout, relay_buffer"
    );
}

#[test]
fn a_protocol_that_cannot_be_tunnelled_is_named() {
    let text = "[tls]\ncertificates = [{ cert = 'c', key = 'k' }]\n[upstream]\nservers = ['http://app']\n[http]\n\
                upgrades = ['tcp', 'h2c', 'a b', 'websocket']";
    let faults: Vec<_> = faults_of(text).iter().map(ToString::to_string).collect();
    assert_eq!(faults.len(), 3, "{faults:?}");
    assert_eq!(
        faults[0],
        "config/headpin.toml:6: http.upgrades[1] = 'h2c': accepted is a protocol's name such as \"tcp\" or \"SPDY/3.1\"; \
         WebSocket needs no entry, and HTTP/2 cannot have one"
    );
}

#[test]
fn an_unknown_section_is_told_without_its_content() {
    let message = fault_in_tunnel("[htpp]\nheader_timeout = \"1s\"");
    assert_eq!(
        message,
        "config/headpin.toml:6: htpp: unknown key; did you mean \"http\"? known keys here: head_policy, relay_policy, routes, upstreams, \
         server, tls, http, tunnel, slabs, upstream, admin, log"
    );
}

#[test]
fn what_is_missing_is_told_with_its_section_and_an_example() {
    let message: Vec<_> = faults_of("# nothing\n[upstream]\n")
        .iter()
        .map(ToString::to_string)
        .collect();
    assert_eq!(
        message,
        [
            "config/headpin.toml:2: tls.certificates: missing; add to [tls], for example: \
             certificates = [{ cert = \"../certs/localhost.pem\", key = \"../certs/localhost-key.pem\" }]",
            "config/headpin.toml:2: upstream.servers: missing; add to [upstream], for example: servers = [\"http://127.0.0.1:9001\"]",
        ]
    );
}

#[test]
fn faults_in_items_carry_the_index_and_the_line_of_the_item() {
    let text = "[tls]\ncertificates = [\n  { cert = 'a', key = 'b' },\n  { cert = 'a', kye = 'b' },\n  'a.pem',\n]\n\
                [upstream]\nservers = []\n";
    let message: Vec<_> = faults_of(text)
        .iter()
        .map(|fault| (fault.line, fault.key.clone()))
        .collect();
    let expected = [
        (4, "tls.certificates[1].key"),
        (4, "tls.certificates[1].kye"),
        (5, "tls.certificates[2]"),
        (8, "upstream.servers"),
    ];
    assert_eq!(message, expected.map(|(line, key)| (Some(line), key.to_owned())));
}

#[test]
fn a_value_in_place_of_a_section_is_one_fault() {
    let faults = faults_of("tls = 5\nupstream = 'http://app'\n");
    assert_eq!(faults.len(), 2, "{faults:?}");
    assert_eq!(
        faults[0].to_string(),
        "config/headpin.toml:1: tls = 5: accepted is a section: [tls] and its keys below it"
    );
}

#[test]
fn tables_may_be_written_in_any_way_toml_has() {
    let text = "tls.certificates = [{ cert = 'c', key = 'k' }]\nupstream = { servers = ['http://app'] }\n";
    let inline = Config::parse(text, Path::new("headpin.toml")).unwrap();
    let text = "[[tls.certificates]]\ncert = 'c'\nkey = 'k'\n[upstream]\nservers = ['http://app:80']\n";
    assert_eq!(Config::parse(text, Path::new("headpin.toml")).unwrap(), inline);
}
