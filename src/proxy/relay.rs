//! One direction of a tunnel.

use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::AsyncWrite;

use super::frames::FrameFollower;
use super::registry::ConnectionRecord;
use super::worker::WorkerContext;
use crate::labels::{Direction, RelayPolicy};
use crate::slab::SliceRead;
use crate::unsent::Unsent;

/// Close with code 1001, going away (RFC 6455 section 7.4.1), as a server sends it.
const CLOSE_BY_SERVER: [u8; 4] = [0x88, 0x02, 0x03, 0xe9];
/// The same as a client sends it, masked (section 5.3). The payload is no secret, so the mask need not be random.
const CLOSE_BY_CLIENT: [u8; 8] = [0x88, 0x82, b'h', b'p', b'i', b'n', b'h' ^ 0x03, b'p' ^ 0xe9];

/// What became of a Close that this proxy is to send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Close {
    /// None is asked for.
    No,
    /// It goes out at the next frame boundary.
    Wanted,
    /// It is out, or the peer's own was: no frame may follow it, what still comes is read and dropped.
    Sent,
}

/// Which step of a relay failed.
#[derive(Debug)]
pub(super) enum RelayError {
    /// Reading from the side that it comes from.
    Read(io::Error),
    /// Writing to the side that it goes to.
    Write(io::Error),
}

/// One direction of a tunnel: no buffer while idle, and none but the rest of a blocked write otherwise.
///
/// Under `pipe`, a relay that cannot write does not read; under `queue` it reads on, and what waits has no limit. What
/// waits is a copy of exactly its size under either head policy: only
/// heads pin.
#[derive(Debug)]
pub(super) struct Relay {
    direction: Direction,
    follower: FrameFollower,
    /// What the writing side has not taken.
    blocked: Unsent,
    /// Behind `blocked`, under `queue` only.
    queued: Option<Box<Queue>>,
    close: Close,
    /// Nothing more will be read.
    ended: bool,
    /// That was passed on: the writing side is shut down.
    done: bool,
}

/// What waits under `queue`; boxed, so that a relay without one stays small.
#[derive(Debug, Default)]
struct Queue {
    parts: VecDeque<Box<[u8]>>,
    /// Sum of their lengths.
    bytes: usize,
}

impl Queue {
    fn push(&mut self, bytes: &[u8]) {
        self.bytes += bytes.len();
        self.parts.push_back(bytes.into());
    }

    fn pop(&mut self) -> Option<Box<[u8]>> {
        let next = self.parts.pop_front()?;
        self.bytes -= next.len();
        Some(next)
    }
}

impl Relay {
    /// Begins with `head`, which goes before anything else.
    pub(super) fn new(
        direction: Direction,
        head: Box<[u8]>,
        worker: &WorkerContext,
        record: &ConnectionRecord,
    ) -> Self {
        let mut relay = Self {
            direction,
            follower: FrameFollower::default(),
            blocked: Unsent::default(),
            queued: None,
            close: Close::No,
            ended: false,
            done: false,
        };
        relay.follow(&head, worker, record);
        relay.blocked = head.into();
        relay
    }

    /// Sends Close 1001 at the next frame boundary, unless the peer's own Close passes before.
    pub(super) fn close(&mut self) {
        if self.close == Close::No {
            self.close = Close::Wanted;
        }
    }

    /// Bytes of memory that wait to be written.
    pub(super) fn held(&self) -> usize {
        self.blocked.held() + self.queued.as_ref().map_or(0, |queued| queued.bytes)
    }

    /// Whether a Close frame has come from the side that is read.
    pub(super) fn has_seen_close(&self) -> bool {
        self.follower.has_seen_close()
    }

    /// Whether the side that is read has ended its stream, or need not be read further.
    pub(super) fn has_ended(&self) -> bool {
        self.ended
    }

    /// Moves what can be moved; ready when the end of the stream was passed on. May be polled again after that.
    pub(super) fn poll<R, W>(
        &mut self,
        cx: &mut Context<'_>,
        from: &mut R,
        to: &mut W,
        worker: &WorkerContext,
        record: &ConnectionRecord,
    ) -> Poll<Result<(), RelayError>>
    where
        R: SliceRead,
        W: AsyncWrite + Unpin,
    {
        if worker.relay_policy == RelayPolicy::Queue {
            return self.poll_queueing(cx, from, to, worker, record);
        }
        while !self.done {
            ready!(self.blocked.poll_send(cx, to)).map_err(RelayError::Write)?;
            // TLS keeps the rest of a blocked write itself: nothing is read before that has gone.
            ready!(Pin::new(&mut *to).poll_flush(cx)).map_err(RelayError::Write)?;
            if self.close == Close::Wanted && self.follower.is_at_boundary() {
                self.put_close(&[], self.follower.has_seen_close());
                continue;
            }
            if self.ended || self.is_closed() {
                self.ended = true;
                ready!(Pin::new(&mut *to).poll_shutdown(cx)).map_err(RelayError::Write)?;
                self.done = true;
                break;
            }
            match ready!(from.poll_read_slice(cx, worker.relay_buffer)) {
                Ok(Some(slice)) => {
                    record.active.set(worker.tick.get());
                    self.pass(cx, &slice, to, worker, record).map_err(RelayError::Write)?;
                }
                Ok(None) => self.ended = true,
                // TLS ended without close_notify: a WebSocket has an end of its own, so nothing is lost by that.
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => self.ended = true,
                Err(error) => return Poll::Ready(Err(RelayError::Read(error))),
            }
        }
        Poll::Ready(Ok(()))
    }

