//! A WebSocket's life after its upgrade.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use futures_util::{Sink as _, Stream as _};
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio::time::Sleep;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::error::ProtocolError;
use tokio_tungstenite::tungstenite::protocol::frame::Frame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{CloseCode, Data, OpCode};
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Role, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Error, Message, Utf8Bytes};
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};
use tokio_util::task::TaskTracker;

use super::GREETING;
use super::cork::Cork;
use super::hub::Subscription;
use super::mailbox::Ended;
use crate::pattern::Position;
use crate::units::parse_bytes;

/// Tungstenite allocates this much for every socket and keeps it; its default is 128 KiB.
const READ_BUFFER: usize = 4 << 10;
/// Small messages gather up to here before they are written; its default is the same 128 KiB.
const WRITE_BUFFER: usize = 16 << 10;

/// How a session begins, and what it does then.
#[derive(Debug)]
pub(super) enum Opening {
    /// Echoes.
    Echo,
    /// Echoes after a greeting: of so many bytes of the pattern, or the usual text.
    Greet(Option<usize>),
    /// Counts the bytes of binary messages; a text message is answered with `{"bytes": n}`, n since the last one.
    Upload,
    /// A text message, a number of bytes, is answered with so many bytes of the pattern.
    Download,
    /// Forwards a client id's messages.
    Push(Subscription),
}

/// What bounds a session.
#[derive(Clone, Debug)]
pub(super) struct SessionLimits {
    /// The largest message, in bytes.
    pub(super) max_message: usize,
    /// How long the peer may take to answer our Close.
    pub(super) grace: Duration,
}

/// Waits for the upgrade, greets, and hands over to a task that holds a [`Session`] and nothing else.
pub(super) async fn start(
    on_upgrade: OnUpgrade,
    opening: Opening,
    limits: SessionLimits,
    tasks: TaskTracker,
    shutdown: CancellationToken,
) {
    let upgraded = match on_upgrade.await {
        Ok(upgraded) => upgraded,
        Err(error) => return tracing::debug!(%error, "the upgrade did not happen"),
    };
    let parts = upgraded
        .downcast::<TokioIo<Cork>>()
        .expect("every connection is served over a cork");
    let (mut stream, mut held) = parts.io.into_inner().into_parts();
    let source = match opening {
        Opening::Echo => Source::Echo,
        Opening::Upload => Source::Upload { bytes: 0 },
        Opening::Download => Source::Download {
            position: Position::start(),
            left: 0,
        },
        Opening::Push(subscription) => Source::Push(subscription),
        Opening::Greet(size) => {
            greeting(size)
                .format(&mut held)
                .expect("writing to memory does not fail");
            Source::Echo
        }
    };
    if let Err(error) = stream.write_all(&held).await {
        return tracing::debug!(%error, "the client left before its greeting");
    }
    drop(held);
    // The head: what the client sent right behind its request.
    let head = Vec::from(parts.read_buf);
    let config = limits.config();
    let socket = WebSocketStream::from_partially_read(stream, head, Role::Server, Some(config)).await;
    let shutdown = Box::pin(shutdown.cancelled_owned());
    tasks.spawn(Session {
        socket,
        source,
        phase: Phase::Open(shutdown),
        grace: limits.grace,
    });
}

fn greeting(size: Option<usize>) -> Frame {
    match size {
        None => Frame::message(GREETING, OpCode::Data(Data::Text), true),
        Some(size) => {
            let mut bytes = Vec::with_capacity(size);
            Position::start().write(size, &mut bytes);
            Frame::message(bytes, OpCode::Data(Data::Binary), true)
        }
    }
}

impl SessionLimits {
    fn config(&self) -> WebSocketConfig {
        WebSocketConfig::default()
            .read_buffer_size(READ_BUFFER)
            .write_buffer_size(WRITE_BUFFER)
            .max_write_buffer_size(WRITE_BUFFER + self.max_message + 1024)
            .max_message_size(Some(self.max_message))
            .max_frame_size(Some(self.max_message))
    }
}

/// What the session sends.
#[derive(Debug)]
enum Source {
    Echo,
    Upload { bytes: u64 },
    Download { position: Position, left: u64 },
    Push(Subscription),
}

enum Phase {
    /// Until the token is cancelled.
    Open(Pin<Box<WaitForCancellationFutureOwned>>),
    /// Our Close is on its way: until the peer's, or this long.
    Closing(Pin<Box<Sleep>>),
}

