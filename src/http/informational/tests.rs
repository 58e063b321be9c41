//! The order of what a client gets, with hyper's server above and a client that reads slowly.

use std::convert::Infallible;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use headpin_slab::{HeadPolicy, Meter, SlabReader, SlabSettings, WorkerSlabs};
use http::Response;
use http::header::LINK;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::task::{LocalSet, yield_now};
use tokio::time::timeout;

use super::*;
use crate::http::{HeadIo, IoState};

/// What a client's side takes without reading.
const WINDOW: usize = 1000;

fn link(number: usize, len: usize) -> HeaderMap {
    let mut headers = HeaderMap::new();
    let value = format!("</{number}>; rel=preload; x={}", "x".repeat(len));
    headers.insert(LINK, value.parse().unwrap());
    headers
}

fn head_io(stream: DuplexStream) -> HeadIo<SlabReader<DuplexStream>> {
    let settings = SlabSettings {
        worker: 0,
        tls_capacity: 1 << 20,
        tcp_capacity: 1 << 20,
        spares: 0,
    };
    let meter: Rc<dyn Meter> = Rc::new(());
    HeadIo::new(SlabReader::new(
        stream,
        WorkerSlabs::new(&settings, HeadPolicy::Copy, &meter),
    ))
}

/// Lets the tasks come as far as they can: nothing but them and the test runs here.
async fn settle() {
    for _ in 0..100 {
        yield_now().await;
    }
}

/// Runs `test` beside `tasks`. The clock stands still, so who waits for nothing fails at once.
async fn run(tasks: LocalSet, test: impl Future<Output = ()>) {
    let limited = timeout(Duration::from_secs(1), test);
    tasks.run_until(limited).await.expect("nobody waits for nothing");
}

/// Serves one connection. Requests come out of the channel; a response is ready when the test sends it.
struct Server {
    client: DuplexStream,
    state: Rc<IoState>,
    /// Requests with the sender of the response.
    requests: UnboundedReceiver<(Request<Incoming>, tokio::sync::oneshot::Sender<Bytes>)>,
}

impl Server {
    /// Within `tasks`.
    fn start(tasks: &LocalSet) -> Self {
        let (client, server) = tokio::io::duplex(WINDOW);
        let io = head_io(server);
        let state = io.state();
        let (sender, requests) = unbounded_channel();
        let written = Rc::clone(&state);
        let service = service_fn(move |request| {
            let (answer, answered) = tokio::sync::oneshot::channel();
            sender.send((request, answer)).unwrap();
            let state = Rc::clone(&written);
            async move {
                // As when the request is sent on.
                state.informational();
                let body = answered.await.unwrap();
                state.informational_written().await;
                Ok::<_, Infallible>(Response::new(Full::new(body)))
            }
        });
        tasks.spawn_local(http1::Builder::new().serve_connection(TokioIo::new(io), service));
        Self {
            client,
            state,
            requests,
        }
    }

    fn push(&self, number: usize, len: usize) {
        let queue = self.state.informational().queue();
        queue.push(StatusCode::EARLY_HINTS, &link(number, len));
    }

    /// Reads `most` bytes a time until `end` has come.
    async fn read_until(&mut self, end: &str, most: usize) -> String {
        let mut received = Vec::new();
        while !received.ends_with(end.as_bytes()) {
            let mut bytes = vec![0; most];
            let read = self.client.read(&mut bytes).await.unwrap();
            assert!(read > 0, "the connection ended: {}", String::from_utf8_lossy(&received));
            received.extend(&bytes[..read]);
        }
        String::from_utf8(received).unwrap()
    }
}

fn position(text: &str, part: &str) -> usize {
    assert_eq!(text.matches(part).count(), 1, "{part:?} once in {text:?}");
    text.find(part).unwrap()
}

