//! The live page, in a real browser.

use headpin::observe::labels::HeadPolicy;
use serde_json::{Value, json};

use crate::support::browser::{Browser, ENTER, RIGHT};
use crate::support::serving::Serving;
use crate::support::{Client, Origin, Proxy, eventually, get, named, proxy};

const SETTINGS: &str =
    "[server]\nlisten = \"127.0.0.1:0\"\nworkers = 1\n[slabs]\ntls_capacity = \"64KiB\"\n[log]\naccess = false";
const SLAB: usize = 64 * 1024;
const PINNED_CELLS: &str = "document.querySelectorAll('#map .cell.is-pinned').length";
const LIVE: &str = "document.body.dataset.link === 'live'";

/// Tunnels of which each pins a slab of its own, and the one whose messages filled those slabs.
async fn pin(proxy: &Proxy, slabs: usize) -> Vec<Client> {
    let mut talking = proxy.tunnel("/echo").await;
    let mut tunnels = Vec::new();
    for _ in 0..slabs {
        tunnels.push(proxy.tunnel("/echo").await);
        for _ in 0..SLAB / 8192 {
            talking.echo(&[1; 8 * 1024]).await;
        }
    }
    tunnels.push(talking);
    tunnels
}

async fn open(proxy: &Proxy) -> Browser {
    let browser = Browser::start().await;
    browser.open(&format!("http://{}/", proxy.admin)).await;
    browser.until(LIVE).await;
    browser
}

/// In the page: the first row of this server.
fn row(server: &str) -> String {
    format!("[...document.querySelectorAll('#upstreams tr')].find((row) => row.cells[0].innerText === {server:?})")
}

/// In the page: how this server is.
fn state(server: &str) -> String {
    format!("{}?.querySelector('.state-name').innerText", row(server))
}

/// What `/api/upstreams` says of the state of each server.
async fn states(proxy: &Proxy) -> Vec<String> {
    let (_, body) = proxy.admin("GET", "/api/upstreams", "").await;
    let report: Value = serde_json::from_str(&body).unwrap();
    let upstreams = report["upstreams"].as_array().unwrap().iter();
    let servers = upstreams.flat_map(|upstream| upstream["servers"].as_array().unwrap());
    servers
        .map(|server| server["state"].as_str().unwrap().to_owned())
        .collect()
}

async fn assert_nothing_in_console(browser: &Browser) {
    let console = browser.console().await;
    assert!(console.is_empty(), "{}", console.join("\n"));
}

#[tokio::test]
async fn a_pin_leads_to_its_connection_and_back() {
    let origin = Origin::demo().await;
    let proxy = Proxy::start(&origin, HeadPolicy::Pin, SETTINGS);
    let tunnels = pin(&proxy, 8).await;
    let browser = open(&proxy).await;
    browser.until(&format!("{PINNED_CELLS} >= 8")).await;

    browser.click("#map .cell.is-pinned").await;
    let slab = browser.text("#detail-title").await;
    assert!(slab.starts_with("tls-0-"), "{slab}");
    browser
        .until("document.querySelectorAll('#detail-list a').length >= 1")
        .await;
    browser.click("#detail-list a").await;
    browser
        .until("document.querySelector('#detail-title').textContent.startsWith('#')")
        .await;
    let connection = browser.text("#detail-title").await;
    assert!(
        browser.text("#detail-told").await.contains("64.0 KiB"),
        "what it keeps is said"
    );
    // The table marks it as well.
    browser
        .until(&format!(
            "document.querySelector('#rows tr[aria-selected=true] a')?.textContent === '{connection}'"
        ))
        .await;

    let to_slab = format!("#detail-list a[href=\"#/slab/{slab}\"]");
    browser.click(&to_slab).await;
    browser
        .until(&format!(
            "document.querySelector('#detail-title').textContent === '{slab}'"
        ))
        .await;
    browser.run("history.back()").await;
    browser
        .until(&format!(
            "document.querySelector('#detail-title').textContent === '{connection}'"
        ))
        .await;
    // An address that is kept shows the same again.
    browser.open(&format!("http://{}/#/slab/{slab}", proxy.admin)).await;
    browser.run("location.reload()").await;
    browser
        .until(&format!(
            "document.querySelector('#detail-title').textContent === '{slab}'"
        ))
        .await;

    assert_nothing_in_console(&browser).await;
    drop(tunnels);
    proxy::all_gone(&proxy.metrics).await;
    browser
        .until("document.querySelector('#detail-told').textContent.includes('not there any more')")
        .await;
    drop(browser);
    proxy.stop().await;
}

