//! The live page, in a real browser.

use headpin::observe::labels::HeadPolicy;
use serde_json::json;

use crate::support::browser::{Browser, ENTER, RIGHT};
use crate::support::serving::Serving;
use crate::support::{Client, Origin, Proxy, proxy};

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
    files.write_config(&servers, HeadPolicy::Pin, &admin("127.0.0.1:0"));

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
