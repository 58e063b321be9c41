//! Tables in tables: in arrays, by name, in one line, and as a short text.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use headpin_settings::kind::{
    LONGEST, SHORTEST, count, duration, inline_table, list, mapped, named, optional, or_word, tables, text,
    text_or_table,
};
use headpin_settings::{Layer, NamedFiles, Settings as _, SettingsError, Variants, read, settings, show};
use serde_json::json;

const SERVER: &str = r#"{ url = "http://a", weight = 2 }"#;
const SERVERS: &str = r#"["http://a", { url = "http://b", weight = 2 }]"#;

settings! {
    /// One server.
    pub struct Server {
        /// Where it is.
        url: String = text("http://a"), required(r#""http://a""#), at_reload;
        /// How much of the traffic it takes.
        weight: usize = count(1..=100), default(1), at_start;
        /// What it is good for.
        tags: Vec<String> = list(text("a"), r#"["a"]"#), default(Vec::new()), at_start;
    }
}

settings! {
    /// Servers that stand for one another.
    pub struct Upstream {
        /// The servers.
        servers: Vec<Server> = list(text_or_table(text("http://a"), SERVER, whole, short), SERVERS).not_empty().each_once("server"),
            required(SERVERS), at_reload;
    }
}

settings! {
    /// Where requests go.
    pub struct Route {
        /// The host that is asked for.
        host: Option<String> = optional(text("a.test")), left_out(r#""a.test""#), at_reload;
        /// The upstream's name.
        upstream: String = text("chat"), required(r#""chat""#), at_reload;
        /// How long a response may take.
        timeout: Duration = duration(SHORTEST..=LONGEST), default(Duration::from_secs(60)), at_start;
    }
}

settings! {
    /// All of it.
    pub struct Proxy {
        /// Its name.
        name: String = text("front"), default("front".to_owned()), at_start;
        /// The most specific one is taken.
        routes: Vec<Route> = tables::<Route>("routes"), default(Vec::new()), at_reload;
        /// By name.
        upstreams: BTreeMap<String, Upstream> = named::<Upstream>("upstreams"), default(BTreeMap::new()), at_start;
        /// What helps out.
        spare: Option<Server> = optional(text_or_table(text("http://a"), SERVER, whole, short)), left_out(SERVER), at_start;
        /// Where the rest goes.
        last: Option<Server> = mapped(or_word(inline_table::<Server>(SERVER), "none"), |last| last, Clone::clone), default(None), at_start;
    }
}

fn whole(url: String) -> Server {
    Server {
        url,
        ..Server::default()
    }
}

fn short(server: &Server) -> Option<String> {
    (server.weight == 1 && server.tags.is_empty()).then(|| server.url.clone())
}

fn parse(text: &str) -> Result<Proxy, SettingsError> {
    let file = vec![Layer::file(Path::new("proxy.toml"), text)];
    read(file, NamedFiles::NotLookedAt, |section, _| Proxy::read(section))
}

const COMPLETE: &str = r#"
[[routes]]
host = "a.test"
upstream = "chat"
[[routes]]
upstream = "else where"
timeout = "5s"
[upstreams.chat]
servers = ["http://a", { url = "http://b", weight = 2 }]
[upstreams."else where"]
servers = ["http://c"]
"#;

#[test]
fn nested_tables_are_read_and_what_is_printed_reads_back_equal() {
    let proxy = parse(COMPLETE).unwrap();
    assert_eq!(proxy.routes[1].timeout, Duration::from_secs(5));
    let servers = &proxy.upstreams["chat"].servers;
    assert_eq!((servers[0].weight, servers[1].weight), (1, 2));
    let printed = show::to_toml(&proxy);
    assert!(printed.contains("[[routes]]\nhost = \"a.test\"\n"), "{printed}");
    assert!(printed.contains("[upstreams.\"else where\"]\n"), "{printed}");
    assert!(
        printed.contains("    \"http://a\",\n    { url = \"http://b\", weight = 2, tags = [] },\n"),
        "{printed}"
    );
    assert_eq!(parse(&printed).unwrap(), proxy);
}

#[test]
fn every_fault_of_nested_tables_is_reported_with_its_place() {
    let text = r#"
routes = [{ upstrem = "chat" }, 5]
[upstreams.chat]
servers = ["http://a", { url = "http://a" }, { url = 5, weight = 0 }]
[upstreams.none]
servers = []
"#;
    let error = parse(text).unwrap_err().to_string();
    let lines: Vec<&str> = error.lines().collect();
    assert_eq!(
        lines,
        [
            "proxy.toml:2: routes[0].upstream: missing; add to routes[0], for example: upstream = \"chat\"",
            "proxy.toml:2: routes[0].upstrem = \"chat\": unknown key; did you mean \"upstream\"? known keys here: host, upstream, \
             timeout",
            "proxy.toml:2: routes[1] = 5: accepted is tables: [[routes]] and the keys of each below it",
            "proxy.toml:4: upstreams.chat.servers[1] = { url = \"http://a\" }: accepted is each server once; \"http://a\" is \
             listed before",
            "proxy.toml:4: upstreams.chat.servers[2].url = 5: accepted is text that is not empty, such as \"http://a\"",
            "proxy.toml:4: upstreams.chat.servers[2].weight = 0: accepted is a whole number from 1 to 100",
            "proxy.toml:6: upstreams.none.servers = []: accepted is a list of at least one, such as \
             [\"http://a\", { url = \"http://b\", weight = 2 }]",
        ]
    );
    let error = parse("routes = { upstream = 'a' }\nupstreams = ['a']\n")
        .unwrap_err()
        .to_string();
    assert!(error.contains("proxy.toml:1: routes"), "{error}");
    assert!(
        error.contains("proxy.toml:2: upstreams = ['a']: accepted is tables by name: [upstreams.NAME]"),
        "{error}"
    );
}

#[test]
fn a_change_within_tables_waits_for_a_restart_as_the_key_in_them_does() {
    let old = parse(COMPLETE).unwrap();
    let waiting = |change: fn(&mut Proxy)| {
        let (mut new, mut keys) = (old.clone(), Vec::new());
        change(&mut new);
        old.waiting_for_start(&new, "", &mut keys);
        keys
    };
    assert!(waiting(|_| ()).is_empty());
    assert!(waiting(|new| new.routes[0].upstream = "else where".to_owned()).is_empty());
    assert!(waiting(|new| new.routes.clear()).is_empty());
    assert_eq!(waiting(|new| new.routes[1].timeout = SHORTEST), ["routes[1].timeout"]);
    assert!(waiting(|new| server(new).url = "http://d".to_owned()).is_empty());
    assert_eq!(
        waiting(|new| server(new).weight = 3),
        ["upstreams.\"else where\".servers[0].weight"]
    );
    assert_eq!(
        waiting(|new| server(new).tags.push("a".to_owned())),
        ["upstreams.\"else where\".servers[0].tags"]
    );
    // Servers come and go at a reload, upstreams at start.
    assert!(waiting(|new| new.upstreams.get_mut("chat").unwrap().servers.truncate(1)).is_empty());
    assert_eq!(waiting(|new| drop(new.upstreams.remove("chat"))), ["upstreams"]);
    let other_name = |new: &mut Proxy| {
        let chat = new.upstreams.remove("chat").unwrap();
        new.upstreams.insert("talk".to_owned(), chat);
        server(new).weight = 3;
    };
    assert_eq!(
        waiting(other_name),
        ["upstreams", "upstreams.\"else where\".servers[0].weight"]
    );
    assert_eq!(
        waiting(|new| {
            new.name = "back".to_owned();
            new.spare = Some(whole("http://spare".to_owned()));
        }),
        ["name", "spare"]
    );
}

fn server(proxy: &mut Proxy) -> &mut Server {
    &mut proxy.upstreams.get_mut("else where").expect("the text has it").servers[0]
}

#[test]
fn a_change_within_other_kinds_waits_as_well() {
    let waiting = |old: &str, new: &str| {
        let mut keys = Vec::new();
        let (old, new) = (parse(old).unwrap(), parse(new).unwrap());
        old.waiting_for_start(&new, "", &mut keys);
        keys
    };
    let spare = "spare = { url = 'http://a', weight = 2 }";
    assert_eq!(waiting("spare = 'http://a'", spare), ["spare.weight"]);
    assert!(waiting("spare = 'http://a'", "spare = 'http://b'").is_empty());
    assert!(waiting("last = { url = 'http://a' }", "last = { url = 'http://b' }").is_empty());
    assert_eq!(waiting("last = 'none'", "last = { url = 'http://a' }"), ["last"]);
    assert_eq!(
        waiting("last = { url = 'http://a' }", "last = { url = 'http://a', weight = 2 }"),
        ["last.weight"]
    );
}

#[test]
fn nested_tables_are_in_the_sample_the_reference_and_the_schema() {
    let description = Proxy::describe();
    let sample = show::sample("", &description);
    assert!(
        sample.contains(
            "# The most specific one is taken.\n# [[routes]]\n# # The host that is asked for.\n# # host = \"a.test\"\n"
        ),
        "{sample}"
    );
    assert!(sample.contains("# (start) By name.\n# [upstreams.NAME]\n"), "{sample}");
    assert_eq!(parse(&sample).unwrap(), Proxy::default());
    let reference = show::reference("", &description);
    for heading in ["### `routes[].host`", "### `upstreams.NAME.servers`"] {
        assert!(reference.contains(heading), "{reference}");
    }
    let schema = show::schema("proxy", &description);
    let route = &schema["properties"]["routes"]["items"];
    assert_eq!(
        (&route["required"], &route["additionalProperties"]),
        (&json!(["upstream"]), &json!(false))
    );
    let servers = &schema["properties"]["upstreams"]["additionalProperties"]["properties"]["servers"];
    assert_eq!(
        (&servers["minItems"], &servers["uniqueItems"]),
        (&json!(1), &json!(true))
    );
    assert_eq!(
        servers["items"]["anyOf"][1]["properties"]["weight"]["default"],
        json!(1)
    );
}

#[test]
fn later_texts_lie_over_earlier_ones_and_a_fault_names_its_own() {
    let variants = Variants {
        all: &["fast"],
        chosen: Some("fast"),
    };
    let read_all = |set: &str| {
        let layers = vec![
            Layer::file(
                Path::new("base.toml"),
                "url = 'http://base'\nweight = 3\n[fast]\nweight = 5\n",
            )
            .with_variants(variants),
            Layer::option(&format!("--set {set}"), set),
        ];
        read(layers, NamedFiles::NotLookedAt, |section, _| Server::read(section))
    };
    let server = read_all("url = 'http://set'").unwrap();
    assert_eq!((server.url.as_str(), server.weight), ("http://set", 5));
    assert_eq!(
        read_all("weight = 0").unwrap_err().to_string(),
        "--set weight = 0: weight = 0: accepted is a whole number from 1 to 100"
    );
    assert_eq!(
        read_all("wieght = 1").unwrap_err().to_string(),
        "--set wieght = 1: wieght = 1: unknown key; did you mean \"weight\"? known keys here: url, weight, tags"
    );
}
