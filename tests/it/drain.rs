//! The end of a proxy's life.

use headpin::observe::labels::{CloseReason, HeadPolicy};
use tokio::sync::mpsc;

use crate::support::client::{Client, frame, server_frame};
use crate::support::{Origin, Proxy, eventually, soon};

const SETTINGS: &str = "[server]\nlisten = \"127.0.0.1:0\"\nworkers = 2\ndrain_grace = \"10s\"";
const LAST: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ndone";
const GOING_AWAY: [u8; 2] = 1001_u16.to_be_bytes();

#[tokio::test]
async fn a_drain_closes_both_sides_with_1001_at_a_frame_boundary() {
    let (arrived, mut at_origin) = mpsc::unbounded_channel();
    let (half_sent, wait) = tokio::sync::watch::channel(false);
    let origin = Origin::scripted(move |mut connection| {
        let (arrived, mut wait) = (arrived.clone(), wait.clone());
        async move {
            connection.switch(b"").await;
            // Half a frame before the drain, the other half after it.
            let message = server_frame(0x82, b"in two halves");
            connection.send(&message[..6]).await;
            wait.wait_for(|go| *go).await.unwrap();
            connection.send(&message[6..]).await;
            let close = connection.receive(8).await;
            connection.send(&server_frame(0x88, &GOING_AWAY)).await;
            let rest = connection.rest().await;
            arrived.send((close, rest)).unwrap();
        }
    })
    .await;
    let proxy = Proxy::start(&origin, HeadPolicy::Copy, SETTINGS);
    let mut client = proxy.tunnel("/").await;
    assert_eq!(client.receive(6).await, server_frame(0x82, b"in two halves")[..6]);

    proxy.running.drain();
    let (close, rest) = {
        half_sent.send(true).unwrap();
        assert_eq!(
            client.receive(9).await,
            server_frame(0x82, b"in two halves")[6..],
            "the frame is completed"
        );
        assert_eq!(client.frame().await, (0x88, GOING_AWAY.to_vec()));
        client.send(&frame(0x88, &GOING_AWAY)).await;
        soon("the origin's side", at_origin.recv()).await.unwrap()
    };
    assert_eq!(close[..2], [0x88, 0x82], "a masked Close");
    let unmasked = [close[6] ^ close[2], close[7] ^ close[3]];
    assert_eq!(unmasked, GOING_AWAY);
    assert!(rest.is_empty(), "nothing follows a Close: {rest:?}");
    assert!(client.rest().await.is_empty());
    let metrics = std::sync::Arc::clone(&proxy.metrics);
    proxy.stop().await;
    assert_eq!(metrics.tunnels_closed_total[CloseReason::Drain].get(), 1);
}

/// Asked for, and seen by every worker.
async fn drain_begins(proxy: &Proxy) {
    let (status, _) = proxy.admin("POST", "/api/drain", "").await;
    assert_eq!(status, 202);
    soon("the listeners close", async {
        while tokio::net::TcpStream::connect(proxy.address).await.is_ok() {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

async fn answered_for_the_last_time(client: &mut Client) {
    let response = client.response_head().await;
    assert!(
        response.starts_with("HTTP/1.1 200") && response.contains("connection: close"),
        "{response}"
    );
    assert_eq!(client.rest().await, b"done");
}

#[tokio::test]
async fn a_drain_accepts_nothing_new_and_lets_a_request_finish() {
    let (go, wait) = tokio::sync::watch::channel(false);
    let origin = Origin::scripted(move |mut connection| {
        let mut wait = wait.clone();
        async move {
            connection.request().await;
            wait.wait_for(|go| *go).await.unwrap();
            connection.send(LAST).await;
            connection.rest().await;
        }
    })
    .await;
    let proxy = Proxy::start(&origin, HeadPolicy::Copy, SETTINGS);
    let mut client = proxy.connect().await;
    client.send(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
    eventually("the request is under way", || {
        proxy.metrics.upstream_connections_open.get() == 1
    })
    .await;
    drain_begins(&proxy).await;
    assert_eq!(proxy.admin("GET", "/readyz", "").await.0, 503);
    assert_eq!(proxy.admin("GET", "/livez", "").await.0, 200);
    go.send(true).unwrap();
    answered_for_the_last_time(&mut client).await;
    drop(client);
    proxy.stop().await;
}

#[tokio::test]
async fn who_has_connected_and_not_asked_yet_is_answered_once() {
    let origin = Origin::scripted(|mut connection| async move {
        connection.request().await;
        connection.send(LAST).await;
        connection.rest().await;
    })
    .await;
    let proxy = Proxy::start(&origin, HeadPolicy::Copy, SETTINGS);
    let (mut asker, mut mute) = (proxy.connect().await, proxy.connect().await);
    drain_begins(&proxy).await;
    asker.send(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
    answered_for_the_last_time(&mut asker).await;
    assert_eq!(mute.rest().await, b"");
    drop((asker, mute));
    proxy.stop().await;
}

#[tokio::test]
async fn a_tunnel_that_does_not_answer_is_abandoned_when_the_proxy_must_end() {
    let origin = Origin::scripted(|mut connection| async move {
        connection.switch(b"").await;
        connection.rest().await;
        // Never closes.
        std::future::pending::<()>().await;
    })
    .await;
    let proxy = Proxy::start(&origin, HeadPolicy::Pin, SETTINGS);
    let _client = proxy.tunnel("/").await;
    proxy.running.drain();
    proxy.running.end();
    let metrics = std::sync::Arc::clone(&proxy.metrics);
    let ended = soon("the end", proxy.running.ended()).await;
    assert_eq!((ended.abandoned, ended.panicked), (1, 0));
    crate::support::proxy::assert_nothing_open(&metrics);
    assert_eq!(metrics.tunnels_closed_total[CloseReason::Abandoned].get(), 1);
}

#[tokio::test]
async fn a_tunnel_that_begins_during_the_drain_is_closed_with_1001_as_well() {
    let (go, wait) = tokio::sync::watch::channel(false);
    let origin = Origin::scripted(move |mut connection| {
        let mut wait = wait.clone();
        async move {
            wait.wait_for(|go| *go).await.unwrap();
            connection.switch(b"").await;
            assert_eq!(connection.receive(8).await[..2], [0x88, 0x82], "a masked Close");
            connection.send(&server_frame(0x88, &GOING_AWAY)).await;
            connection.rest().await;
        }
    })
    .await;
    let proxy = Proxy::start(&origin, HeadPolicy::Pin, SETTINGS);
    let mut client = proxy.connect().await;
    client
        .send(crate::support::client::upgrade_request("/").as_bytes())
        .await;
    eventually("the upgrade is under way", || {
        proxy.metrics.upstream_connections_open.get() == 1
    })
    .await;
    proxy.running.drain();
    go.send(true).unwrap();
    client.switched().await;
    assert_eq!(client.frame().await, (0x88, GOING_AWAY.to_vec()));
    client.send(&frame(0x88, &GOING_AWAY)).await;
    assert!(client.rest().await.is_empty());
    proxy.stop().await;
}
