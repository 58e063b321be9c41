//! Plain HTTP, as raw bytes: what goes on as it came, and what is refused.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use headpin::observe::labels::HeadPolicy;
use tokio::net::TcpSocket;

use crate::support::{EMPTY_200, Origin, Proxy, Scripted, reporting, status, take};

#[tokio::test]
async fn no_body_stays_no_body_whatever_the_method() {
    let (origin, mut seen) = reporting(EMPTY_200).await;
    let proxy = Proxy::start(&origin, HeadPolicy::Copy, "");
    let mut client = proxy.connect().await;
    for method in ["GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "PROPFIND"] {
        client
            .send(format!("{method} /x HTTP/1.1\r\nHost: a.test\r\n\r\n").as_bytes())
            .await;
        assert_eq!(status(&mut client).await.0, 200);
        let seen = seen.recv().await.unwrap();
        assert!(seen.head.starts_with(&format!("{method} /x HTTP/1.1\r\n")), "{seen:?}");
        assert_eq!(
            (seen.field("content-length"), seen.field("transfer-encoding")),
            (None, None),
            "{seen:?}"
        );
    }
    proxy.stop().await;
}

#[tokio::test]
async fn a_body_arrives_as_it_was_framed_whatever_the_method() {
    let (origin, mut seen) = reporting(EMPTY_200).await;
    let proxy = Proxy::start(&origin, HeadPolicy::Copy, "");
    let mut client = proxy.connect().await;
    for method in ["GET", "POST", "PUT", "DELETE", "PROPFIND"] {
        for (framing, length, coding, expected) in [
            ("Content-Length: 3\r\n\r\nabc", Some("3"), None, "abc"),
            ("Content-Length: 0\r\n\r\n", Some("0"), None, ""),
            (
                "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
                None,
                Some("chunked"),
                "abc",
            ),
            ("Transfer-Encoding: Chunked\r\n\r\n0\r\n\r\n", None, Some("chunked"), ""),
        ] {
            client
                .send(format!("{method} / HTTP/1.1\r\nHost: a.test\r\n{framing}").as_bytes())
                .await;
            assert_eq!(status(&mut client).await.0, 200, "{method} {framing:?}");
            let seen = seen.recv().await.unwrap();
            assert_eq!(
                (seen.field("content-length"), seen.field("transfer-encoding")),
                (length, coding),
                "{method}: {seen:?}"
            );
            assert_eq!(seen.body, expected.as_bytes(), "{method} {framing:?}");
        }
    }
    proxy.stop().await;
}

#[tokio::test]
async fn what_is_not_a_request_is_refused_with_the_reason_and_goes_nowhere() {
    let (origin, mut seen) = reporting(EMPTY_200).await;
    let proxy = Proxy::start(&origin, HeadPolicy::Copy, "");
    for (request, expected, reason) in [
        ("GET a HTTP/1.1\r\nHost: a.test\r\n", 400, "request target"),
        ("GET a.test:80 HTTP/1.1\r\nHost: a.test\r\n", 400, "request target"),
        ("GET * HTTP/1.1\r\nHost: a.test\r\n", 400, "request target"),
        ("GET ftp://a.test/ HTTP/1.1\r\nHost: a.test\r\n", 400, "request target"),
        (
            "GET http://u:p@a.test/ HTTP/1.1\r\nHost: a.test\r\n",
            400,
            "name a user",
        ),
        ("GET / HTTP/1.1\r\nHost: u@a.test\r\n", 400, "one valid Host"),
        ("GET / HTTP/1.1\r\n", 400, "one valid Host"),
        (
            "GET / HTTP/1.1\r\nHost: a.test\r\nHost: b.test\r\n",
            400,
            "one valid Host",
        ),
        ("TRACE / HTTP/1.1\r\nHost: a.test\r\n", 405, "TRACE is not supported"),
        (
            "CONNECT a.test:80 HTTP/1.1\r\nHost: a.test\r\n",
            405,
            "CONNECT is not supported",
        ),
        (
            "POST / HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: gzip, chunked\r\n",
            501,
            "\"gzip\" is not supported",
        ),
        (
            "POST / HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked, chunked\r\n",
            400,
            "chunked once",
        ),
    ] {
        let mut client = proxy.connect().await;
        client.send(format!("{request}\r\n").as_bytes()).await;
        let (status, text) = status(&mut client).await;
        assert_eq!(status, expected, "{request}: {text}");
        assert!(text.contains(reason), "{request}: {text}");
    }
    assert!(seen.try_recv().is_err(), "one of them was passed on");
    proxy.stop().await;
}

