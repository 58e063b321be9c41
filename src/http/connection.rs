//! One downstream connection, from accept to the end of HTTP.

use std::cell::{Cell, RefCell};
use std::future::{Future, poll_fn};
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use headpin_tls::{HandshakeError, SlabStream};
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Sleep, sleep};

use super::flow::Flow;
use super::head_io::HeadIo;
use super::measured;
use super::origin::{Listener, Origin};
use super::service::{Exchange, connection_service};
use crate::config::{HEADERS, HeaderCase};
use crate::handed::{self, ConnectionState, Departure, Handed, State, Stays};
use crate::observe::labels::{HandshakeResult, HeadPolicy, HttpClose};
use crate::observe::metrics::GaugeGuard;
use crate::tunnel::{Downstream, Half, Tunnel};
use crate::worker::{Admission, Admitted, Going, ListedConnection, Settings, WorkerContext};

/// Most that hyper reads ahead of a body that nobody takes, or writes ahead of a client that does not read, in bytes.
/// Its own default is over 400 KiB, which a few thousand slow readers turn into gigabytes.
const MAX_BUFFER: usize = 64 * 1024;

/// How long a drain waits for the first request of who has just connected.
const FIRST_REQUEST: Duration = Duration::from_secs(3);

/// Said to a client that does not finish its request head; hyper only closes.
const HEADER_TIMEOUT: &[u8] = b"HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";

/// Spawns the task that serves one connection until it has become a tunnel, which is a task of its own, or has ended.
/// `listener` is where it came to, `taken` the memory that accepting it took, in bytes.
pub fn spawn_connection(
    worker: &Rc<WorkerContext>,
    socket: TcpStream,
    peer: SocketAddr,
    listener: Listener,
    permit: OwnedSemaphorePermit,
    taken: i64,
) {
    let metrics = &worker.shared.metrics;
    metrics.downstream_connections_total.inc();
    let admission = Admission::new(GaugeGuard::new(&metrics.downstream_connections_open), Some(permit));
    let listed = worker.registry.register(peer);
    let record = Rc::clone(listed.record());
    record.claim(taken);
    let serving = serve_connection(Rc::clone(worker), socket, peer, listener, listed, admission);
    worker.http_task_bytes.set(size_of_val(&serving));
    measured::spawn(worker, &record, serving);
}

/// Dropping it closes the connection and takes it out of the registry.
async fn serve_connection(
    worker: Rc<WorkerContext>,
    socket: TcpStream,
    peer: SocketAddr,
    listener: Listener,
    listed: ListedConnection,
    admission: Admission,
) {
    let metrics = &worker.shared.metrics;
    let settings = worker.shared.settings.load_full();
    match handshake(&worker, socket, &listed, &settings).await {
        Ok(stream) => {
            let stream = Admitted { stream, admission };
            serve_http(worker, stream, Origin::new(peer, listener), listed, &settings, false).await;
        }
        Err(error) => {
            metrics.tls_handshakes_total[failed(&error)].inc();
            tracing::debug!(%peer, error = &error as &dyn std::error::Error, "no TLS connection");
        }
    }
}

async fn handshake(
    worker: &WorkerContext,
    socket: TcpStream,
    listed: &ListedConnection,
    settings: &Settings,
) -> Result<SlabStream<TcpStream>, HandshakeError> {
    let buffers = Rc::clone(&worker.tls_buffers);
    let deadline = settings.config.tls.handshake_timeout;
    let stream = SlabStream::accept(socket, settings.tls.clone(), buffers, deadline).await?;
    let result = if stream.is_resumed() {
        HandshakeResult::Resumed
    } else {
        HandshakeResult::Full
    };
    // The session is in the memory of the task and of the tunnel; it is claimed as TLS.
    listed.claim(-SlabStream::<TcpStream>::INLINE_BYTES);
    listed.identity.tls.set(stream.agreed());
    let metrics = &worker.shared.metrics;
    metrics.tls_handshakes_total[result].inc();
    metrics
        .tls_handshake_seconds
        .observe(listed.identity.since.elapsed().as_secs_f64());
    Ok(stream)
}

