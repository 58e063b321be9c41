//! Informational responses (RFC 9110 section 15.2) of an upstream, as raw bytes: which ones a client gets, and when.

use std::sync::Arc;

use headpin::observe::labels::HeadPolicy;
use tokio::sync::{Mutex, mpsc};

use crate::support::{Client, Origin, Proxy, Scripted};

const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nHost: a.test\r\n\r\n";
const HINT: &[u8] = b"HTTP/1.1 103 Early Hints\r\nLink: </style.css>; rel=preload; as=style\r\n\r\n";

/// An origin that sends what the test gives it, when the test gives it, after it has taken a request head.
struct Puppet {
    origin: Origin,
    /// Heads of requests.
    seen: mpsc::UnboundedReceiver<String>,
    /// Empty ends the answer: the next request is taken.
    send: mpsc::UnboundedSender<Vec<u8>>,
}

impl Puppet {
    async fn new() -> Self {
        let (report, seen) = mpsc::unbounded_channel();
        let (send, sends) = mpsc::unbounded_channel::<Vec<u8>>();
        let sends = Arc::new(Mutex::new(sends));
        let origin = Origin::scripted(move |mut connection: Scripted| {
            let (report, sends) = (report.clone(), Arc::clone(&sends));
            async move {
                loop {
                    if report.send(connection.request().await).is_err() {
                        return;
                    }
                    while let Some(bytes) = sends.lock().await.recv().await
                        && !bytes.is_empty()
                    {
                        connection.send(&bytes).await;
                    }
                }
            }
        })
        .await;
        Self { origin, seen, send }
    }

    fn send(&self, bytes: &[u8]) {
        self.send.send(bytes.to_vec()).unwrap();
    }

    fn end(&self, body: &str) {
        self.send(response(body).as_bytes());
        self.send(b"");
    }
}

fn response(body: &str) -> String {
    format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len())
}

/// Takes a 200 with `body`.
async fn final_response(client: &mut Client, body: &str) {
    let head = client.response_head().await;
    assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{head}");
    assert_eq!(client.receive(body.len()).await, body.as_bytes());
}

/// The origin sends each only when the client has the one before.
#[tokio::test]
async fn a_client_has_each_before_the_origin_sends_the_next() {
    let mut puppet = Puppet::new().await;
    for case in ["lower", "as_sent"] {
        let settings = format!("[http]\nheader_case = \"{case}\"\n");
        let proxy = Proxy::start(&puppet.origin, HeadPolicy::Copy, &settings);
        let mut client = proxy.connect().await;
        for _ in 0..2 {
            client.send(REQUEST).await;
            puppet.seen.recv().await.unwrap();
            puppet.send(
                b"HTTP/1.1 103 Early Hints\r\nLink: </style.css>; rel=preload; as=style\r\nConnection: X-Hop\r\n\
                  X-Hop: 1\r\nKeep-Alive: 5\r\nLink: </script.js>; rel=preload; as=script\r\nX-Other: a  b\r\n\r\n",
            );
            assert_eq!(
                client.response_head().await,
                "HTTP/1.1 103 Early Hints\r\nlink: </style.css>; rel=preload; as=style\r\n\
                 link: </script.js>; rel=preload; as=script\r\nx-other: a  b\r\n\r\n"
            );
            puppet.send(b"HTTP/1.1 103 Early Hints\r\nLink: </late.css>\r\n\r\n");
            assert_eq!(
                client.response_head().await,
                "HTTP/1.1 103 Early Hints\r\nlink: </late.css>\r\n\r\n"
            );
            puppet.send(b"HTTP/1.1 102 Processing\r\n\r\n");
            assert_eq!(client.response_head().await, "HTTP/1.1 102 Processing\r\n\r\n");
            puppet.send(b"HTTP/1.1 199 Whatever\r\nX-A: 1\r\n\r\n");
            assert_eq!(client.response_head().await, "HTTP/1.1 199 \r\nx-a: 1\r\n\r\n");
            puppet.end("done");
            final_response(&mut client, "done").await;
        }
        drop(client);
        proxy.stop().await;
    }
}

#[tokio::test]
async fn what_comes_in_one_piece_keeps_its_order() {
    let puppet = Puppet::new().await;
    let proxy = Proxy::start(&puppet.origin, HeadPolicy::Pin, "");
    let mut client = proxy.connect().await;
    for round in 0..20 {
        client.send(REQUEST).await;
        let first = format!("HTTP/1.1 103 Early Hints\r\nLink: <{round}>\r\n\r\n");
        puppet.send(&[first.as_bytes(), HINT, response("done").as_bytes()].concat());
        puppet.send(b"");
        assert!(client.response_head().await.contains(&format!("link: <{round}>\r\n")));
        assert!(client.response_head().await.contains("link: </style.css>"));
        final_response(&mut client, "done").await;
    }
    drop(client);
    proxy.stop().await;
}

