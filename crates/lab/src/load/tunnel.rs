//! A WebSocket to the target, from its upgrade to its Close.

use std::cell::RefCell;
use std::future::poll_fn;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio_tungstenite::tungstenite::handshake::client::generate_key;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{Control, Data, OpCode};

use super::fault::Fault;
use super::http;
use super::message::{MaskKeys, Message, write_frame};
use super::stream::{Received, Stream};
use super::ws::{Event, FrameReader};

/// Plaintext that is made up at once: one full TLS record.
const PIECE: usize = 16_384;
/// How long the target may take to answer a Close, and then to close the connection.
const CLOSE_PATIENCE: Duration = Duration::from_secs(2);
/// Close code 1000, normal closure.
const NORMAL: [u8; 2] = 1000_u16.to_be_bytes();

thread_local! {
    static PLAINTEXT: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// An open tunnel.
#[derive(Debug)]
pub(super) struct Tunnel {
    stream: Stream,
    reader: FrameReader,
    /// What came in one read with the 101.
    early: Vec<u8>,
    /// Control frames to send before the next message.
    replies: Vec<u8>,
    /// The message that is being sent.
    current: Option<Message>,
    masks: MaskKeys,
    /// Each message goes in a TLS record of its own.
    own_records: bool,
    closing: bool,
}

/// What data is that comes before the target's Close.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Late {
    /// A fault: everything had been answered.
    Fault,
    /// Nothing: the target sends what it likes.
    Ignored,
}

impl Tunnel {
    /// Sends the upgrade request, and `head` in the same write; waits for the 101.
    ///
    /// # Cancel safety
    /// Dropping the future drops the connection.
    pub(super) async fn upgrade(
        mut stream: Stream,
        request_head: &str,
        head: Option<Message>,
        masks: MaskKeys,
    ) -> Result<Box<Self>, Fault> {
        let key = generate_key();
        let mut request = format!(
            "{request_head}Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
             Sec-WebSocket-Key: {key}\r\n\r\n"
        )
        .into_bytes();
        if let Some(mut message) = head {
            message.write(&mut request, usize::MAX);
        }
        http::send(&mut stream, &request).await?;
        let response = http::read_head(&mut stream).await?;
        if response.status != 101 {
            return Err(response.refusal("the upgrade"));
        }
        if response.field("sec-websocket-accept") != Some(&derive_accept_key(key.as_bytes())) {
            return Err(Fault::Protocol("a 101 with the wrong Sec-WebSocket-Accept"));
        }
        Ok(Box::new(Self {
            stream,
            reader: FrameReader::default(),
            early: response.rest,
            replies: Vec::new(),
            current: None,
            masks,
            own_records: false,
            closing: false,
        }))
    }

    /// Whether each message goes in a TLS record of its own from now on, or in several if it is long.
    pub(super) fn set_own_records(&mut self, own_records: bool) {
        self.own_records = own_records;
    }

    pub(super) fn stream(&self) -> &Stream {
        &self.stream
    }

    /// Whether bytes came in one read with the 101 and wait to be read.
    pub(super) fn has_early_bytes(&self) -> bool {
        !self.early.is_empty()
    }

    /// The next message's mask.
    pub(super) fn mask(&mut self) -> [u8; 4] {
        self.masks.next()
    }

    /// A text message, to be sent before the next binary one.
    pub(super) fn queue_text(&mut self, text: &str) {
        let mask = self.masks.next();
        write_frame(OpCode::Data(Data::Text), text.as_bytes(), mask, &mut self.replies);
    }

    /// Sends: replies first, then messages from `next` for as long as it gives some. Ready when all of it is with the
    /// kernel.
    ///
    /// Small messages share a write, and unless they go in records of their own, a record. `next` is told the mask to use.
    pub(super) fn poll_send(
        &mut self,
        cx: &mut Context<'_>,
        next: &mut impl FnMut([u8; 4]) -> Option<Message>,
    ) -> Poll<Result<(), Fault>> {
        loop {
            ready!(self.stream.poll_ready(cx))?;
            let sent = PLAINTEXT.with_borrow_mut(|piece| {
                let mut queued = 0;
                loop {
                    piece.clear();
                    self.compose(piece, next);
                    match piece.len() {
                        0 => return Ok(queued > 0),
                        len if self.own_records && queued + len < PIECE => {
                            self.stream.queue(piece)?;
                            queued += len;
                        }
                        _ => return self.stream.send(cx, piece).map(|()| true),
                    }
                }
            });
            if !sent? {
                return Poll::Ready(Ok(()));
            }
        }
    }