#[tokio::test]
async fn by_keyboard_the_switch_is_flipped_and_the_pinned_slabs_go() {
    let origin = Origin::demo().await;
    let proxy = Proxy::start(&origin, HeadPolicy::Pin, SETTINGS);
    let tunnels = pin(&proxy, 12).await;
    let browser = open(&proxy).await;
    browser.until(&format!("{PINNED_CELLS} >= 12")).await;
    assert!(browser.text("#pinned").await.contains("KiB"));
    assert!(
        browser.text("#amplification-told").await.contains("empty heads"),
        "words, not a division by 0"
    );

    browser.tab_to("#policy").await;
    browser.press([' ']).await;
    browser
        .until("document.querySelector('#policy').getAttribute('aria-checked') === 'false'")
        .await;
    browser
        .until(&format!(
            "{PINNED_CELLS} === 0 && document.querySelector('#pinned').textContent === '0 B'"
        ))
        .await;
    assert_eq!(proxy.running.policy.get().await, HeadPolicy::Copy);
    assert_eq!(proxy.pinned_bytes(), 0);
    assert!(browser.text("#policy-told").await.ends_with("heads let go"));
    assert_eq!(
        browser.run("return document.activeElement.id").await,
        "policy",
        "the focus stays"
    );

    // The slabs are one stop of the Tab key, within which arrow keys move; the focus shows, Enter goes there.
    browser.press([ENTER]).await;
    browser
        .until("document.querySelector('#policy').getAttribute('aria-checked') === 'true'")
        .await;
    // Slabs that nothing is in are freed once the traffic rests: some that stay.
    let more = pin(&proxy, 3).await;
    browser.until(&format!("{PINNED_CELLS} >= 3")).await;
    browser.tab_to("#map .cell").await;
    browser.press([RIGHT]).await;
    let focused = browser.run("return document.activeElement.dataset.id").await;
    browser
        .until(&format!(
            "document.querySelector('#detail-title').textContent === {focused}"
        ))
        .await;
    browser.press([ENTER]).await;
    assert_eq!(browser.run("return document.activeElement.id").await, "detail-title");
    browser.tab_to("#chart").await;
    browser.tab_to("#filter").await;
    browser.tab_to("#columns button").await;
    browser.tab_to("#rows a").await;

    assert_nothing_in_console(&browser).await;
    drop((tunnels, more));
    proxy::all_gone(&proxy.metrics).await;
    drop(browser);
    proxy.stop().await;
}