async fn serve_http(
    worker: Rc<WorkerContext>,
    stream: Admitted<SlabStream<TcpStream>>,
    origin: Origin,
    listed: ListedConnection,
    settings: &Settings,
    asked: bool,
) {
    let (peer, port) = (origin.peer, origin.listener().port);
    let io = HeadIo::new(stream);
    let state = io.state();
    listed.speaks_http(io.state());
    let exchange = Rc::new(Exchange {
        worker: Rc::clone(&worker),
        origin,
        io: Rc::clone(&state),
        asked: Cell::new(asked),
        route: Rc::default(),
        no_route: Cell::default(),
        asked_protocol: RefCell::default(),
        lease: RefCell::default(),
        appetite: Rc::default(),
        record: Rc::clone(listed.record()),
        upstream: RefCell::default(),
    });
    let http = &settings.config.http;
    let mut builder = http1::Builder::new();
    if http.max_headers != HEADERS {
        builder.max_headers(http.max_headers);
    }
    let mut connection = builder
        .timer(TokioTimer::new())
        .preserve_header_case(http.header_case == HeaderCase::AsSent)
        .header_read_timeout(http.header_timeout)
        .max_header_size(http.max_header_bytes.bytes())
        .max_buf_size(MAX_BUFFER.max(http.max_header_bytes.bytes()))
        .serve_connection(TokioIo::new(io), connection_service(Rc::clone(&exchange)));

    let mut told = pin!(worker.departures.told());
    let mut patience: Option<Pin<Box<Sleep>>> = None;
    let mut shutting_down = false;
    let mut leaving = false;
    let result = poll_fn(|cx| {
        let polled = connection.poll_without_shutdown(cx);
        if shutting_down || polled.is_ready() || told.as_mut().poll(cx).is_pending() {
            return polled;
        }
        match worker.departures.going() {
            Going::Stays => {
                told.set(worker.departures.told());
                // For the next time.
                let told_again = told.as_mut().poll(cx);
                debug_assert!(told_again.is_pending());
                return polled;
            }
            // Polled again when the request is done.
            Going::Leaves if !state.flow.is_idle() => return polled,
            // What it has read of the next request goes along.
            Going::Leaves => {
                leaving = true;
                return Poll::Ready(Ok(()));
            }
            Going::Ends => {}
        }
        // hyper would hang up on who has connected and not asked yet: that one gets its first answer.
        let patience = patience.get_or_insert_with(|| Box::pin(sleep(FIRST_REQUEST)));
        if !exchange.asked.get() && patience.as_mut().poll(cx).is_pending() {
            return polled;
        }
        shutting_down = true;
        Pin::new(&mut connection).graceful_shutdown();
        connection.poll_without_shutdown(cx)
    })
    .await;

    let parts = connection.into_parts();
    let asked = exchange.asked.get();
    let upstream = exchange.upstream.take();
    let metrics = &worker.shared.metrics;
    let closed = &metrics.http_connections_closed_total;
    match (result, upstream) {
        (Ok(()), Some(upstream)) => {
            closed[HttpClose::Upgraded].inc();
            let policy = upstream.target.head_policy().unwrap_or_else(|| worker.slabs.policy());
            let (stream, head) = parts.io.into_inner().into_head(&parts.read_buf, policy);
            drop(parts.read_buf);
            let (content, downstream) = (upstream.content, Half { stream, head });
            let (target, upstream) = upstream.into_half(policy);
            // There may have been a reload since it was asked for.
            target.follow(&worker.shared.settings.load().routes);
            let record = listed.into_tunnel(target);
            let tunnel = Tunnel::new(content, downstream, upstream, record, Rc::clone(&worker));
            worker.tracker.spawn_local(tunnel);
        }
        (Ok(()), None) if leaving => {
            let Some(stream) = leave(&worker, parts.io.into_inner(), &parts.read_buf, &listed, asked, port) else {
                closed[HttpClose::HandedOver].inc();
                return;
            };
            closed[HttpClose::Done].inc();
            stream.stream.close().await;
        }
        (result, _) => {
            let reason = http_close(&result);
            closed[reason].inc();
            if let Err(error) = &result {
                let error = error as &dyn std::error::Error;
                tracing::debug!(%peer, error, %reason, "an HTTP connection broke");
            }
            say_goodbye(parts.io.into_inner(), &state.flow, reason).await;
        }
    }
}