/// hyper has all of the first response in its buffer when it dispatches the second request: the body of the first request comes
/// to its end only then.
#[tokio::test(start_paused = true)]
async fn what_belongs_to_a_request_does_not_overtake_the_response_before_it() {
    for hints in 0..3 {
        let tasks = LocalSet::new();
        let mut server = Server::start(&tasks);
        let test = async {
            let first = b"POST /1 HTTP/1.1\r\nHost: a.test\r\nContent-Length: 5\r\n\r\n";
            server.client.write_all(first).await.unwrap();
            // The body must not be dropped: hyper would close the connection.
            let (_first, answer) = server.requests.recv().await.unwrap();
            let body = format!("{}one", "x".repeat(3 * WINDOW));
            answer.send(body.into()).unwrap();
            settle().await;
            assert!(server.requests.try_recv().is_err());
            let rest = b"helloGET /2 HTTP/1.1\r\nHost: a.test\r\n\r\n";
            server.client.write_all(rest).await.unwrap();
            settle().await;
            let (_second, answer) = server.requests.try_recv().expect("dispatched, though nothing was read");
            for number in 0..hints {
                server.push(number, 10);
                settle().await;
            }
            answer.send("two".into()).unwrap();
            settle().await;

            let text = server.read_until("two", 100).await;
            let (first, second) = text.split_at(position(&text, "one") + 3);
            assert!(first.starts_with("HTTP/1.1 200 OK\r\n"), "{text}");
            let mut heads = second.split_inclusive("\r\n\r\n");
            for number in 0..hints {
                let head = heads.next().expect("a head");
                assert_eq!(head.as_bytes(), encode(StatusCode::EARLY_HINTS, &link(number, 10)));
            }
            let response = heads.next().expect("a response");
            assert!(response.starts_with("HTTP/1.1 200 OK\r\n"), "{text}");
            assert_eq!(heads.next(), Some("two"));
        };
        run(tasks, test).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_head_wakes_the_connection_and_comes_before_its_response_is_there() {
    let tasks = LocalSet::new();
    let mut server = Server::start(&tasks);
    let test = async {
        for round in 0..3 {
            let request = b"GET / HTTP/1.1\r\nHost: a.test\r\n\r\n";
            server.client.write_all(request).await.unwrap();
            let (_request, answer) = server.requests.recv().await.unwrap();
            for number in 0..3 {
                server.push(number, 10);
                let head = server.read_until("\r\n\r\n", 100).await;
                assert!(head.starts_with("HTTP/1.1 103 "), "{round} {number}: {head}");
                assert!(head.contains(&format!("</{number}>")), "{round} {number}: {head}");
            }
            answer.send("end".into()).unwrap();
            let response = server.read_until("end", 100).await;
            assert!(response.starts_with("HTTP/1.1 200 OK\r\n"), "{response}");
        }
    };
    run(tasks, test).await;
}

/// The client takes a few bytes at a time, and heads are much larger than what it takes without reading.
#[tokio::test(start_paused = true)]
async fn nothing_is_lost_when_a_client_reads_little_by_little() {
    for most in [1, 7, WINDOW, 10 * WINDOW] {
        let tasks = LocalSet::new();
        let mut server = Server::start(&tasks);
        let test = async {
            let request = b"GET / HTTP/1.1\r\nHost: a.test\r\n\r\n";
            server.client.write_all(request).await.unwrap();
            let (_request, answer) = server.requests.recv().await.unwrap();
            let mut expected = Vec::new();
            for number in 0..3 {
                server.push(number, 3 * WINDOW);
                expected.extend(encode(StatusCode::EARLY_HINTS, &link(number, 3 * WINDOW)));
                // In the middle of the one before.
                settle().await;
            }
            answer.send("end".into()).unwrap();
            let text = server.read_until("end", most).await;
            let (heads, response) = text.split_at(expected.len());
            assert_eq!(heads.as_bytes(), expected, "{most}");
            assert!(response.starts_with("HTTP/1.1 200 OK\r\n"), "{response}");
        };
        run(tasks, test).await;
    }
}

/// hyper's server writes 100 when the body is first read, at any time before the response.
#[tokio::test(start_paused = true)]
async fn a_100_does_not_fall_into_the_middle_of_a_head() {
    let tasks = LocalSet::new();
    let mut server = Server::start(&tasks);
    let test = async {
        let request = b"POST / HTTP/1.1\r\nHost: a.test\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n";
        server.client.write_all(request).await.unwrap();
        let (request, answer) = server.requests.recv().await.unwrap();
        let mut body = request.into_body();
        server.push(1, 3 * WINDOW);
        settle().await;
        let mut frame = pin!(poll_fn(|cx| http_body::Body::poll_frame(Pin::new(&mut body), cx)));
        tokio::select! {
            biased;
            _ = &mut frame => panic!("nothing was sent"),
            () = settle() => {}
        }
        let text = server.read_until("100 Continue\r\n\r\n", 100).await;
        let expected = encode(StatusCode::EARLY_HINTS, &link(1, 3 * WINDOW));
        assert_eq!(
            text.as_bytes(),
            [&expected[..], b"HTTP/1.1 100 Continue\r\n\r\n"].concat()
        );
        server.client.write_all(b"hello").await.unwrap();
        frame.await.expect("a frame").expect("no error");
        answer.send("end".into()).unwrap();
        server.read_until("end", 100).await;
    };
    run(tasks, test).await;
}

#[tokio::test(start_paused = true)]
async fn a_client_that_does_not_read_loses_what_is_too_much_and_no_part_of_a_head() {
    let tasks = LocalSet::new();
    let mut server = Server::start(&tasks);
    let test = async {
        let request = b"GET / HTTP/1.1\r\nHost: a.test\r\n\r\n";
        server.client.write_all(request).await.unwrap();
        let (_request, answer) = server.requests.recv().await.unwrap();
        let one = encode(StatusCode::EARLY_HINTS, &link(100, 1000)).len();
        for number in 100..300 {
            server.push(number, 1000);
            settle().await;
            let heads = server.state.informational().queue();
            assert!(heads.heads.lock().unwrap().held() < MOST + one);
        }
        answer.send("end".into()).unwrap();
        let text = server.read_until("end", WINDOW).await;
        let heads = text.matches("HTTP/1.1 103 ").count();
        assert!((MOST / one..=MOST / one + 2).contains(&heads), "{heads}");
        for (number, head) in (100..).zip(text.split_inclusive("\r\n\r\n").take(heads)) {
            assert_eq!(head.as_bytes(), encode(StatusCode::EARLY_HINTS, &link(number, 1000)));
        }
        // It reads again: so more is taken.
        let request = b"GET / HTTP/1.1\r\nHost: a.test\r\n\r\n";
        server.client.write_all(request).await.unwrap();
        let (_request, answer) = server.requests.recv().await.unwrap();
        server.push(7, 10);
        answer.send("end".into()).unwrap();
        assert!(server.read_until("end", WINDOW).await.contains("</7>"));
    };
    run(tasks, test).await;
}

/// A callback of hyper's client lives no longer than that; this is for the day when one does.
#[tokio::test(start_paused = true)]
async fn what_comes_after_its_response_has_begun_goes_nowhere() {
    let tasks = LocalSet::new();
    let mut server = Server::start(&tasks);
    let test = async {
        let request = b"GET / HTTP/1.1\r\nHost: a.test\r\n\r\n";
        server.client.write_all(request).await.unwrap();
        let (_request, answer) = server.requests.recv().await.unwrap();
        let queue = server.state.informational().queue();
        answer.send(format!("{}end", "x".repeat(3 * WINDOW)).into()).unwrap();
        settle().await;
        queue.push(StatusCode::EARLY_HINTS, &link(1, 10));
        settle().await;
        assert!(!server.read_until("end", 100).await.contains(" 103 "));
    };
    run(tasks, test).await;
}

#[test]
fn a_head_says_nothing_of_the_upstreams_connection() {
    let mut headers = link(1, 0);
    for (name, value) in [
        ("connection", "x-mine, keep-alive"),
        ("x-mine", "1"),
        ("keep-alive", "timeout=5"),
        ("transfer-encoding", "chunked"),
        ("content-length", "5"),
        ("upgrade", "h2c"),
        ("x-other", "2"),
    ] {
        headers.append(name, value.parse().unwrap());
    }
    headers.append(LINK, "</b>; rel=preconnect".parse().unwrap());
    let head = String::from_utf8(encode(StatusCode::EARLY_HINTS, &headers)).unwrap();
    assert_eq!(
        head,
        "HTTP/1.1 103 Early Hints\r\nlink: </1>; rel=preload; x=\r\nlink: </b>; rel=preconnect\r\nx-other: 2\r\n\r\n"
    );
    let unknown = StatusCode::from_u16(142).unwrap();
    assert_eq!(encode(unknown, &HeaderMap::new()), b"HTTP/1.1 142 \r\n\r\n");
}