    fn compose(&mut self, piece: &mut Vec<u8>, next: &mut impl FnMut([u8; 4]) -> Option<Message>) {
        while piece.len() < PIECE {
            if self.current.is_none() {
                piece.append(&mut self.replies);
                if piece.len() < PIECE {
                    self.current = next(self.masks.next());
                }
            }
            let Some(message) = &mut self.current else { return };
            if message.write(piece, PIECE.saturating_sub(piece.len())) {
                self.current = None;
                if self.own_records {
                    return;
                }
            }
        }
    }

    /// Reads once, at most `max` bytes from the socket; `sink` sees data and message ends.
    ///
    /// Pings are answered with the next [`Self::poll_send`]; a Close that was not asked for is a fault.
    pub(super) fn poll_receive(
        &mut self,
        cx: &mut Context<'_>,
        max: usize,
        sink: &mut impl FnMut(Event<'_>) -> Result<(), Fault>,
    ) -> Poll<Result<Received, Fault>> {
        let Self {
            stream,
            reader,
            early,
            replies,
            masks,
            closing,
            ..
        } = self;
        let mut closed = false;
        let mut feed = |bytes: &[u8]| {
            reader.feed(bytes, &mut |event| match event {
                Event::Ping(payload) => {
                    write_frame(OpCode::Control(Control::Pong), payload, masks.next(), replies);
                    Ok(())
                }
                Event::Close { .. } if *closing => {
                    closed = true;
                    Ok(())
                }
                Event::Close { code, reason } => Err(Fault::Closed {
                    code,
                    reason: reason.to_owned(),
                }),
                event => sink(event),
            })
        };
        if !early.is_empty() {
            return Poll::Ready(feed(&std::mem::take(early)).map(|()| Received::Some));
        }
        let received = ready!(stream.poll_receive(cx, max, &mut feed))?;
        Poll::Ready(match received {
            Received::End if !*closing => Err(Fault::Ended),
            _ if closed => Ok(Received::End),
            received => Ok(received),
        })
    }

    /// Answers pings and gives data to `sink`, until the fault that ends the tunnel.
    ///
    /// # Cancel safety
    /// Nothing is lost.
    pub(super) async fn idle(&mut self, sink: &mut impl FnMut(Event<'_>) -> Result<(), Fault>) -> Fault {
        let fault: Result<(), Fault> = poll_fn(|cx| {
            loop {
                ready!(self.poll_send(cx, &mut |_| None))?;
                ready!(self.poll_receive(cx, usize::MAX, sink))?;
            }
        })
        .await;
        fault.err().unwrap_or(Fault::Ended)
    }

    /// Sends Close, waits for the target's and for the end of the connection, so that the target closes it first and
    /// no local port is left in TIME_WAIT.
    ///
    /// # Cancel safety
    /// The tunnel is of no more use.
    pub(super) async fn close(mut self: Box<Self>, late: Late) -> Result<(), Fault> {
        self.closing = true;
        let mask = self.masks.next();
        write_frame(OpCode::Control(Control::Close), &NORMAL, mask, &mut self.replies);
        let mut take_late = |event: Event<'_>| match (event, late) {
            (Event::Data(_), Late::Fault) => {
                Err(Fault::WrongBytes("data after everything had been answered".to_owned()))
            }
            _ => Ok(()),
        };
        let closed = poll_fn(|cx| {
            loop {
                ready!(self.poll_send(cx, &mut |_| None))?;
                if ready!(self.poll_receive(cx, usize::MAX, &mut take_late))? == Received::End {
                    return Poll::Ready(Ok(()));
                }
            }
        });
        tokio::time::timeout(CLOSE_PATIENCE, closed)
            .await
            .unwrap_or(Err(Fault::Timeout("the target's Close")))?;
        let ended = poll_fn(|cx| {
            self.stream.finish(cx)?;
            while ready!(self.stream.poll_receive(cx, usize::MAX, &mut |_| Ok(())))? != Received::End {}
            Poll::Ready(Ok::<_, Fault>(()))
        });
        // The WebSocket is closed by now; how the connection below it ends is not a fault.
        _ = tokio::time::timeout(CLOSE_PATIENCE, ended).await;
        Ok(())
    }
}
