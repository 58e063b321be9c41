//! Tables on one line, whatever they hold.

use std::collections::BTreeMap;
use std::path::Path;

use headpin_settings::kind::{count, inline_table, list, mapped, named, or_off, tables, text};
use headpin_settings::{Layer, NamedFiles, Settings as _, SettingsError, read, settings, show};
use serde_json::json;

const SERVER: &str = r#"{ url = "http://a", tags = ["a"] }"#;

settings! {
    /// One check.
    pub struct Check {
        /// Where it looks.
        path: String = text("/"), default("/".to_owned()), at_reload;
        /// What it expects.
        codes: Vec<usize> = list(count(100..=599), "[200]"), default(Vec::new()), at_reload;
    }
}

settings! {
    /// Numbers that belong together.
    pub struct Limits {
        /// The most at once.
        most: usize = count(1..=100), default(10), at_start;
    }
}

settings! {
    /// One server.
    pub struct Server {
        /// Where it is.
        url: String = text("http://a"), required(r#""http://a""#), at_start;
        /// What it is good for.
        tags: Vec<String> = list(text("a"), r#"["a"]"#), default(Vec::new()), at_reload;
        /// Checks in order.
        checks: Vec<Check> = tables::<Check>("checks"), default(Vec::new()), at_reload;
        /// Checks by name.
        by_name: BTreeMap<String, Check> = named::<Check>("by_name"), default(BTreeMap::new()), at_reload;
    }
    sections {
        /// Limits.
        limits: Limits,
    }
}

settings! {
    /// All of it.
    pub struct Proxy {
        /// The first one.
        first: Server = inline_table::<Server>(SERVER), default(Server::default()), at_start;
        /// The others.
        others: Vec<Server> = list(inline_table::<Server>(SERVER), SERVER), default(Vec::new()), at_start;
        /// Codes that are good.
        codes: Vec<usize> = list(count(100..=599), "[200]"), default(vec![200, 204]), at_start;
        /// Checks that may be off.
        checks: Option<Vec<Check>> = or_off(tables::<Check>("checks")), default(None), at_start;
        /// Routes, as another type.
        routes: Routes = mapped(tables::<Check>("routes"), Routes, |routes| routes.0.clone()), default(Routes::default()), at_start;
    }
}

/// Routes in order.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Routes(Vec<Check>);

fn parse(text: &str) -> Result<Proxy, SettingsError> {
    let file = vec![Layer::file(Path::new("proxy.toml"), text)];
    read(file, NamedFiles::NotLookedAt, |section, _| Proxy::read(section))
}

const COMPLETE: &str = r#"
first = { url = "a\nb", tags = ["a, b", "[c]"], checks = [{ path = "/1", codes = [200, 201] }, {}], limits = { most = 3 } }
others = [{ url = "x", by_name = { slow = { path = "/" }, "very slow" = { codes = [500] } } }]
[[checks]]
path = "/check"
[[routes]]
codes = [404]
"#;

#[test]
fn a_table_on_one_line_reads_back_equal_whatever_it_holds() {
    let proxy = parse(COMPLETE).unwrap();
    let printed = show::to_toml(&proxy);
    for part in [
        r#"tags = ["a, b", "[c]"], checks = [{ path = "/1", codes = [200, 201] }, { path = "/", codes = [] }], "#,
        r#"limits = { most = 3 } }"#,
        r#"by_name = { slow = { path = "/", codes = [] }, "very slow" = { path = "/", codes = [500] } }"#,
    ] {
        assert!(printed.contains(part), "{part} is missing in\n{printed}");
    }
    assert!(
        printed.contains("\nfirst = { url = ") || printed.starts_with("first = { url = "),
        "{printed}"
    );
    assert_eq!(parse(&printed).unwrap(), proxy);
}

#[test]
fn tables_within_other_kinds_are_printed_and_described() {
    let proxy = parse(COMPLETE).unwrap();
    let printed = show::to_toml(&proxy);
    for part in [
        "[[checks]]\npath = \"/check\"\n",
        "[[routes]]\npath = \"/\"\ncodes = [\n    404,\n]\n",
    ] {
        assert!(printed.contains(part), "{part} is missing in\n{printed}");
    }
    let off = show::to_toml(&Proxy::default());
    assert!(off.contains("checks = \"off\"\n"), "{off}");
    let reference = show::reference("", &Proxy::describe());
    for heading in ["### `checks[].path`", "### `routes[].codes`"] {
        assert!(reference.contains(heading), "{reference}");
    }
}

#[test]
fn a_list_is_a_default_in_the_schema() {
    let schema = show::schema("proxy", &Proxy::describe());
    let defaults = |key: &str| schema["properties"][key]["default"].clone();
    assert_eq!(defaults("codes"), json!([200, 204]));
    assert_eq!(defaults("others"), json!([]));
    assert_eq!(defaults("checks"), json!("off"));
    assert_eq!(defaults("first")["limits"], json!({ "most": 10 }));
}
