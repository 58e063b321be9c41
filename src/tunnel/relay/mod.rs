//! One direction of a tunnel.
//!
//! ```text
//!   from ─► slice ─► follow, cut at a Close ─► to
//!                                              └─ what it does not take: [`pipe`] stops reading, [`queue`] reads on
//! ```

mod close;
mod pipe;
mod queue;

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use headpin_slab::SliceRead;
use headpin_slab::Unsent;
use tokio::io::AsyncWrite;

use self::close::Close;
pub(super) use self::close::CloseCode;
use self::pipe::Pipe;
use self::queue::{Backlog, Queue};
use super::frames::{Content, FrameFollower};
use crate::handed::RelayState;
use crate::observe::labels::{Direction, RelayPolicy};
use crate::worker::{TunnelRecord, WorkerContext};

/// Whether all that waited is with the writing side.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sent {
    All,
    NotAll,
}

/// What a relay policy decides: where that waits which the writing side does not take, and whether reading goes on.
trait Keeping {
    /// Sends what waits, in order. Pending, nothing is read before the writer has moved.
    fn poll_send<W: AsyncWrite + Unpin>(relay: &mut Relay, cx: &mut Context<'_>, to: &mut W) -> Poll<io::Result<Sent>>;

    /// Puts `rest`, with `close` behind it, at the end of what waits. Either may be empty.
    fn keep(relay: &mut Relay, rest: &[u8], close: &[u8]);
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
/// waits is a copy of exactly its size under either head policy: only heads pin.
#[derive(Debug)]
pub struct Relay {
    direction: Direction,
    follower: FrameFollower,
    /// What the writing side has not taken.
    blocked: Unsent,
    /// Behind `blocked`, under `queue` only.
    queued: Option<Box<Backlog>>,
    close: Close,
    /// Nothing more will be read.
    ended: bool,
    /// That was passed on: the writing side is shut down.
    done: bool,
}

impl Relay {
    /// Begins with `head`, which goes before anything else.
    pub(super) fn new(
        direction: Direction,
        content: Content,
        head: Box<[u8]>,
        worker: &WorkerContext,
        record: &TunnelRecord,
    ) -> Self {
        let mut relay = Self {
            direction,
            follower: FrameFollower::new(content),
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

    /// What another process needs to go on, with what it has moved.
    pub(super) fn state(&self, record: &TunnelRecord) -> RelayState {
        let blocked = self.blocked.left();
        let queued = self.queued.iter().flat_map(|queued| queued.pieces());
        let waiting = std::iter::once(blocked).chain(queued).filter(|piece| !piece.is_empty());
        let traffic = record.traffic(self.direction);
        RelayState {
            follower: self.follower.state(),
            waiting: waiting.map(<[u8]>::to_vec).collect(),
            close: self.close.into(),
            ended: self.ended,
            done: self.done,
            bytes: traffic.bytes.get(),
            frames: traffic.frames.get(),
        }
    }

    /// Goes on where another process was. `None` if a relay is never there.
    pub(super) fn resume(direction: Direction, state: &RelayState, policy: RelayPolicy) -> Option<Self> {
        let (blocked, queued) = match (policy, &state.waiting[..]) {
            (_, []) => (Unsent::default(), None),
            (RelayPolicy::Queue, [first, rest @ ..]) => {
                let queued = (!rest.is_empty()).then(|| Box::new(Backlog::of(rest)));
                (first[..].into(), queued)
            }
            // Under the other policy it may have been in pieces: then it goes in one.
            (RelayPolicy::Pipe, pieces) => (pieces.concat().into_boxed_slice().into(), None),
        };
        Some(Self {
            direction,
            follower: FrameFollower::resume(&state.follower)?,
            blocked,
            queued,
            close: Close::resume(state.close),
            ended: state.ended,
            done: state.done,
        })
    }

    /// Sends a Close with `code` at the next frame boundary, unless the peer's own Close passes before.
    pub(super) fn close(&mut self, code: CloseCode) {
        if self.close == Close::No {
            self.close = Close::Wanted(code);
        }
    }

    /// Bytes of memory that wait to be written.
    pub(super) fn held(&self) -> usize {
        self.blocked.held() + self.queued.as_ref().map_or(0, |queued| queued.bytes())
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
        record: &TunnelRecord,
    ) -> Poll<Result<(), RelayError>>
    where
        R: SliceRead,
        W: AsyncWrite + Unpin,
    {
        match worker.relay_policy {
            RelayPolicy::Pipe => self.poll_under::<Pipe, _, _>(cx, from, to, worker, record),
            RelayPolicy::Queue => self.poll_under::<Queue, _, _>(cx, from, to, worker, record),
        }
    }

    /// [`Self::poll`] under a policy; compiled for each, so that neither pays for the other.
    fn poll_under<P, R, W>(
        &mut self,
        cx: &mut Context<'_>,
        from: &mut R,
        to: &mut W,
        worker: &WorkerContext,
        record: &TunnelRecord,
    ) -> Poll<Result<(), RelayError>>
    where
        P: Keeping,
        R: SliceRead,
        W: AsyncWrite + Unpin,
    {
        while !self.done {
            let sent = ready!(P::poll_send(self, cx, to)).map_err(RelayError::Write)?;
            if let Close::Wanted(code) = self.close
                && self.follower.is_at_boundary()
            {
                let close = self.take_close(code, self.follower.has_seen_close());
                P::keep(self, &[], close);
                continue;
            }
            if self.ended || self.is_closed() {
                self.ended = true;
                if sent == Sent::NotAll {
                    return Poll::Pending;
                }
                ready!(Pin::new(&mut *to).poll_shutdown(cx)).map_err(RelayError::Write)?;
                self.done = true;
                break;
            }
            match ready!(from.poll_read_slice(cx, worker.relay_buffer)) {
                Ok(Some(slice)) => {
                    record.active.set(worker.tick());
                    self.pass::<P, _>(cx, &slice, sent, to, worker, record)
                        .map_err(RelayError::Write)?;
                }
                Ok(None) => self.ended = true,
                // TLS ended without close_notify: a WebSocket has an end of its own, so nothing is lost by that.
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => self.ended = true,
                Err(error) => return Poll::Ready(Err(RelayError::Read(error))),
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Whether nothing more needs to be read because this proxy closes: its Close went one way and the peer's came the
    /// other way, or would not be recognized.
    fn is_closed(&self) -> bool {
        match self.close {
            Close::No => false,
            Close::Wanted(_) => self.follower.is_lost(),
            Close::Sent => self.follower.has_seen_close() || self.follower.is_lost(),
        }
    }

    /// Forwards `bytes`, unless others wait already. What `to` does not take is kept; what follows a Close is dropped.
    #[inline]
    fn pass<P: Keeping, W: AsyncWrite + Unpin>(
        &mut self,
        cx: &mut Context<'_>,
        mut bytes: &[u8],
        sent: Sent,
        to: &mut W,
        worker: &WorkerContext,
        record: &TunnelRecord,
    ) -> io::Result<()> {
        if self.close == Close::Sent {
            self.follower.follow(bytes);
            return Ok(());
        }
        let frame_is_close = self.follower.has_seen_close();
        let boundary = self.follow(bytes, worker, record);
        let close_at = match self.close {
            Close::Wanted(code) => boundary.map(|boundary| (boundary, code)),
            _ => None,
        };
        if let Some((boundary, _)) = close_at {
            bytes = &bytes[..boundary];
        }
        while sent == Sent::All && !bytes.is_empty() {
            match Pin::new(&mut *to).poll_write(cx, bytes)? {
                Poll::Ready(0) => return Err(io::ErrorKind::WriteZero.into()),
                Poll::Ready(sent) => bytes = &bytes[sent..],
                Poll::Pending => break,
            }
        }
        if let Some((_, code)) = close_at {
            let close = self.take_close(code, frame_is_close);
            P::keep(self, bytes, close);
        } else if !bytes.is_empty() {
            P::keep(self, bytes, &[]);
        }
        Ok(())
    }

    /// The Close to send, from now on sent; empty if the last frame is one already.
    fn take_close(&mut self, code: CloseCode, frame_is_close: bool) -> &'static [u8] {
        self.close = Close::Sent;
        if frame_is_close {
            &[]
        } else {
            close::frame(self.direction, code)
        }
    }

    /// Follows and counts `bytes`; returns where in them a frame first ends.
    fn follow(&mut self, bytes: &[u8], worker: &WorkerContext, record: &TunnelRecord) -> Option<usize> {
        let followed = self.follower.follow(bytes);
        let counters = &worker.counters;
        let traffic = record.traffic(self.direction);
        traffic.bytes.set(traffic.bytes.get() + bytes.len() as u64);
        counters.relayed(self.direction, bytes.len() as u64);
        if followed.frames > 0 {
            traffic.frames.set(traffic.frames.get() + followed.frames);
            counters.framed(self.direction, followed.frames, followed.messages);
        }
        followed.first_boundary
    }
}