/// RFC 9110 section 15.2: HTTP/1.0 knows of none.
#[tokio::test]
async fn a_client_of_http_1_0_gets_none() {
    let puppet = Puppet::new().await;
    let proxy = Proxy::start(&puppet.origin, HeadPolicy::Copy, "");
    // By turns on the kept connection to the origin.
    for _ in 0..3 {
        let mut old = proxy.connect().await;
        old.send(b"GET / HTTP/1.0\r\nHost: a.test\r\n\r\n").await;
        puppet.send(HINT);
        puppet.end("done");
        let text = String::from_utf8(old.rest().await).unwrap();
        assert!(text.starts_with("HTTP/1.0 200 OK\r\n"), "{text}");
        assert!(text.ends_with("done") && !text.contains("103"), "{text}");

        let mut client = proxy.connect().await;
        client.send(REQUEST).await;
        puppet.send(HINT);
        assert!(client.response_head().await.starts_with("HTTP/1.1 103 "));
        puppet.end("done");
        final_response(&mut client, "done").await;
    }
    proxy.stop().await;
}

#[tokio::test]
async fn pipelined_requests_get_their_own() {
    let mut puppet = Puppet::new().await;
    let proxy = Proxy::start(&puppet.origin, HeadPolicy::Copy, "");
    let mut client = proxy.connect().await;
    client.send(&REQUEST.repeat(20)).await;
    for number in 0..20 {
        puppet.seen.recv().await.unwrap();
        for part in ["first", "second"] {
            let hint = format!("HTTP/1.1 103 Early Hints\r\nLink: <{number}-{part}>\r\n\r\n");
            puppet.send(hint.as_bytes());
        }
        puppet.end(&format!("answer {number}"));
    }
    for number in 0..20 {
        for part in ["first", "second"] {
            let head = client.response_head().await;
            assert!(head.starts_with("HTTP/1.1 103 "), "{number} {part}: {head}");
            assert!(
                head.contains(&format!("link: <{number}-{part}>\r\n")),
                "{number}: {head}"
            );
        }
        final_response(&mut client, &format!("answer {number}")).await;
    }
    drop(client);
    proxy.stop().await;
}

/// Much more than the sockets between hold, to a client that reads nothing until the origin is done: it loses the last ones, and gets
/// the others and the response whole.
#[tokio::test]
async fn a_client_that_does_not_read_gets_whole_heads_and_the_response() {
    const HEADS: usize = 1000;
    let filler = "x".repeat(32 * 1024);
    let (report, mut sent) = mpsc::unbounded_channel();
    let origin = Origin::scripted(move |mut connection: Scripted| {
        let (report, filler) = (report.clone(), filler.clone());
        async move {
            connection.request().await;
            for number in 0..HEADS {
                let head = format!("HTTP/1.1 103 Early Hints\r\nLink: <{number}>; x={filler}\r\n\r\n");
                connection.send(head.as_bytes()).await;
            }
            connection.send(response("done").as_bytes()).await;
            report.send(()).unwrap();
            connection.rest().await;
        }
    })
    .await;
    let proxy = Proxy::start(&origin, HeadPolicy::Copy, "");
    let mut client = proxy.connect().await;
    client.send(REQUEST).await;
    sent.recv().await.unwrap();
    let mut taken = 0;
    let head = loop {
        let head = client.response_head().await;
        if !head.starts_with("HTTP/1.1 103 ") {
            break head;
        }
        let (start, filler) = head.split_once(';').unwrap();
        let number: usize = start.rsplit_once('<').unwrap().1.trim_end_matches('>').parse().unwrap();
        assert!(number >= taken, "{number} after {taken}");
        assert_eq!(filler.len(), " x=".len() + 32 * 1024 + "\r\n\r\n".len(), "{number}");
        taken = number + 1;
    };
    assert!(taken > 0);
    assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{head}");
    assert_eq!(client.receive(4).await, b"done");
    drop(client);
    proxy.stop().await;
}

/// One head of 60,000 bytes and more is as large as hyper's client takes.
#[tokio::test]
async fn a_large_head_arrives_whole() {
    let puppet = Puppet::new().await;
    let proxy = Proxy::start(&puppet.origin, HeadPolicy::Copy, "");
    let mut client = proxy.connect().await;
    client.send(REQUEST).await;
    let link = format!("</{}>", "x".repeat(60_000));
    puppet.send(format!("HTTP/1.1 103 Early Hints\r\nLink: {link}\r\n\r\n").as_bytes());
    puppet.end("done");
    let head = client.response_head().await;
    assert_eq!(head, format!("HTTP/1.1 103 Early Hints\r\nlink: {link}\r\n\r\n"));
    final_response(&mut client, "done").await;
    drop(client);
    proxy.stop().await;
}

