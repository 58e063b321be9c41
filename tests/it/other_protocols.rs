//! Tunnels of protocols other than WebSocket.

use headpin::observe::labels::{HeadPolicy, SlabClass};

use crate::support::{Origin, Proxy, Scripted};

const SETTINGS: &str = "http.upgrades = [\"tcp\", \"SPDY/3.1\"]\n";

fn request(method: &str, protocol: &str, rest: &str) -> Vec<u8> {
    format!("{method} /attach HTTP/1.1\r\nHost: a.test\r\nConnection: Upgrade\r\nUpgrade: {protocol}\r\n{rest}")
        .into_bytes()
}

/// Switches to the protocol that is asked for, sends `hello` behind its 101, and echoes four bytes and the body.
async fn switching() -> Origin {
    Origin::scripted(async |mut connection: Scripted| {
        let head = connection.request().await;
        let field = |name: &str| {
            let mut lines = head.lines();
            lines.find_map(|line| line.strip_prefix(name).map(str::to_owned))
        };
        let length = field("content-length: ").map_or(0, |length| length.parse().unwrap());
        let body = connection.receive(length).await;
        let protocol = field("upgrade: ").unwrap();
        let answer = format!("HTTP/1.1 101 UPGRADED\r\nConnection: Upgrade\r\nUpgrade: {protocol}\r\n\r\nhello");
        connection.send(answer.as_bytes()).await;
        let echo = [connection.receive(4).await, body].concat();
        connection.send(&echo).await;
        // Until the tunnel ends.
        connection.rest().await;
    })
    .await
}

#[tokio::test]
async fn a_protocol_that_is_listed_is_tunnelled_with_both_heads() {
    let origin = switching().await;
    for policy in [HeadPolicy::Copy, HeadPolicy::Pin] {
        for (method, asked, rest, echoed) in [
            ("GET", "tcp", "\r\nHEAD", "HEAD"),
            ("POST", "TCP", "\r\nHEAD", "HEAD"),
            ("POST", "SPDY/3.1", "Content-Length: 4\r\n\r\nbodyHEAD", "HEADbody"),
            // No frame: what would be a reserved opcode passes as any byte does.
            ("GET", "tcp", "\r\n\u{7f}\u{7f}\u{7f}\u{7f}", "\u{7f}\u{7f}\u{7f}\u{7f}"),
        ] {
            let proxy = Proxy::start(&origin, policy, SETTINGS);
            let mut client = proxy.connect().await;
            client.send(&request(method, asked, rest)).await;
            let head = client.response_head().await.to_ascii_lowercase();
            assert!(head.starts_with("http/1.1 101 "), "{head}");
            assert!(
                head.contains(&format!("upgrade: {}\r\n", asked.to_ascii_lowercase())),
                "{head}"
            );
            assert_eq!(client.receive(5).await, b"hello");
            assert_eq!(
                client.receive(echoed.len()).await,
                echoed.as_bytes(),
                "{method} {asked}"
            );
            for class in [SlabClass::Tls, SlabClass::Tcp] {
                let held = proxy.metrics.heads_held[class].get();
                let expected = i64::from(policy == HeadPolicy::Pin);
                assert_eq!(held, expected, "{method} {asked} {rest:?} under {policy}: {class}");
            }
            assert_eq!(proxy.metrics.tunnels_open.get(), 1);
            // The tunnel is open: a drain ends it, as nothing can be said in it.
            proxy.stop().await;
        }
    }
}

#[tokio::test]
async fn a_protocol_that_is_not_listed_is_not_asked_for() {
    let origin = Origin::scripted(async |mut connection: Scripted| {
        loop {
            let head = connection.request().await;
            assert!(!head.to_ascii_lowercase().contains("upgrade"), "{head}");
            connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await;
        }
    })
    .await;
    for (settings, asked) in [("", "tcp"), (SETTINGS, "derp"), (SETTINGS, "tcp2"), (SETTINGS, "h2c")] {
        let proxy = Proxy::start(&origin, HeadPolicy::Copy, settings);
        let mut client = proxy.connect().await;
        client.send(&request("GET", asked, "\r\n")).await;
        let head = client.response_head().await;
        assert!(head.starts_with("HTTP/1.1 200 "), "{asked}: {head}");
        drop(client);
        proxy.stop().await;
    }
}

#[tokio::test]
async fn a_101_to_another_protocol_is_a_502() {
    let origin = Origin::scripted(async |mut connection: Scripted| {
        connection.request().await;
        connection
            .send(b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: SPDY/3.1\r\n\r\n")
            .await;
        connection.rest().await;
    })
    .await;
    let proxy = Proxy::start(&origin, HeadPolicy::Copy, SETTINGS);
    let mut client = proxy.connect().await;
    client.send(&request("GET", "tcp", "\r\n")).await;
    let head = client.response_head().await;
    assert!(head.starts_with("HTTP/1.1 502 "), "{head}");
    drop(client);
    proxy.stop().await;
}

#[tokio::test]
async fn a_body_that_is_too_large_is_refused_with_an_upgrade_as_well() {
    let origin = Origin::scripted(async |mut connection: Scripted| {
        connection.request_or_end().await;
        connection.rest().await;
    })
    .await;
    let routes = format!(
        "[upstream]\nservers = [\"http://{}\"]\n[[routes]]\nupstream = \"default\"\nupgrades = [\"tcp\"]\nmax_body = \"4B\"\n",
        origin.address
    );
    let proxy = Proxy::with_routes(&routes);
    for body in [
        "Content-Length: 5\r\n\r\n12345",
        "Transfer-Encoding: chunked\r\n\r\n5\r\n12345\r\n0\r\n\r\n",
    ] {
        let mut client = proxy.connect().await;
        client.send(&request("POST", "tcp", body)).await;
        let head = client.response_head().await;
        assert!(head.starts_with("HTTP/1.1 413 "), "{body:?}: {head}");
    }
    proxy.stop().await;
}
