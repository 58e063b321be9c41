//! What a tunnel carries, and how it ends.

use std::sync::Arc;
use std::time::Duration;

use headpin::app;
use headpin::config::Config;
use headpin::observe::labels::{CloseReason, Direction, HeadPolicy, SlabClass};
use tokio::io::AsyncWriteExt;
use tokio::sync::Notify;
use tokio::time::timeout;

use crate::support::client::{frame, server_frame};
use crate::support::proxy::all_gone;
use crate::support::{Origin, Proxy, eventually, soon};

const SETTINGS: &str = "[server]\nlisten = \"127.0.0.1:0\"\nworkers = 1";

/// A write that takes longer than this on loopback is blocked by backpressure.
const BLOCKED: Duration = Duration::from_secs(1);

#[tokio::test]
async fn half_close_is_kept_in_both_directions() {
    let origin = Origin::scripted(|mut connection| async move {
        connection.switch(b"").await;
        // Answers only when the client has ended its half.
        let all = connection.rest().await;
        connection.send(&server_frame(0x82, &[all.len() as u8])).await;
        connection.stream.shutdown().await.unwrap();
    })
    .await;
    let proxy = Proxy::start(&origin, HeadPolicy::Copy, SETTINGS);
    let mut client = proxy.tunnel("/").await;
    client.send(&frame(0x82, b"last words")).await;
    client.shutdown().await;
    assert_eq!(client.frame().await, (0x82, vec![16]));
    assert!(client.rest().await.is_empty());
    all_gone(&proxy.metrics).await;
    assert_eq!(proxy.metrics.tunnels_closed_total[CloseReason::ClientEnd].get(), 1);
    proxy.stop().await;
}

#[tokio::test]
async fn two_proxies_share_a_port() {
    let origin = Origin::demo().await;
    let first = Proxy::start(&origin, HeadPolicy::Copy, SETTINGS);
    let mut same = Config::load(&first.folder.path().join("headpin.toml")).unwrap();
    same.server.listen = first.address;
    let second = app::start(same, None, None).unwrap();
    let mut open = Vec::new();
    // The kernel chooses by a hash of the addresses: that it leaves one out 100 times does not happen.
    while [&first.metrics, &second.metrics]
        .iter()
        .any(|metrics| metrics.tunnels_open.get() == 0)
    {
        assert!(open.len() < 100, "one of the two gets no connection");
        let mut client = first.tunnel("/echo").await;
        client.echo(b"served").await;
        open.push(client);
    }
    drop(open);
    all_gone(&second.metrics).await;
    second.drain();
    let ended = soon("the second's end", second.ended()).await;
    assert_eq!((ended.abandoned, ended.panicked), (0, 0));
    all_gone(&first.metrics).await;
    first.stop().await;
}

#[tokio::test]
async fn a_close_handshake_passes_and_names_who_began_it() {
    let origin = Origin::demo().await;
    let proxy = Proxy::start(&origin, HeadPolicy::Copy, SETTINGS);
    let mut client = proxy.tunnel("/echo").await;
    client.send(&frame(0x88, &4000_u16.to_be_bytes())).await;
    assert_eq!(client.frame().await, (0x88, 4000_u16.to_be_bytes().to_vec()));
    drop(client);
    all_gone(&proxy.metrics).await;
    assert_eq!(proxy.metrics.tunnels_closed_total[CloseReason::ClientClose].get(), 1);
    proxy.stop().await;
}

#[tokio::test]
async fn an_idle_tunnel_is_closed_with_1001() {
    let origin = Origin::demo().await;
    let proxy = Proxy::start(
        &origin,
        HeadPolicy::Copy,
        &format!("{SETTINGS}\n[tunnel]\nidle_timeout = \"1s\""),
    );
    let mut client = proxy.tunnel("/echo").await;
    assert_eq!(client.frame().await, (0x88, 1001_u16.to_be_bytes().to_vec()));
    client.send(&frame(0x88, &1001_u16.to_be_bytes())).await;
    assert!(client.rest().await.is_empty());
    all_gone(&proxy.metrics).await;
    assert_eq!(proxy.metrics.tunnels_closed_total[CloseReason::Idle].get(), 1);
    proxy.stop().await;
}