/// Whoever expects 100 gets it when the origin says it, and the others too.
#[tokio::test]
async fn a_100_and_others_both_reach_who_waits_with_a_body() {
    let origin = Origin::scripted(async |mut connection: Scripted| {
        loop {
            connection.request().await;
            connection.send(HINT).await;
            connection.send(b"HTTP/1.1 100 Continue\r\n\r\n").await;
            assert_eq!(connection.receive(5).await, b"hello");
            connection.send(HINT).await;
            connection.send(response("done").as_bytes()).await;
        }
    })
    .await;
    let proxy = Proxy::start(&origin, HeadPolicy::Copy, "");
    let mut client = proxy.connect().await;
    for _ in 0..5 {
        client
            .send(b"POST / HTTP/1.1\r\nHost: a.test\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n")
            .await;
        // Which of them is first is not said: 100 is about this connection.
        let mut heads = [client.response_head().await, client.response_head().await];
        heads.sort();
        assert_eq!(heads[0], "HTTP/1.1 100 Continue\r\n\r\n");
        assert!(heads[1].starts_with("HTTP/1.1 103 "), "{heads:?}");
        client.send(b"hello").await;
        assert!(client.response_head().await.starts_with("HTTP/1.1 103 "));
        final_response(&mut client, "done").await;
    }
    drop(client);
    proxy.stop().await;
}

/// A 100 that nobody has asked for does not go on, and one that comes while a body is under way is no answer.
#[tokio::test]
async fn one_in_the_middle_of_a_body_reaches_the_client() {
    let origin = Origin::scripted(async |mut connection: Scripted| {
        connection.request().await;
        connection.receive(5).await;
        connection.send(b"HTTP/1.1 100 Continue\r\n\r\n").await;
        connection.send(HINT).await;
        connection.receive(5).await;
        connection.send(response("done").as_bytes()).await;
        connection.rest().await;
    })
    .await;
    let proxy = Proxy::start(&origin, HeadPolicy::Copy, "");
    let mut client = proxy.connect().await;
    client
        .send(b"POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 10\r\n\r\nhello")
        .await;
    assert!(client.response_head().await.starts_with("HTTP/1.1 103 "));
    client.send(b"world").await;
    final_response(&mut client, "done").await;
    drop(client);
    proxy.stop().await;
}

/// Who has sent one has not answered.
#[tokio::test]
async fn an_answer_of_the_proxy_comes_behind_them() {
    let origin = Origin::scripted(async |mut connection: Scripted| {
        connection.request().await;
        connection.send(HINT).await;
    })
    .await;
    let proxy = Proxy::start(&origin, HeadPolicy::Copy, "");
    let mut client = proxy.connect().await;
    for method in ["GET", "POST"] {
        let request = format!("{method} / HTTP/1.1\r\nHost: a.test\r\n\r\n");
        client.send(request.as_bytes()).await;
        assert!(client.response_head().await.starts_with("HTTP/1.1 103 "), "{method}");
        // A request that may be repeated may go to the origin more than once.
        let head = loop {
            let head = client.response_head().await;
            if !head.starts_with("HTTP/1.1 103 ") {
                break head;
            }
        };
        assert!(head.starts_with("HTTP/1.1 502 "), "{method}: {head}");
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
        client.receive(length.unwrap().parse().unwrap()).await;
    }
    drop(client);
    proxy.stop().await;
}

/// Many a WebSocket client takes the first head for the answer, so none gets one before it.
#[tokio::test]
async fn before_a_101_there_is_none() {
    for policy in HeadPolicy::ALL {
        let origin = Origin::scripted(async |mut connection: Scripted| {
            connection.request().await;
            connection.send(HINT).await;
            connection.send(b"HTTP/1.1 102 Processing\r\n\r\n").await;
            connection.send(crate::support::origin::switching().as_bytes()).await;
            let bytes = connection.receive(7).await;
            connection.send(&bytes).await;
            connection.rest().await;
        })
        .await;
        let proxy = Proxy::start(&origin, policy, "");
        let mut client = proxy.connect().await;
        client.upgrade("/chat", b"").await;
        client.send(b"\x82\x85\0\0\0\0h").await;
        assert_eq!(client.receive(7).await, b"\x82\x85\0\0\0\0h");
        drop(client);
        proxy.stop().await;
    }
}
