//! No head is ever lost: cut anywhere, both sides, both policies.

use headpin::observe::labels::{HeadPolicy, SlabClass};

use crate::support::client::{frame, server_frame, upgrade_request};
use crate::support::origin::switching;
use crate::support::proxy::all_gone;
use crate::support::{Origin, Proxy};

const SETTINGS: &str = "[server]\nlisten = \"127.0.0.1:0\"\nworkers = 2\n[log]\naccess = false";
/// Tunnels of each test at full size.
const MANY: usize = 1000;

/// 1,000 tunnels whose first frame is in the TLS write of the upgrade request.
async fn downstream_heads(policy: HeadPolicy) {
    let origin = Origin::demo().await;
    let proxy = Proxy::start(&origin, policy, SETTINGS);
    let mut held = Vec::new();
    for i in 0..MANY {
        let payload = format!("head of tunnel {i}");
        let mut client = proxy.connect().await;
        client.upgrade("/echo", &frame(0x81, payload.as_bytes())).await;
        client.send(&frame(0x81, b"after the head")).await;
        assert_eq!(client.frame().await, (0x81, payload.into_bytes()));
        assert_eq!(client.frame().await, (0x81, b"after the head".to_vec()));
        held.push(client);
    }
    let expected = if policy == HeadPolicy::Pin { MANY as i64 } else { 0 };
    assert_eq!(proxy.metrics.heads_held[SlabClass::Tls].get(), expected);
    drop(held);
    all_gone(&proxy.metrics).await;
    proxy.stop().await;
}

/// 1,000 tunnels whose upstream sends a frame in the write of its 101.
async fn upstream_heads(policy: HeadPolicy) {
    let origin = Origin::scripted(|mut connection| async move {
        connection.switch(&server_frame(0x82, b"greeting")).await;
        connection.send(&server_frame(0x82, b"after the greeting")).await;
        connection.rest().await;
    })
    .await;
    let proxy = Proxy::start(&origin, policy, SETTINGS);
    let mut held = Vec::new();
    for _ in 0..MANY {
        let mut client = proxy.connect().await;
        client.upgrade("/", b"").await;
        assert_eq!(client.frame().await, (0x82, b"greeting".to_vec()));
        assert_eq!(client.frame().await, (0x82, b"after the greeting".to_vec()));
        held.push(client);
    }
    let expected = if policy == HeadPolicy::Pin { MANY as i64 } else { 0 };
    assert_eq!(proxy.metrics.heads_held[SlabClass::Tcp].get(), expected);
    drop(held);
    all_gone(&proxy.metrics).await;
    proxy.stop().await;
}

#[tokio::test]
async fn a_frame_in_the_write_of_the_upgrade_request_arrives_under_pin() {
    downstream_heads(HeadPolicy::Pin).await;
}

#[tokio::test]
async fn a_frame_in_the_write_of_the_upgrade_request_arrives_under_copy() {
    downstream_heads(HeadPolicy::Copy).await;
}

#[tokio::test]
async fn a_frame_in_the_write_of_the_101_arrives_under_pin() {
    upstream_heads(HeadPolicy::Pin).await;
}

#[tokio::test]
async fn a_frame_in_the_write_of_the_101_arrives_under_copy() {
    upstream_heads(HeadPolicy::Copy).await;
}

/// Request and head, and 101 and head, each in two writes that are cut at every byte.
async fn cut_everywhere(policy: HeadPolicy) {
    let head = frame(0x82, b"0123456789");
    let greeting = server_frame(0x82, b"abcdef");
    let request = [upgrade_request("/cut").as_bytes(), &head[..]].concat();
    let response = [switching().as_bytes(), &greeting[..]].concat();
    let cuts = request.len().max(response.len());
    let (seen, mut saw) = tokio::sync::mpsc::unbounded_channel::<Vec<u8>>();
    let (next, cut) = tokio::sync::watch::channel(0);
    let expected_len = head.len();
    let origin = Origin::scripted(move |mut connection| {
        let (cut, response, seen) = (*cut.borrow(), response.clone(), seen.clone());
        async move {
            connection.request().await;
            let (first, second) = response.split_at(cut.min(response.len()));
            connection.send(first).await;
            tokio::task::yield_now().await;
            connection.send(second).await;
            seen.send(connection.receive(expected_len).await).unwrap();
            connection.rest().await;
        }
    })
    .await;
    let proxy = Proxy::start(&origin, policy, SETTINGS);
    for cut in 0..=cuts {
        next.send(cut).unwrap();
        let mut client = proxy.connect().await;
        let (first, second) = request.split_at(cut.min(request.len()));
        client.send(first).await;
        client.send(second).await;
        client.switched().await;
        assert_eq!(client.frame().await, (0x82, b"abcdef".to_vec()), "cut at {cut}");
        assert_eq!(saw.recv().await.unwrap(), head, "cut at {cut}");
    }
    all_gone(&proxy.metrics).await;
    proxy.stop().await;
}

#[tokio::test]
async fn heads_arrive_once_and_in_order_however_they_are_cut_under_pin() {
    cut_everywhere(HeadPolicy::Pin).await;
}

#[tokio::test]
async fn heads_arrive_once_and_in_order_however_they_are_cut_under_copy() {
    cut_everywhere(HeadPolicy::Copy).await;
}

/// A head larger than hyper's first buffer and than a TLS record.
#[tokio::test]
async fn a_large_head_arrives_whole() {
    for policy in HeadPolicy::ALL {
        let origin = Origin::demo().await;
        let proxy = Proxy::start(&origin, policy, SETTINGS);
        let payload: Vec<u8> = (0..200_000_u32).map(|i| i as u8).collect();
        let mut client = proxy.connect().await;
        client.upgrade("/echo", &frame(0x82, &payload)).await;
        assert_eq!(client.frame().await, (0x82, payload), "{policy}");
        drop(client);
        all_gone(&proxy.metrics).await;
        proxy.stop().await;
    }
}

/// Two requests in one write: the upgrade and its head follow a plain request.
#[tokio::test]
async fn a_pipelined_upgrade_keeps_its_head() {
    for policy in HeadPolicy::ALL {
        let origin = Origin::demo().await;
        let proxy = Proxy::start(&origin, policy, SETTINGS);
        let mut client = proxy.connect().await;
        let plain = "GET /download/5 HTTP/1.1\r\nHost: localhost\r\n\r\n";
        let both = [
            plain.as_bytes(),
            upgrade_request("/echo").as_bytes(),
            &frame(0x82, b"late"),
        ]
        .concat();
        client.send(&both).await;
        let first = client.response_head().await;
        assert!(first.starts_with("HTTP/1.1 200"), "{first}");
        client.receive(5).await;
        client.switched().await;
        assert_eq!(client.frame().await, (0x82, b"late".to_vec()), "{policy}");
        assert_eq!(
            proxy.metrics.heads_held[SlabClass::Tls].get(),
            i64::from(policy == HeadPolicy::Pin)
        );
        drop(client);
        all_gone(&proxy.metrics).await;
        proxy.stop().await;
    }
}