/// Gives the connection to another process, with `read_too_much` in front of what it reads next. Back if it cannot go.
fn leave(
    worker: &WorkerContext,
    io: HeadIo<Admitted<SlabStream<TcpStream>>>,
    read_too_much: &[u8],
    listed: &ListedConnection,
    asked: bool,
    port: u16,
) -> Option<Admitted<SlabStream<TcpStream>>> {
    let (stream, head) = io.into_head(read_too_much, HeadPolicy::Copy);
    let Some(mut state) = Downstream::state(&stream) else {
        let _ = worker.departures.send(Departure::Stays(Stays::Tls12));
        return Some(stream);
    };
    state.put_back(head.bytes());
    let state = State::Connection(Box::new(ConnectionState {
        identity: listed.identity.state(),
        port,
        asked,
        stream: state,
    }));
    // Without its socket, which the runtime may have lost, there is no connection.
    if let Ok(socket) = Downstream::into_socket(stream) {
        let sockets = vec![socket];
        let _ = worker.departures.send(Departure::Leaves(Handed {
            state,
            sockets,
            left: handed::now(),
        }));
    }
    None
}

/// Spawns the task of a connection that another process had, over its stream.
pub fn resume_connection(
    worker: &Rc<WorkerContext>,
    stream: Admitted<SlabStream<TcpStream>>,
    state: &ConnectionState,
    listed: ListedConnection,
) {
    let record = Rc::clone(listed.record());
    let listener = Listener {
        scheme: "https",
        port: state.port,
    };
    let origin = Origin::new(state.identity.peer, listener);
    let (worker, asked) = (Rc::clone(worker), state.asked);
    let tasks = Rc::clone(&worker);
    let serving = async move {
        let settings = worker.shared.settings.load_full();
        serve_http(worker, stream, origin, listed, &settings, asked).await;
    };
    measured::spawn(&tasks, &record, serving);
}

/// The label that a failed handshake is counted under.
fn failed(error: &HandshakeError) -> HandshakeResult {
    match error {
        HandshakeError::PlainHttp => HandshakeResult::PlainHttp,
        HandshakeError::Closed | HandshakeError::Io(_) => HandshakeResult::Closed,
        HandshakeError::Tls(_) => HandshakeResult::Tls,
        HandshakeError::Timeout => HandshakeResult::Timeout,
    }
}

fn http_close(result: &hyper::Result<()>) -> HttpClose {
    match result {
        Ok(()) => HttpClose::Done,
        Err(error) if error.is_timeout() => HttpClose::HeaderTimeout,
        Err(error) if error.is_parse() => HttpClose::BadRequest,
        Err(error) if error.is_incomplete_message() => HttpClose::Incomplete,
        Err(_) => HttpClose::Io,
    }
}

async fn say_goodbye(mut io: HeadIo<Admitted<SlabStream<TcpStream>>>, flow: &Flow, reason: HttpClose) {
    // To a client that has sent nothing an answer would look like one to its next request.
    if reason == HttpClose::HeaderTimeout && flow.has_begun() && io.write_all(HEADER_TIMEOUT).await.is_err() {
        return;
    }
    io.into_stream().stream.close().await;
}
