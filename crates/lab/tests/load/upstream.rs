//! The demo origin: its endpoints, and what it does when Redis goes away.

use futures_util::{SinkExt as _, StreamExt as _};
use headpin_lab::pattern::Position;
use headpin_lab::upstream::{GREETING, UpstreamOptions};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::{Error, Message};

use crate::support::demo::{DemoOrigin, text};
use crate::support::redis::Redis;
use crate::support::{soon, wait_for};

#[tokio::test]
async fn any_path_echoes_messages_of_any_size() {
    let origin = DemoOrigin::start().await;
    for path in ["/echo", "/", "/some/where"] {
        let mut socket = origin.websocket(path).await.unwrap();
        for size in [0, 1, 125, 126, 65_535, 65_536, 3 << 20] {
            let mut sent = Vec::new();
            Position::of(1, size as u64).write(size, &mut sent);
            socket.send(Message::binary(sent.clone())).await.unwrap();
            let got = soon("the echo", socket.next()).await.unwrap().unwrap();
            assert!(got.into_data() == sent, "{size} bytes on {path}");
        }
        socket.send(Message::text("ä")).await.unwrap();
        assert_eq!(text(soon("the echo", socket.next()).await.unwrap().unwrap()), "ä");
        socket.close(None).await.unwrap();
        assert!(matches!(
            soon("the Close", socket.next()).await,
            Some(Ok(Message::Close(_)))
        ));
        assert!(soon("the end", socket.next()).await.is_none());
    }
    origin.shutdown().await;
}

#[tokio::test]
async fn frames_sent_with_the_request_are_echoed_once_and_in_order() {
    let origin = DemoOrigin::start().await;
    let mut stream = origin.tcp().await;
    // Two masked text frames, key 0, "a" and "b".
    let request = [
        &upgrade_request("/echo")[..],
        &[0x81, 0x81, 0, 0, 0, 0, b'a', 0x81, 0x81, 0, 0, 0, 0, b'b'],
    ]
    .concat();
    stream.write_all(&request).await.unwrap();
    let head = header(&mut stream).await;
    assert!(head.starts_with("HTTP/1.1 101"), "{head}");
    let mut echoes = [0; 6];
    soon("the echoes", stream.read_exact(&mut echoes)).await.unwrap();
    assert_eq!(echoes, [0x81, 1, b'a', 0x81, 1, b'b']);
    drop(stream);
    origin.shutdown().await;
}

#[tokio::test]
async fn the_greeting_comes_in_one_write_with_the_101() {
    let origin = DemoOrigin::start().await;
    // One read of one segment: what was written apart could come together by chance, but not a hundred times.
    for _ in 0..100 {
        let mut stream = origin.tcp().await;
        stream.write_all(&upgrade_request("/greet")).await.unwrap();
        let mut buffer = vec![0; 4096];
        let read = soon("the 101", stream.read(&mut buffer)).await.unwrap();
        assert!(buffer.starts_with(b"HTTP/1.1 101"));
        assert!(
            buffer[..read].ends_with(GREETING.as_bytes()),
            "the greeting was not with the 101"
        );
    }
    let mut socket = origin.websocket("/greet/100KiB").await.unwrap();
    let greeting = soon("the greeting", socket.next()).await.unwrap().unwrap().into_data();
    assert_eq!((greeting.len(), Position::start().verify(&greeting)), (102_400, Ok(())));
    socket.send(Message::text("then it echoes")).await.unwrap();
    assert_eq!(
        text(soon("the echo", socket.next()).await.unwrap().unwrap()),
        "then it echoes"
    );
    drop(socket);
    origin.shutdown().await;
}

#[tokio::test]
async fn uploads_are_counted_and_downloads_are_the_pattern() {
    let origin = DemoOrigin::start().await;
    let (status, body) = origin.request("POST", "/upload", &vec![7; 1_000_003]).await;
    assert_eq!((status, &body[..]), (200, &b"{\"bytes\": 1000003}\n"[..]));
    let (status, body) = origin.request("GET", "/download/1MiB", b"").await;
    assert_eq!(
        (status, body.len(), Position::start().verify(&body)),
        (200, 1 << 20, Ok(()))
    );
    let (status, body) = origin.request("GET", "/download/0", b"").await;
    assert_eq!((status, body.len()), (200, 0));
    origin.shutdown().await;
}

