//! A browser, at the live page and at a tunnel, does not lose the proxy when its process is replaced.

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

/// Opens a tunnel that sends a message every few milliseconds, and counts what comes back in order.
const CHAT: &str = "
    window.chat = { sent: 0, back: 0, wrong: 0, closed: null };
    const socket = new WebSocket(ADDRESS);
    const send = () => { if (socket.readyState === 1) socket.send(`message ${chat.sent++}`); };
    socket.onopen = () => setInterval(send, 2);
    socket.onmessage = ({ data }) => { if (data === `message ${chat.back}`) chat.back++; else chat.wrong++; };
    socket.onclose = ({ code }) => { chat.closed = code; };
";

#[tokio::test]
async fn a_browser_chats_on_and_notices_nothing() {
    let origin = Origin::demo().await;
    let servers = [format!("http://{}", origin.address)];
    let family = Family::start(&servers, "server.workers = 2").await;
    let browser = Browser::start().await;
    // A page of the origin, through the proxy: the admin endpoints let their pages ask nobody else.
    browser
        .open(&format!("https://localhost:{}/", family.address.port()))
        .await;
    let address = format!("'wss://localhost:{}/echo'", family.address.port());
    browser.run(&CHAT.replace("ADDRESS", &address)).await;
    browser.until("chat.back > 10").await;
    for _ in 0..5 {
        family.upgrade().await;
        let so_far = browser.run("return chat.sent").await;
        browser.until(&format!("chat.back > {so_far} + 10")).await;
    }
    let chat = browser.run("return [chat.wrong, chat.closed]").await;
    assert_eq!(chat, serde_json::json!([0, null]));
    assert_eq!(family.series("headpin_tunnels_open").await, 1.0);
}
