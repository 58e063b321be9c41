//! An https server behind the proxy: another proxy, in front of a demo origin.

use headpin::observe::labels::{HeadPolicy, SlabClass};

use crate::support::client::{frame, server_frame};
use crate::support::{Origin, Proxy};

const SETTINGS: &str = "[server]\nlisten = \"127.0.0.1:0\"\nworkers = 1\n[log]\naccess = false";

#[tokio::test]
async fn tunnels_and_requests_pass_over_tls_under_both_policies() {
    let origin = Origin::demo().await;
    let back = Proxy::start(&origin, HeadPolicy::Copy, SETTINGS);
    for policy in HeadPolicy::ALL {
        let front = Proxy::over_tls(&back, policy, SETTINGS);
        // The second one resumes the session of the first.
        for round in 0..3 {
            let mut client = front.connect().await;
            client.upgrade("/echo", &frame(0x82, b"with the request")).await;
            assert_eq!(client.frame().await, (0x82, b"with the request".to_vec()));
            for len in [1, 125, 16_384, 60_000] {
                client.echo(&vec![round; len]).await;
            }
            if policy == HeadPolicy::Pin {
                assert_eq!(front.metrics.heads_held[SlabClass::Tcp].get(), 1);
            }
            client.send(&frame(0x88, &1000_u16.to_be_bytes())).await;
            assert_eq!(client.frame().await, (0x88, 1000_u16.to_be_bytes().to_vec()));
            assert_eq!(client.rest().await, b"");
        }
        let mut client = front.connect().await;
        client.send(b"GET /plain HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
        assert!(client.response_head().await.starts_with("HTTP/1.1 "));
        drop(client);
        front.stop().await;
    }
    back.stop().await;
}

/// Whatever the records of the 101 and of what follows it are.
#[tokio::test]
async fn what_comes_behind_the_101_arrives_once() {
    let origin = Origin::scripted(|mut connection| async move {
        connection.switch(&server_frame(0x82, b"greeting")).await;
        connection.send(&server_frame(0x82, b"after the greeting")).await;
        connection.rest().await;
    })
    .await;
    let back = Proxy::start(&origin, HeadPolicy::Copy, SETTINGS);
    for policy in HeadPolicy::ALL {
        let front = Proxy::over_tls(&back, policy, SETTINGS);
        for _ in 0..50 {
            let mut client = front.tunnel("/").await;
            assert_eq!(client.frame().await, (0x82, b"greeting".to_vec()));
            assert_eq!(client.frame().await, (0x82, b"after the greeting".to_vec()));
        }
        front.stop().await;
    }
    back.stop().await;
}

#[tokio::test]
async fn a_server_that_cannot_prove_its_name_gets_nothing() {
    let origin = Origin::demo().await;
    let back = Proxy::start(&origin, HeadPolicy::Copy, SETTINGS);
    let stranger = Proxy::start(&origin, HeadPolicy::Copy, SETTINGS);
    let front = Proxy::over_tls_trusting(&back, &stranger, HeadPolicy::Copy, SETTINGS);
    let mut client = front.connect().await;
    client
        .send(crate::support::client::upgrade_request("/echo").as_bytes())
        .await;
    assert!(client.response_head().await.starts_with("HTTP/1.1 502"));
    drop(client);
    for proxy in [front, stranger, back] {
        proxy.stop().await;
    }
}