/// One open WebSocket: a future written by hand, because an async fn would hold the socket twice.
///
/// It reads only while it can write, so that a client that does not read its echoes is not read from either.
struct Session {
    socket: WebSocketStream<TcpStream>,
    source: Source,
    phase: Phase,
    grace: Duration,
}

impl Future for Session {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let ended = ready!(self.poll_session(cx));
        match ended {
            Ok(()) | Err(Error::ConnectionClosed) => {}
            Err(error) => tracing::debug!(%error, "WebSocket ended"),
        }
        Poll::Ready(())
    }
}

impl Session {
    fn poll_session(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        loop {
            let stop = match &mut self.phase {
                Phase::Closing(deadline) => match deadline.as_mut().poll(cx) {
                    Poll::Ready(()) => return Poll::Ready(Ok(())),
                    Poll::Pending => false,
                },
                Phase::Open(shutdown) => shutdown.as_mut().poll(cx).is_ready(),
            };
            if stop {
                self.close(CloseCode::Away, "the origin shuts down")?;
            }
            ready!(Pin::new(&mut self.socket).poll_ready(cx))?;
            if self.poll_pushed(cx)?.is_ready() {
                continue;
            }
            match Pin::new(&mut self.socket).poll_next(cx) {
                Poll::Ready(Some(message)) => self.received(message?)?,
                Poll::Ready(None) => return Poll::Ready(Ok(())),
                Poll::Pending => {
                    ready!(Pin::new(&mut self.socket).poll_flush(cx))?;
                    return Poll::Pending;
                }
            }
        }
    }

    /// Ready if there was something to push, or to go on with.
    fn poll_pushed(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        match (&mut self.source, &self.phase) {
            (Source::Push(subscription), Phase::Open(_)) => Poll::Ready(match ready!(subscription.poll_next(cx)) {
                Ok(message) => self.send(message_from(message)),
                Err(Ended::Overflowed) => self.close(CloseCode::Again, "messages were lost: too slow a reader"),
                Err(Ended::Closed) => self.close(CloseCode::Away, "the origin shuts down"),
            }),
            (Source::Download { position, left }, Phase::Open(_)) if *left > 0 => {
                let piece = position.take(usize::try_from(*left).unwrap_or(usize::MAX));
                *left -= piece.len() as u64;
                Poll::Ready(self.send(Message::Binary(piece)))
            }
            _ => Poll::Pending,
        }
    }

    fn received(&mut self, message: Message) -> Result<(), Error> {
        if let Phase::Closing(_) = self.phase {
            return Ok(());
        }
        match (&mut self.source, message) {
            (Source::Echo, message @ (Message::Text(_) | Message::Binary(_))) => self.send(message),
            (Source::Upload { bytes }, Message::Binary(message)) => {
                *bytes += message.len() as u64;
                Ok(())
            }
            (Source::Upload { bytes }, Message::Text(_)) => {
                let answer = format!("{{\"bytes\": {}}}", std::mem::take(bytes));
                self.send(Message::text(answer))
            }
            (Source::Download { position, left }, Message::Text(size)) => match parse_bytes(&size) {
                Ok(size) => {
                    (*position, *left) = (Position::start(), size);
                    Ok(())
                }
                Err(_) => self.close(CloseCode::Policy, "a text message must be a number of bytes"),
            },
            // Pings and Closes are answered by tungstenite; the rest is for nobody.
            _ => Ok(()),
        }
    }

    fn close(&mut self, code: CloseCode, reason: &'static str) -> Result<(), Error> {
        self.phase = Phase::Closing(Box::pin(tokio::time::sleep(self.grace)));
        self.send(Message::Close(Some(CloseFrame {
            code,
            reason: Utf8Bytes::from_static(reason),
        })))
    }

    fn send(&mut self, message: Message) -> Result<(), Error> {
        match Pin::new(&mut self.socket).start_send(message) {
            // The peer closes: what it would have been sent it does not want.
            Err(Error::Protocol(ProtocolError::SendAfterClosing)) => Ok(()),
            sent => sent,
        }
    }
}

/// Text if it can be.
fn message_from(payload: Bytes) -> Message {
    match Utf8Bytes::try_from(payload.clone()) {
        Ok(text) => Message::Text(text),
        Err(_) => Message::Binary(payload),
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session")
            .field("source", &self.source)
            .finish_non_exhaustive()
    }
}
