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

#[test]
fn routes_and_upstreams_are_checked_together_and_all_at_once() {
    let text = r#"tls.certificates = [{ cert = 'c', key = 'k' }]
[[routes]]
host = "a.test"
upstream = "nowhere"
[[routes]]
host = "A.test"
path = "/"
respond = { status = 200 }
[[routes]]
path = "/x"
[[routes]]
path = "/x/"
respond = {}
redirect = { to = "https://b.test" }
[[routes]]
path = "/y"
redirect = { to = "https://b.test", status = 304 }
origins = ["https://a.test"]
[[routes]]
path = "/z"
name = "/y"
upstream = "app"
request_headers = { set = ["Content-Length: 5"], remove = ["a b"] }
[upstreams.app]
servers = ["http://a", { url = "http://a:80", weight = 2 }, { url = "http://b", weight = 0 }]
hash_on = "cookie:a b"
sticky_cookie = "a;b"
client_cert = "c"
down_for = "2m"
[upstreams.empty]
[upstreams."b c"]
servers = ["http://c"]
"#;
    let faults: Vec<_> = faults_of(text).iter().map(ToString::to_string).collect();
    let expected = [
        "4: routes[0].upstream = \"nowhere\": accepted is the name of an upstream; the names here: app, b c, empty",
        "7: routes[1].path = \"/\": accepted is one route for a host and a path; routes[0] is for the same",
        "9: routes[2]",
        "12: routes[3].path = \"/x/\": accepted is one route for a host and a path; routes[2] is for the same",
        "14: routes[3].redirect",
        "17: routes[4].redirect.status = 304: accepted is one of [301, 302, 303, 307, 308]",
        "18: routes[4].origins = [\"https://a.test\"]: accepted is origins on a route to an upstream; this one answers by itself",
        "21: routes[5].name = \"/y\": accepted is each name once; routes[4] is called \"/y\" as well: give one of them another name",
        "23: routes[5].request_headers.remove[0] = \"a b\": accepted is the name of a header field",
        "23: routes[5].request_headers.set[0] = \"Content-Length: 5\": accepted is a header field",
        "25: upstreams.app.servers[1].url",
        "25: upstreams.app.servers[2].weight = 0: accepted is a whole number from 1 to 1000",
        "26: upstreams.app.hash_on = \"cookie:a b\": accepted is \"client_address\"",
        "27: upstreams.app.sticky_cookie = \"a;b\": accepted is the name of a cookie",
        "28: upstreams.app.client_cert = \"c\": accepted are client_cert and client_key together",
        "29: upstreams.app.down_for = \"2m\": accepted is down_for_max of at least down_for",
        "30: upstreams.empty.servers: missing; add to [upstreams.empty], for example: servers = [\"http://127.0.0.1:9001\"]",
        "31: upstreams.b c",
    ];
    for expected in expected {
        let found = faults
            .iter()
            .any(|fault| fault.starts_with(&format!("config/headpin.toml:{expected}")));
        assert!(found, "{expected} is not in {faults:#?}");
    }
    assert_eq!(faults.len(), expected.len(), "{faults:#?}");
}

#[test]
fn a_config_without_any_upstream_says_how_to_add_one() {
    let text = "tls.certificates = [{ cert = 'c', key = 'k' }]\n";
    let faults: Vec<_> = faults_of(text).iter().map(ToString::to_string).collect();
    assert_eq!(
        faults,
        [
            "config/headpin.toml:1: upstream.servers: missing; add to [upstream], for example: servers = [\"http://127.0.0.1:9001\"]"
        ]
    );
}