#[tokio::test]
async fn a_reader_that_does_not_read_stops_the_writer_and_pins_no_slab() {
    for policy in HeadPolicy::ALL {
        let stopped = Arc::new(Notify::new());
        let tell = Arc::clone(&stopped);
        let origin = Origin::scripted(move |mut connection| {
            let told = Arc::clone(&tell);
            async move {
                connection.switch(b"").await;
                let message = server_frame(0x82, &vec![7; 65_000]);
                // Until it takes no more for a while; then until the proxy hangs up.
                while let Ok(Ok(())) = timeout(BLOCKED, connection.stream.write_all(&message)).await {}
                told.notify_one();
                connection.rest().await;
            }
        })
        .await;
        let proxy = Proxy::start(&origin, policy, SETTINGS);
        let client = proxy.tunnel("/").await;
        // What fits into the buffers on the way, kernel's and proxy's, and then nothing more.
        soon("the writer is stopped", stopped.notified()).await;
        let moved = proxy.metrics.tunnel_bytes(Direction::ToDownstream);
        assert!(moved > 0);
        // Under pin the tunnel's own, empty, head pins one slab; what waits for the reader pins none.
        let by_its_head = i64::from(policy == HeadPolicy::Pin);
        assert_eq!(
            proxy.metrics.slabs_pinned[SlabClass::Tcp].get(),
            by_its_head,
            "{policy}"
        );
        assert_eq!(
            proxy.metrics.slabs_live[SlabClass::Tcp].get(),
            1 + by_its_head,
            "{policy}"
        );
        drop(client);
        all_gone(&proxy.metrics).await;
        proxy.stop().await;
    }
}

#[tokio::test]
async fn an_upstream_that_breaks_ends_the_tunnel() {
    let origin = Origin::scripted(|mut connection| async move {
        connection.switch(b"").await;
        connection.stream.set_zero_linger().unwrap();
    })
    .await;
    let proxy = Proxy::start(&origin, HeadPolicy::Pin, SETTINGS);
    let mut client = proxy.tunnel("/").await;
    assert!(client.rest().await.is_empty());
    eventually("the tunnel is gone", || proxy.metrics.tunnels_open.get() == 0).await;
    drop(client);
    all_gone(&proxy.metrics).await;
    proxy.stop().await;
}

/// More than the kernel's buffers of both connections hold.
const LARGE: usize = 16 << 20;

#[tokio::test]
async fn without_backpressure_everything_is_read_and_nothing_is_lost() {
    let origin = Origin::demo().await;
    let settings = format!("relay_policy = \"queue\"\n{SETTINGS}");
    let proxy = Proxy::start(&origin, HeadPolicy::Copy, &settings);
    let mut client = proxy.tunnel("/download").await;
    client.send(&frame(0x81, LARGE.to_string().as_bytes())).await;
    // The client reads nothing, and the proxy has it all.
    eventually("everything read from upstream", || {
        proxy.metrics.tunnel_bytes(Direction::ToDownstream) >= LARGE as u64
    })
    .await;
    let mut received = 0;
    while received < LARGE {
        let (_, message) = client.frame().await;
        received += message.len();
    }
    assert_eq!(received, LARGE);
    drop(client);
    all_gone(&proxy.metrics).await;
    proxy.stop().await;
}

#[tokio::test]
async fn a_queued_download_is_closed_behind_its_last_frame() {
    let origin = Origin::demo().await;
    let settings = format!("relay_policy = \"queue\"\n{SETTINGS}");
    let proxy = Proxy::start(&origin, HeadPolicy::Copy, &settings);
    let mut client = proxy.tunnel("/download").await;
    client.send(&frame(0x81, LARGE.to_string().as_bytes())).await;
    eventually("everything read from upstream", || {
        proxy.metrics.tunnel_bytes(Direction::ToDownstream) >= LARGE as u64
    })
    .await;
    proxy.running.drain();
    let mut received = 0;
    let close = loop {
        match client.frame().await {
            (0x88, close) => break close,
            (_, message) => received += message.len(),
        }
    };
    assert_eq!((received, close), (LARGE, 1001_u16.to_be_bytes().to_vec()));
    drop(client);
    all_gone(&proxy.metrics).await;
    proxy.stop().await;
}