#[tokio::test]
async fn a_flip_that_fails_is_told_and_the_switch_shows_what_is_in_force() {
    let origin = Origin::demo().await;
    let proxy = Proxy::start(&origin, HeadPolicy::Pin, SETTINGS);
    let browser = open(&proxy).await;
    browser
        .until("document.querySelector('#policy').getAttribute('aria-disabled') === 'false'")
        .await;
    browser.devtools("Network.enable", json!({})).await;
    browser
        .devtools("Network.setBlockedURLs", json!({ "urls": ["*/api/head_policy"] }))
        .await;
    browser.click("#policy").await;
    browser
        .until("document.querySelector('#policy-told').classList.contains('is-error')")
        .await;
    assert_eq!(
        browser.text("#policy-told").await,
        "Not changed: the proxy cannot be reached"
    );
    browser
        .until("document.querySelector('#policy').getAttribute('aria-disabled') === 'false'")
        .await;
    assert_eq!(
        browser
            .run("return document.querySelector('#policy').ariaChecked")
            .await,
        "true"
    );
    // A change by others shows as well.
    proxy
        .admin("PUT", "/api/head_policy", r#"{"head_policy": "copy"}"#)
        .await;
    browser
        .until("document.querySelector('#policy').ariaChecked === 'false'")
        .await;
    drop(browser);
    proxy.stop().await;
}

#[tokio::test]
async fn a_lost_proxy_is_told_and_found_again() {
    let origin = Origin::demo().await;
    // Only its files are wanted.
    let files = Proxy::start(&origin, HeadPolicy::Pin, SETTINGS);
    let servers = [format!("http://{}", origin.address)];
    let config = files.folder.path().join("headpin.toml");
    let settings = SETTINGS.replace("[log]", "[log]\nformat = \"json\"");
    let admin = |address: &str| format!("{settings}\n[admin]\nlisten = \"{address}\"");
    // On an address that no other test has, so that none can take the port while no proxy listens on it.
    let [high, low] = (std::process::id() as u16).to_be_bytes();
    files.write_config(&servers, HeadPolicy::Pin, &admin(&format!("127.{high}.{low}.2:0")));

    let first = Serving::start(&config);
    let address = first.admin;
    let browser = Browser::start().await;
    browser.open(&format!("http://{address}/")).await;
    browser.until(LIVE).await;
    browser
        .until("document.querySelector('#resident').textContent.includes('MiB')")
        .await;
    assert_nothing_in_console(&browser).await;
    let resident = browser.text("#resident").await;

    drop(first);
    browser.until("!document.querySelector('#lost').hidden").await;
    assert!(
        browser
            .text("#lost-what")
            .await
            .starts_with("No news from the proxy since ")
    );
    assert!(
        browser
            .text("#lost-how-long")
            .await
            .starts_with("What is shown is from ")
    );
    assert_eq!(browser.text("#link").await, "No connection");
    assert_eq!(
        browser.text("#resident").await,
        resident,
        "the last that is known stays"
    );
    browser
        .until("document.querySelector('#upstreams td button').ariaDisabled === 'true'")
        .await;
    browser
        .until("getComputedStyle(document.querySelector('main')).filter === 'grayscale(1)'")
        .await;
    assert_eq!(
        browser
            .run("return document.querySelector('#policy').ariaDisabled")
            .await,
        "true"
    );

    files.write_config(&servers, HeadPolicy::Copy, &admin(&address.to_string()));
    let _second = Serving::start(&config);
    browser
        .until(&format!("{LIVE} && document.querySelector('#lost').hidden"))
        .await;
    browser
        .until("document.querySelector('#policy').ariaChecked === 'false'")
        .await;
    assert_eq!(browser.text("#link").await, "Live");
    // What the console has now is the browser's own word on each attempt that failed.
    let console = browser.console().await;
    assert!(
        console.iter().all(|line| line.contains("net::ERR_")),
        "{}",
        console.join("\n")
    );
    drop(browser);
    files.stop().await;
}

#[tokio::test]
async fn with_two_thousand_tunnels_the_page_stays_small_and_answers() {
    const TUNNELS: usize = 2000;
    let origin = Origin::demo().await;
    let proxy = Proxy::start(&origin, HeadPolicy::Pin, SETTINGS);
    let browser = open(&proxy).await;
    let mut tunnels = Vec::new();
    while tunnels.len() < TUNNELS {
        let some = (0..50).map(|_| proxy.tunnel("/echo"));
        tunnels.extend(futures_util::future::join_all(some).await);
    }
    browser
        .until("document.querySelector('#tunnels').textContent === '2,000'")
        .await;
    assert_eq!(browser.text("#connections-told").await, "2,000 connections");
    assert_eq!(browser.text("#page-told").await, "page 1 of 80");
    assert_eq!(
        browser.run("return document.querySelectorAll('#rows tr').length").await,
        25
    );
    let nodes = browser.run("return document.querySelectorAll('*').length").await;
    assert!(nodes.as_u64().unwrap() < 3000, "{nodes} elements");

    browser.click("#columns th:first-child button").await;
    browser
        .until("document.querySelector('#rows a').textContent === '#1'")
        .await;
    browser.click("#next").await;
    browser
        .until("document.querySelector('#rows a').textContent === '#26'")
        .await;
    browser.click("#filter").await;
    browser.press("#1999".chars()).await;
    browser
        .until("document.querySelectorAll('#rows tr').length === 1")
        .await;
    assert_eq!(browser.text("#connections-told").await, "1 of 2,000 connections");
    // What moves is shown, and sorted by.
    browser.run("document.querySelector('#filter').value = ''").await;
    browser.click("#columns th:nth-child(9) button").await;
    tunnels[1234].echo(&[7; 5000]).await;
    browser
        .until("document.querySelector('#rows tr').cells[8].textContent === '4.89 KiB'")
        .await;

    assert_nothing_in_console(&browser).await;
    drop(tunnels);
    proxy::all_gone(&proxy.metrics).await;
    browser
        .until("document.querySelector('#tunnels').textContent === '0'")
        .await;
    drop(browser);
    proxy.stop().await;
}

#[tokio::test]
async fn light_and_dark_and_without_motion_as_the_viewer_prefers() {
    let origin = Origin::demo().await;
    let proxy = Proxy::start(&origin, HeadPolicy::Pin, SETTINGS);
    let tunnels = pin(&proxy, 30).await;
    let browser = open(&proxy).await;
    browser.until(&format!("{PINNED_CELLS} >= 30")).await;
    let ground = "return getComputedStyle(document.documentElement).backgroundColor";
    let mut seen = Vec::new();
    for scheme in ["light", "dark"] {
        browser.prefer("prefers-color-scheme", scheme).await;
        seen.push((browser.run(ground).await, browser.screenshot().await));
    }
    assert_ne!(seen[0].0, seen[1].0, "another ground");
    assert_ne!(seen[0].1, seen[1].1, "another picture");

    // The chart's scale, next to the units' borders as well.
    let tops = "return import('/page/chart.js').then(({ ceiling }) => \
        [0, 1000, 1024, 990 * 1024, 1000 * 2 ** 20, 1023 * 2 ** 20, 2 ** 30].map((value) => ceiling(value) / value))";
    let tops = browser.run(tops).await;
    for top in &tops.as_array().unwrap()[1..] {
        let above = top.as_f64().unwrap_or(f64::NAN);
        assert!((1.0..2.2).contains(&above), "{tops}");
    }

    let moves = "return getComputedStyle(document.querySelector('.cell')).transitionDuration";
    assert_ne!(browser.run(moves).await, "0s");
    browser.prefer("prefers-reduced-motion", "reduce").await;
    assert_eq!(browser.run(moves).await, "0s");

    // On a telephone nothing is wider than the window.
    let size = json!({ "width": 400, "height": 900, "deviceScaleFactor": 1, "mobile": false });
    browser.devtools("Emulation.setDeviceMetricsOverride", size).await;
    browser.until("document.documentElement.scrollWidth <= 400").await;
    assert_nothing_in_console(&browser).await;
    drop(tunnels);
    proxy::all_gone(&proxy.metrics).await;
    drop(browser);
    proxy.stop().await;
}

#[tokio::test]
async fn a_click_drains_a_server_and_a_second_one_brings_it_back() {
    let (one, two) = (named("one").await, named("two").await);
    let (first, second) = (format!("http://{}", one.address), format!("http://{}", two.address));
    let proxy = Proxy::with_routes(&format!("[upstream]\nservers = [\"{first}\", \"{second}\"]\n"));
    let mut client = proxy.connect().await;
    let browser = open(&proxy).await;
    for server in [&first, &second] {
        browser.until(&format!("{} === 'up'", state(server))).await;
    }
    let title = browser.text("#upstreams .title").await;
    assert_eq!(title, "defaultround_robin2 servers up");
    get(&mut client, "a", "/").await;
    get(&mut client, "a", "/").await;
    for server in [&first, &second] {
        let counted = format!("{}.cells[3].innerText === '1'", row(server));
        browser.until(&counted).await;
        browser
            .until(&format!("{}.cells[7].innerText.endsWith(' ms')", row(server)))
            .await;
    }

    browser.click("#upstreams td button").await;
    browser.until(&format!("{} === 'draining'", state(&first))).await;
    assert_eq!(states(&proxy).await, ["draining", "up"]);
    for _ in 0..3 {
        assert_eq!(get(&mut client, "a", "/").await.1, "two");
    }
    assert_eq!(
        browser.text("#drain-told").await,
        format!("{first} gets no new requests")
    );
    assert_eq!(browser.text("#upstreams td button").await, "Bring back");
    // The focus has stayed on the button, so the keyboard takes it back.
    browser
        .until("document.querySelector('#upstreams td button').ariaDisabled === 'false'")
        .await;
    browser.press([' ']).await;
    browser.until(&format!("{} === 'up'", state(&first))).await;
    assert_eq!(states(&proxy).await, ["up", "up"]);
    assert_eq!(browser.text("#drain-told").await, format!("{first} is back in turn"));
    assert_nothing_in_console(&browser).await;

    browser.devtools("Network.enable", json!({})).await;
    browser
        .devtools("Network.setBlockedURLs", json!({ "urls": ["*/api/upstreams"] }))
        .await;
    browser.press([' ']).await;
    browser
        .until(
            "document.querySelector('#drain-told.is-error')?.innerText === 'Not changed: the proxy cannot be reached'",
        )
        .await;
    assert_eq!(states(&proxy).await, ["up", "up"]);
    drop((client, browser));
    proxy.stop().await;
}

#[tokio::test]
async fn a_killed_server_is_down_and_its_words_are_text() {
    let (one, two) = (named("one").await, named("two").await);
    let killed = format!("http://{}", two.address);
    let hostile = "unix:/run/<img src=x onerror=document.title=1>.sock";
    let proxy = Proxy::with_routes(&format!(
        "[[routes]]\npath = \"/other\"\nupstream = \"other\"\n[[routes]]\nupstream = \"default\"\n\
         [upstream]\nservers = [\"http://{}\", \"{killed}\"]\n[upstreams.other]\nservers = [\"{hostile}\"]\n",
        one.address
    ));
    let browser = open(&proxy).await;
    browser.until(&format!("{} === 'up'", state(&killed))).await;
    browser.until(&format!("{} === 'up'", state(hostile))).await;
    assert_eq!(
        browser
            .run("return document.querySelectorAll('#upstreams img').length")
            .await,
        0
    );
    assert_eq!(
        browser.text("#upstreams-told").await,
        "2 upstreams, 3 servers up",
        "all that there is, in words"
    );

    let address = two.address;
    drop(two);
    eventually("the listener is closed", || {
        std::net::TcpStream::connect(address).is_err()
    })
    .await;
    let mut client = proxy.connect().await;
    for _ in 0..2 {
        assert_eq!(get(&mut client, "a", "/").await, (200, "one".to_owned()));
    }
    browser.until(&format!("{} === 'down'", state(&killed))).await;
    let why = browser
        .run(&format!("return {}.querySelector('small').innerText", row(&killed)))
        .await;
    let refused = "it cannot be connected to: Connection refused";
    assert!(why.as_str().unwrap().starts_with(refused), "{why}");
    let failed = browser
        .run(&format!("return {}.cells[8].innerText", row(&killed)))
        .await;
    assert!(failed.as_str().unwrap().ends_with(" s ago"), "{failed}");
    assert!(
        browser
            .text("#upstreams .title")
            .await
            .ends_with("2 servers: 1 up, 1 down")
    );
    assert_nothing_in_console(&browser).await;
    drop((client, browser));
    proxy.stop().await;
}

#[tokio::test]
async fn of_very_many_servers_only_those_that_are_not_up_are_shown_until_they_are_asked_for() {
    use std::fmt::Write as _;

    let mut text = String::new();
    for upstream in 0..10 {
        write!(text, "[[routes]]\npath = \"/{upstream}\"\nupstream = \"u{upstream}\"\n").unwrap();
    }
    for upstream in 0..10 {
        let servers: Vec<String> = (1..=10)
            .map(|port| format!("http://192.0.2.{upstream}:{port}"))
            .collect();
        write!(text, "[upstreams.u{upstream}]\nservers = {servers:?}\n").unwrap();
    }
    let proxy = Proxy::with_routes(&text);
    let browser = open(&proxy).await;
    browser
        .until("document.querySelector('#upstreams-told').innerText === '10 upstreams, 100 servers up'")
        .await;
    const ROWS: &str = "document.querySelectorAll('#upstreams tbody tr:not(.title)').length";
    assert_eq!(browser.run(&format!("return {ROWS}")).await, 0);
    let drained = "http://192.0.2.3:7";
    let body = json!({ "upstream": "u3", "server": drained, "drain": true }).to_string();
    proxy.admin("PUT", "/api/upstreams", &body).await;
    browser
        .until(&format!("{ROWS} === 1 && {} === 'draining'", state(drained)))
        .await;

    browser.tab_to("#upstreams .fold").await;
    browser.press([' ']).await;
    browser.until(&format!("{ROWS} === 11")).await;
    // Its row goes from the fold when it is up again; the focus does not get lost.
    browser
        .tab_to(&format!("[aria-label=\"Bring back {drained} of u3\"]"))
        .await;
    browser.press([ENTER]).await;
    browser.until(&format!("{ROWS} === 10")).await;
    assert_eq!(browser.run("return document.activeElement.innerText").await, "u3");

    // The addresses of one name share a button.
    let shared = "return import('/page/upstreams.js').then(({ show }) => {
        const at = (server, address) => ({ server, address, state: 'up', why: null, since: 0, requests: 0, failures: 0,
            in_flight: 0, tunnels: 0, latency_seconds: 0, last_failure: null, failed: null });
        const servers = [at('http://a', '192.0.2.1:80'), at('http://a', '192.0.2.2:80'), at('http://b', '192.0.2.3:80')];
        show({ now: 0, upstreams: new Map([['u', { name: 'u', balance: 'random', servers }]]) });
        return [...document.querySelectorAll('#upstreams tbody tr:not(.title)')].map((row) => {
            const [server, button] = [row.cells[0], row.cells[row.cells.length - 1]];
            return [server.hidden, server.rowSpan, button.hidden, button.rowSpan];
        });
    })";
    let cells = json!([[false, 2, false, 2], [true, 1, true, 1], [false, 1, false, 1]]);
    assert_eq!(browser.run(shared).await, cells);
    assert_nothing_in_console(&browser).await;
    drop(browser);
    proxy.stop().await;
}
