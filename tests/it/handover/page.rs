//! The live page follows the proxy to its next process.

use crate::support::browser::Browser;
use crate::support::{Family, Origin};

/// Keeps the longest time for which the page had no connection, in milliseconds.
const WATCH: &str = "
    window.longest = 0;
    let since = null;
    new MutationObserver(() => {
      const lost = document.body.dataset.link !== 'live';
      if (lost) since ??= performance.now();
      else if (since !== null) { window.longest = Math.max(window.longest, performance.now() - since); since = null; }
    }).observe(document.body, { attributes: true, attributeFilter: ['data-link'] });
";

#[tokio::test]
async fn the_page_goes_on_and_says_what_was_taken_over() {
    let origin = Origin::demo().await;
    let servers = [format!("http://{}", origin.address)];
    let family = Family::start(&servers, "server.workers = 2").await;
    let mut clients = Vec::new();
    for _ in 0..20 {
        clients.push(family.tunnel("/echo").await);
    }
    let browser = Browser::start().await;
    browser.open(&format!("http://{}/", family.admin)).await;
    browser.until("document.body.dataset.link === 'live'").await;
    assert_eq!(browser.text("#taken-over").await, "");
    browser.run(WATCH).await;
    for _ in 0..2 {
        family.upgrade().await;
        browser
            .until("document.querySelector('#taken-over').textContent.startsWith('Took over 20 tunnels and 0 idle connections')")
            .await;
        browser.until("document.body.dataset.link === 'live'").await;
        for client in &mut clients {
            client.echo(b"still here").await;
        }
    }
    let longest = browser.run("return String(window.longest)").await;
    let longest: f64 = longest.as_str().unwrap().parse().unwrap();
    assert!(longest < 1000.0, "without a connection for {longest} ms");
}