#[tokio::test]
async fn the_host_is_the_clients_or_the_servers_own() {
    let (origin, mut seen) = reporting(EMPTY_200).await;
    let proxy = Proxy::start(&origin, HeadPolicy::Copy, "");
    let own = origin.address.to_string();
    for (request, host) in [
        ("GET / HTTP/1.1\r\nHost: a.test:1\r\nConnection: Host\r\n", "a.test:1"),
        ("GET http://b.test/ HTTP/1.1\r\nHost: a.test\r\n", "b.test"),
        ("GET / HTTP/1.0\r\nHost: a.test\r\n", "a.test"),
        ("GET / HTTP/1.0\r\n", own.as_str()),
    ] {
        let mut client = proxy.connect().await;
        client.send(format!("{request}\r\n").as_bytes()).await;
        assert_eq!(status(&mut client).await.0, 200);
        assert_eq!(seen.recv().await.unwrap().field("host"), Some(host), "{request}");
    }
    proxy.stop().await;
}

#[tokio::test]
async fn a_response_that_nobody_can_understand_is_a_502() {
    for (answer, reason) in [
        (
            &b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: foo\r\nConnection: Upgrade\r\n\r\n"[..],
            "asks for no upgrade",
        ),
        (
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
            "\"gzip\" is not supported",
        ),
    ] {
        let (origin, _seen) = reporting(answer).await;
        let proxy = Proxy::start(&origin, HeadPolicy::Copy, "");
        let mut client = proxy.connect().await;
        client.send(b"GET / HTTP/1.1\r\nHost: a.test\r\n\r\n").await;
        let (status, text) = status(&mut client).await;
        assert_eq!(status, 502, "{text}");
        assert!(text.contains(reason), "{text}");
        drop(client);
        proxy.stop().await;
    }
}

/// Answers the first request on each connection, and closes it at the second: a server that ends kept connections.
#[tokio::test]
async fn a_request_goes_again_if_it_may_when_the_server_closes_a_kept_connection() {
    let taken = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&taken);
    let origin = Origin::scripted(move |mut connection| {
        let taken = Arc::clone(&counted);
        async move {
            take(&mut connection).await;
            taken.fetch_add(1, Ordering::Relaxed);
            connection.send(EMPTY_200).await;
            take(&mut connection).await;
            taken.fetch_add(1, Ordering::Relaxed);
        }
    })
    .await;
    let proxy = Proxy::start(&origin, HeadPolicy::Copy, "");
    let mut client = proxy.connect().await;
    for request in ["GET /", "GET /", "DELETE /", "HEAD /", "GET /"] {
        client
            .send(format!("{request} HTTP/1.1\r\nHost: a.test\r\n\r\n").as_bytes())
            .await;
        assert_eq!(status(&mut client).await.0, 200, "{request}");
    }
    // The kept connection has one request behind it: the next ends it.
    let before = taken.load(Ordering::Relaxed);
    client
        .send(b"POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 3\r\n\r\nabc")
        .await;
    let first = status(&mut client).await.0;
    client
        .send(b"POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 3\r\n\r\nabc")
        .await;
    let second = status(&mut client).await.0;
    assert!(
        first == 502 || second == 502,
        "one of them met the end: {first}, {second}"
    );
    assert_eq!(taken.load(Ordering::Relaxed), before + 2, "neither was sent twice");
    drop(client);
    proxy.stop().await;
}

#[tokio::test]
async fn a_body_goes_whole_to_the_first_server_that_takes_connections() {
    let (live, mut seen) = reporting(EMPTY_200).await;
    // Bound, but not listening: connections are refused, and no other test gets the ports.
    let closed = [(); 2].map(|()| {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        socket
    });
    let mut addresses = [
        closed[0].local_addr().unwrap(),
        closed[1].local_addr().unwrap(),
        live.address,
    ];
    // Wherever a proxy begins, in two of three orders it begins with a server that is closed.
    for _ in 0..3 {
        addresses.rotate_left(1);
        let servers: Vec<String> = addresses.iter().map(|address| format!("http://{address}")).collect();
        for framing in [
            "Content-Length: 3\r\n\r\nabc",
            "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
        ] {
            let proxy = Proxy::with_servers(&servers, HeadPolicy::Copy, "");
            let mut client = proxy.connect().await;
            client
                .send(format!("POST / HTTP/1.1\r\nHost: a.test\r\n{framing}").as_bytes())
                .await;
            assert_eq!(status(&mut client).await.0, 200, "{servers:?} {framing:?}");
            assert_eq!(seen.recv().await.unwrap().body, b"abc", "{servers:?} {framing:?}");
            assert_eq!(proxy.metrics.request_body_bytes_total.get(), 3);
            drop(client);
            proxy.stop().await;
        }
    }
    assert!(seen.try_recv().is_err(), "nothing was sent twice");
}