    /// [`Self::poll`] without backpressure: reads on while the writer is blocked, and queues.
    fn poll_queueing<R, W>(
        &mut self,
        cx: &mut Context<'_>,
        from: &mut R,
        to: &mut W,
        worker: &WorkerContext,
        record: &ConnectionRecord,
    ) -> Poll<Result<(), RelayError>>
    where
        R: SliceRead,
        W: AsyncWrite + Unpin,
    {
        while !self.done {
            let sent = self.poll_send_queued(cx, to).map_err(RelayError::Write)?;
            if self.close == Close::Wanted && self.follower.is_at_boundary() {
                self.queue_close(self.follower.has_seen_close());
                continue;
            }
            if self.ended || self.is_closed() {
                self.ended = true;
                ready!(sent);
                ready!(Pin::new(&mut *to).poll_shutdown(cx)).map_err(RelayError::Write)?;
                self.done = true;
                break;
            }
            match ready!(from.poll_read_slice(cx, worker.relay_buffer)) {
                Ok(Some(slice)) => {
                    record.active.set(worker.tick.get());
                    if sent.is_ready() {
                        self.pass(cx, &slice, to, worker, record).map_err(RelayError::Write)?;
                    } else {
                        self.queue(&slice, worker, record);
                    }
                }
                Ok(None) => self.ended = true,
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => self.ended = true,
                Err(error) => return Poll::Ready(Err(RelayError::Read(error))),
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Writes what waits, in order.
    fn poll_send_queued<W: AsyncWrite + Unpin>(&mut self, cx: &mut Context<'_>, to: &mut W) -> Poll<io::Result<()>> {
        loop {
            ready!(self.blocked.poll_send(cx, to))?;
            let next = self.queued.as_mut().and_then(|queued| queued.pop());
            let Some(next) = next else {
                self.queued = None;
                return Pin::new(&mut *to).poll_flush(cx);
            };
            self.blocked = next.into();
        }
    }

    /// Puts `bytes` behind what waits; what follows a Close is dropped.
    fn queue(&mut self, mut bytes: &[u8], worker: &WorkerContext, record: &ConnectionRecord) {
        if self.close == Close::Sent {
            self.follower.follow(bytes);
            return;
        }
        let frame_is_close = self.follower.has_seen_close();
        let boundary = self
            .follow(bytes, worker, record)
            .filter(|_| self.close == Close::Wanted);
        if let Some(boundary) = boundary {
            bytes = &bytes[..boundary];
        }
        self.queued.get_or_insert_default().push(bytes);
        if boundary.is_some() {
            self.queue_close(frame_is_close);
        }
    }

    /// Queues Close at the end, unless the last frame is a Close already.
    fn queue_close(&mut self, frame_is_close: bool) {
        let close = self.close_frame(frame_is_close);
        self.queued.get_or_insert_default().push(close);
        self.close = Close::Sent;
    }

    /// Whether nothing more needs to be read because this proxy closes: its Close went one way and the peer's came the
    /// other way, or would not be recognized.
    fn is_closed(&self) -> bool {
        match self.close {
            Close::No => false,
            Close::Wanted => self.follower.is_lost(),
            Close::Sent => self.follower.has_seen_close() || self.follower.is_lost(),
        }
    }

    /// Forwards `bytes`. What `to` does not take is kept; what follows a Close is dropped.
    fn pass<W: AsyncWrite + Unpin>(
        &mut self,
        cx: &mut Context<'_>,
        mut bytes: &[u8],
        to: &mut W,
        worker: &WorkerContext,
        record: &ConnectionRecord,
    ) -> io::Result<()> {
        if self.close == Close::Sent {
            self.follower.follow(bytes);
            return Ok(());
        }
        let frame_is_close = self.follower.has_seen_close();
        let boundary = self
            .follow(bytes, worker, record)
            .filter(|_| self.close == Close::Wanted);
        if let Some(boundary) = boundary {
            bytes = &bytes[..boundary];
        }
        while !bytes.is_empty() {
            match Pin::new(&mut *to).poll_write(cx, bytes)? {
                Poll::Ready(0) => return Err(io::ErrorKind::WriteZero.into()),
                Poll::Ready(sent) => bytes = &bytes[sent..],
                Poll::Pending => break,
            }
        }
        if boundary.is_some() {
            self.put_close(bytes, frame_is_close);
        } else if !bytes.is_empty() {
            self.blocked = bytes.into();
        }
        Ok(())
    }

    /// Queues Close behind the `rest` of the last frame, unless that frame is a Close already.
    fn put_close(&mut self, rest: &[u8], frame_is_close: bool) {
        let close = self.close_frame(frame_is_close);
        self.blocked = [rest, close].concat().into_boxed_slice().into();
        self.close = Close::Sent;
    }

    /// The Close to send; empty if the last frame is one already.
    fn close_frame(&self, frame_is_close: bool) -> &'static [u8] {
        match self.direction {
            _ if frame_is_close => &[],
            Direction::ToUpstream => &CLOSE_BY_CLIENT,
            Direction::ToDownstream => &CLOSE_BY_SERVER,
        }
    }

    /// Follows and counts `bytes`; returns where in them a frame first ends.
    fn follow(&mut self, bytes: &[u8], worker: &WorkerContext, record: &ConnectionRecord) -> Option<usize> {
        let followed = self.follower.follow(bytes);
        let counters = &worker.counters;
        let traffic = record.traffic(self.direction);
        traffic.bytes.set(traffic.bytes.get() + bytes.len() as u64);
        counters.tunnel_bytes[self.direction].inc_by(bytes.len() as u64);
        if followed.frames > 0 {
            traffic.frames.set(traffic.frames.get() + followed.frames);
            counters.tunnel_frames[self.direction].inc_by(followed.frames);
            counters.tunnel_messages[self.direction].inc_by(followed.messages);
        }
        followed.first_boundary
    }
}