#[tokio::test]
async fn what_it_does_not_serve_is_answered_with_what_it_does() {
    let origin = DemoOrigin::start().await;
    for (method, path, status, says) in [
        ("GET", "/", 200, "/push/{client-id}"),
        ("GET", "/nothing", 404, "/push/{client-id}"),
        ("GET", "/upload", 405, "POST"),
        ("DELETE", "/download/1", 405, "GET"),
        ("GET", "/download/many", 400, "accepted is one such as"),
        ("GET", "/push/a%20b", 400, "accepted: 1 to 128 letters"),
        ("POST", "/publish/", 400, "accepted: 1 to 128 letters"),
    ] {
        let (got, body) = origin.request(method, path, b"").await;
        let body = String::from_utf8(body).unwrap();
        assert!(got == status && body.contains(says), "{method} {path}: {got} {body}");
    }
    let refused = origin.websocket("/greet/1GiB").await.unwrap_err();
    assert!(matches!(refused, Error::Http(answer) if answer.status() == 413));
    origin.shutdown().await;
}

#[tokio::test]
async fn the_embedded_broker_pushes_to_websockets_and_to_long_polls() {
    let origin = DemoOrigin::start().await;
    let mut socket = origin.websocket("/push/ann").await.unwrap();
    let mut poll = LongPoll::open(&origin, "ann").await;
    let mut other = origin.websocket("/push/bob").await.unwrap();
    assert_eq!(origin.publish("ann", "one").await, r#"{"receivers": 2}"#);
    assert_eq!(origin.publish("ann", "two").await, r#"{"receivers": 2}"#);
    assert_eq!(origin.publish("bob", "three").await, r#"{"receivers": 1}"#);
    for expected in ["one", "two"] {
        assert_eq!(next_text(&mut socket).await, expected);
        assert_eq!(poll.line().await, expected);
    }
    assert_eq!(next_text(&mut other).await, "three");

    drop((socket, poll));
    wait_for("both clients' leaving", async || {
        (origin.publish("ann", "?").await == r#"{"receivers": 0}"#).then_some(())
    })
    .await;
    drop(other);
    origin.shutdown().await;
}

#[tokio::test]
async fn shutdown_closes_websockets_with_1001_and_ends_long_polls() {
    let origin = DemoOrigin::start().await;
    let mut echo = origin.websocket("/echo").await.unwrap();
    let mut push = origin.websocket("/push/ann").await.unwrap();
    let mut poll = LongPoll::open(&origin, "ann").await;
    origin.begin_shutdown();
    for socket in [&mut echo, &mut push] {
        let Some(Ok(Message::Close(Some(close)))) = soon("the Close", socket.next()).await else {
            panic!("no Close")
        };
        assert_eq!(close.code, CloseCode::Away);
        assert!(soon("the end", socket.next()).await.is_none());
    }
    assert_eq!(poll.line().await, "");
    origin.shutdown().await;
}

#[tokio::test]
async fn redis_feeds_pushes_and_knows_only_the_channels_in_use() {
    let redis = Redis::start().await;
    let origin = DemoOrigin::with(UpstreamOptions {
        redis: Some(redis.url()),
        ..UpstreamOptions::default()
    })
    .await;
    let mut one = origin.websocket("/push/ann").await.unwrap();
    let mut two = LongPoll::open(&origin, "ann").await;
    assert_eq!(redis.cli(&["pubsub", "channels"]).await, "ann");
    assert_eq!(
        redis.cli(&["pubsub", "numsub", "ann"]).await,
        "ann\n1",
        "both clients share one subscription"
    );
    redis.cli(&["publish", "ann", "from Redis"]).await;
    assert_eq!(origin.publish("ann", "from the origin").await, r#"{"receivers": 1}"#);
    for expected in ["from Redis", "from the origin"] {
        assert_eq!(next_text(&mut one).await, expected);
        assert_eq!(two.line().await, expected);
    }
    drop(one);
    assert_eq!(redis.cli(&["pubsub", "channels"]).await, "ann", "one client is left");
    drop(two);
    wait_for("the unsubscribing", async || {
        redis.cli(&["pubsub", "channels"]).await.is_empty().then_some(())
    })
    .await;
    origin.shutdown().await;
}

#[tokio::test]
async fn clients_outlive_a_restart_of_redis_and_get_messages_again() {
    let mut redis = Redis::start().await;
    let origin = DemoOrigin::with(UpstreamOptions {
        redis: Some(redis.url()),
        ..UpstreamOptions::default()
    })
    .await;
    let mut before = origin.websocket("/push/ann").await.unwrap();
    redis.stop().await;
    let refused = origin.websocket("/push/bob").await.unwrap_err();
    assert!(
        matches!(refused, Error::Http(answer) if answer.status() == 503),
        "nobody is promised messages meanwhile"
    );
    redis.start_again().await;
    wait_for("the subscribing again", async || {
        (redis.cli(&["pubsub", "numsub", "ann"]).await == "ann\n1").then_some(())
    })
    .await;
    let mut after = origin.websocket("/push/bob").await.unwrap();
    assert_eq!(origin.publish("ann", "again").await, r#"{"receivers": 1}"#);
    redis.cli(&["publish", "bob", "hello"]).await;
    assert_eq!(next_text(&mut before).await, "again");
    assert_eq!(next_text(&mut after).await, "hello");
    assert_eq!(redis.cli(&["pubsub", "numsub", "bob"]).await, "bob\n1");
    drop((before, after));
    origin.shutdown().await;
}

#[tokio::test]
async fn a_redis_that_is_not_there_is_named_with_the_remedy() {
    use headpin_lab::upstream::serve;
    for (address, says) in [
        ("redis://127.0.0.1:1", "start one there, or leave out --redis"),
        ("nonsense", "accepted: redis://"),
    ] {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let options = UpstreamOptions {
            redis: Some(address.into()),
            ..UpstreamOptions::default()
        };
        let error = soon("the refusal", serve(listener, options, Default::default()))
            .await
            .unwrap_err();
        let text = format!("{:#}", anyhow::Error::new(error));
        assert!(text.contains(says), "{text}");
    }
}

/// A response that goes on.
struct LongPoll(BufReader<TcpStream>);

impl LongPoll {
    async fn open(origin: &DemoOrigin, id: &str) -> Self {
        let mut stream = origin.tcp().await;
        stream
            .write_all(format!("GET /push/{id} HTTP/1.1\r\nhost: o\r\n\r\n").as_bytes())
            .await
            .unwrap();
        let head = header(&mut stream).await;
        assert!(head.starts_with("HTTP/1.1 200") && head.contains("chunked"), "{head}");
        Self(BufReader::new(stream))
    }

    /// The next chunk, without its line end; empty at the end.
    async fn line(&mut self) -> String {
        let mut lines = [String::new(), String::new(), String::new()];
        for line in &mut lines {
            soon("the line", self.0.read_line(line)).await.unwrap();
            if lines_end(line) {
                return String::new();
            }
        }
        lines[1].trim_end().to_owned()
    }
}

fn lines_end(line: &str) -> bool {
    line == "0\r\n"
}

async fn next_text(socket: &mut WebSocketStream<TcpStream>) -> String {
    text(soon("the message", socket.next()).await.unwrap().unwrap())
}

fn upgrade_request(path: &str) -> Vec<u8> {
    format!(
        "GET {path} HTTP/1.1\r\nhost: o\r\nconnection: Upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\n\
         sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    )
    .into_bytes()
}

/// Reads a header and not a byte more.
async fn header(stream: &mut TcpStream) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(soon("the header", stream.read_u8()).await.unwrap());
    }
    String::from_utf8(head).unwrap()
}