#[tokio::test]
async fn a_server_is_chosen_for_each_request() {
    let (one, mut first) = reporting(EMPTY_200).await;
    let (two, mut second) = reporting(EMPTY_200).await;
    let (three, mut third) = reporting(EMPTY_200).await;
    let servers = [&one, &two, &three].map(|origin| format!("http://{}", origin.address));
    let proxy = Proxy::with_servers(&servers, HeadPolicy::Copy, "server.workers = 1\n");
    let mut client = proxy.connect().await;
    for _ in 0..90 {
        client.send(b"GET / HTTP/1.1\r\nHost: a.test\r\n\r\n").await;
        assert_eq!(status(&mut client).await.0, 200);
    }
    let mut counts = [0; 3];
    for (count, seen) in counts.iter_mut().zip([&mut first, &mut second, &mut third]) {
        while seen.try_recv().is_ok() {
            *count += 1;
        }
    }
    assert_eq!(counts, [30, 30, 30]);
    drop(client);
    proxy.stop().await;
}

/// The upstream refuses before it has taken any of the body, and the client has not been asked for it.
#[tokio::test]
async fn who_expects_a_100_gets_the_upstreams_word() {
    let origin = Origin::scripted(async |mut connection: Scripted| {
        loop {
            let head = connection.request().await;
            assert!(head.to_ascii_lowercase().contains("expect: 100-continue\r\n"), "{head}");
            if head.starts_with("POST /refused ") {
                connection
                    .send(b"HTTP/1.1 413 Content Too Large\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
                    .await;
                return;
            }
            if head.starts_with("POST /taken ") {
                connection.send(b"HTTP/1.1 100 Continue\r\n\r\n").await;
            }
            assert_eq!(connection.receive(5).await, b"hello");
            connection.send(EMPTY_200).await;
        }
    })
    .await;
    let proxy = Proxy::start(&origin, HeadPolicy::Copy, "");
    let ask = |path: &str| {
        format!("POST {path} HTTP/1.1\r\nHost: a.test\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n")
    };

    let mut client = proxy.connect().await;
    client.send(ask("/taken").as_bytes()).await;
    assert!(client.response_head().await.starts_with("HTTP/1.1 100"));
    client.send(b"hello").await;
    assert_eq!(status(&mut client).await.0, 200);
    // A server that says nothing of it gets the body all the same.
    client.send(ask("/silent").as_bytes()).await;
    assert!(client.response_head().await.starts_with("HTTP/1.1 100"));
    client.send(b"hello").await;
    assert_eq!(status(&mut client).await.0, 200);
    client.send(ask("/refused").as_bytes()).await;
    assert_eq!(status(&mut client).await.0, 413, "and no 100 before it");
    drop(client);
    proxy.stop().await;
}

#[tokio::test]
async fn header_names_are_written_as_they_came_where_that_is_asked_for() {
    let (origin, mut seen) = reporting(b"HTTP/1.1 200 OK\r\nX-ODD-name: 1\r\nContent-Length: 0\r\n\r\n").await;
    for (case, request, response) in [
        ("lower", "\r\nx-my-header: 1\r\n", "\r\nx-odd-name: 1\r\n"),
        ("as_sent", "\r\nX-My-HEADER: 1\r\n", "\r\nX-ODD-name: 1\r\n"),
    ] {
        let proxy = Proxy::start(
            &origin,
            HeadPolicy::Copy,
            &format!("[http]\nheader_case = \"{case}\"\n"),
        );
        let mut client = proxy.connect().await;
        client
            .send(b"GET / HTTP/1.1\r\nHost: a.test\r\nX-My-HEADER: 1\r\n\r\n")
            .await;
        let head = client.response_head().await;
        assert!(head.contains(response), "{case}: {head}");
        let seen = seen.recv().await.unwrap().head;
        assert!(seen.contains(request), "{case}: {seen}");
        drop(client);
        proxy.stop().await;
    }
}

#[tokio::test]
async fn as_many_header_fields_pass_as_the_config_says() {
    let fields: String = (0..150).map(|number| format!("x-{number}: 1\r\n")).collect();
    let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n{fields}\r\n");
    let (origin, _seen) = reporting(Box::leak(answer.into_boxed_str()).as_bytes()).await;
    let request = |fields: &str| format!("GET / HTTP/1.1\r\nHost: a.test\r\n{fields}\r\n");
    for (max_headers, expected) in [("100", [431, 502]), ("200", [200, 200])] {
        let settings = format!("[http]\nmax_headers = {max_headers}\n");
        let proxy = Proxy::start(&origin, HeadPolicy::Copy, &settings);
        for (fields, expected) in [fields.as_str(), ""].iter().zip(expected) {
            let mut client = proxy.connect().await;
            client.send(request(fields).as_bytes()).await;
            let (status, text) = status(&mut client).await;
            assert_eq!(status, expected, "{max_headers}: {text}");
            assert_eq!(status == 502, text.contains("http.max_headers"), "{text}");
        }
        proxy.stop().await;
    }
}
