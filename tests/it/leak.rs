//! The leak, in numbers, and its cure.

use headpin::observe::labels::{HeadPolicy, SlabClass};

use crate::support::{Client, Origin, Proxy, eventually};

const MIB: i64 = 1024 * 1024;
/// What one chunk of an upload is: 1 MB.
const CHUNK: usize = 1_000_000;
const CHUNKS: usize = 110;
const TUNNELS: usize = 100;
/// One worker: with more, the kernel's choice decides how many slabs the one upload fills.
const ONE_WORKER: &str = "[server]\nlisten = \"127.0.0.1:0\"\nworkers = 1\n[log]\naccess = false";

/// Sends one chunk over a connection that is kept.
async fn upload(client: &mut Client) {
    let head = format!("POST /upload HTTP/1.1\r\nHost: localhost\r\nContent-Length: {CHUNK}\r\n\r\n");
    client.send(head.as_bytes()).await;
    client.send(&vec![0x5a; CHUNK]).await;
    let response = client.response_head().await;
    assert!(response.starts_with("HTTP/1.1 200"), "{response}");
    let length = response
        .lines()
        .find_map(|line| line.strip_prefix("content-length: "))
        .expect("a length");
    client.receive(length.parse().unwrap()).await;
}

/// 100 tunnels opened while one connection sends 110 MB; each sends a few bytes together with its upgrade request.
async fn work(proxy: &Proxy) -> Vec<Client> {
    let mut data = proxy.connect().await;
    let mut tunnels = Vec::new();
    for chunk in 0..CHUNKS {
        if tunnels.len() * CHUNKS <= chunk * TUNNELS && tunnels.len() < TUNNELS {
            let mut tunnel = proxy.connect().await;
            tunnel
                .upgrade("/echo", &crate::support::client::frame(0x82, b"head"))
                .await;
            assert_eq!(tunnel.frame().await, (0x82, b"head".to_vec()));
            tunnels.push(tunnel);
        }
        upload(&mut data).await;
    }
    assert_eq!(tunnels.len(), TUNNELS);
    tunnels
}

#[tokio::test]
async fn pin_leaks_slabs_and_flipping_to_copy_gives_them_back() {
    let origin = Origin::demo().await;
    let proxy = Proxy::start(&origin, HeadPolicy::Pin, ONE_WORKER);
    let mut tunnels = work(&proxy).await;

    let metrics = &proxy.metrics;
    let live = metrics.slabs_live[SlabClass::Tls].get();
    let pinned = proxy.pinned_bytes();
    let heads = metrics.head_held_bytes[SlabClass::Tls].get() + metrics.head_held_bytes[SlabClass::Tcp].get();
    assert!(live >= 10, "{live} live slabs");
    assert!(pinned >= 100 * MIB, "{pinned} pinned bytes");
    assert!(heads < 10_000, "{heads} bytes of heads");
    assert_eq!(metrics.heads_held[SlabClass::Tls].get(), TUNNELS as i64);

    // The answer comes when every worker has let go: nothing needs to be waited for.
    let (status, body) = proxy
        .admin("PUT", "/api/head_policy", r#"{"head_policy": "copy"}"#)
        .await;
    assert_eq!(status, 200, "{body}");
    assert_eq!(proxy.pinned_bytes(), 0);
    assert_eq!(metrics.slabs_live[SlabClass::Tls].get(), 1, "one worker, one slab");
    assert_eq!(metrics.heads_held[SlabClass::Tls].get(), 0);
    for tunnel in &mut tunnels {
        tunnel.echo(b"alive").await;
    }
    drop(tunnels);
    crate::support::proxy::all_gone(metrics).await;
    proxy.stop().await;
}

#[tokio::test]
async fn copy_pins_nothing_under_the_same_work() {
    let origin = Origin::demo().await;
    let proxy = Proxy::start(&origin, HeadPolicy::Copy, ONE_WORKER);
    let tunnels = work(&proxy).await;
    let metrics = &proxy.metrics;
    assert_eq!(proxy.pinned_bytes(), 0);
    assert_eq!(metrics.heads_held[SlabClass::Tls].get(), 0);
    assert_eq!(metrics.slabs_live[SlabClass::Tls].get(), 1, "one worker, one slab");
    assert_eq!(metrics.slabs_created_total[SlabClass::Tls].get(), 1);
    drop(tunnels);
    crate::support::proxy::all_gone(metrics).await;
    proxy.stop().await;
}

#[tokio::test]
async fn an_empty_head_pins_as_well() {
    let origin = Origin::demo().await;
    let proxy = Proxy::start(&origin, HeadPolicy::Pin, ONE_WORKER);
    let mut data = proxy.connect().await;
    let tunnel = proxy.tunnel("/echo").await;
    for _ in 0..11 {
        upload(&mut data).await;
    }
    assert_eq!(proxy.pinned_bytes(), 10 * MIB);
    assert_eq!(proxy.metrics.head_held_bytes[SlabClass::Tls].get(), 0);
    drop(tunnel);
    eventually("the slab freed with its tunnel", || proxy.pinned_bytes() == 0).await;
    drop(data);
    crate::support::proxy::all_gone(&proxy.metrics).await;
    proxy.stop().await;
}
