//! `relay_policy = "queue"`: a relay that cannot write reads on, as if `res.write` had never returned false.

use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use headpin_slab::Waiting;
use tokio::io::AsyncWrite;

use super::{Keeping, Relay, Sent};

/// What waits behind a blocked write; boxed, so that a relay without one stays small.
#[derive(Debug, Default)]
pub(super) struct Backlog {
    pieces: VecDeque<Waiting>,
    /// Sum of their lengths.
    bytes: usize,
}

impl Backlog {
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// What waits, in order.
    pub(super) fn pieces(&self) -> impl Iterator<Item = &[u8]> {
        self.pieces.iter().map(|piece| &**piece)
    }

    /// The opposite.
    pub(super) fn of(pieces: &[Vec<u8>]) -> Self {
        let mut backlog = Self::default();
        pieces.iter().for_each(|piece| backlog.push(piece));
        backlog
    }

    fn push(&mut self, piece: &[u8]) {
        self.bytes += piece.len();
        self.pieces.push_back(piece.into());
    }

    fn pop(&mut self) -> Option<Waiting> {
        let next = self.pieces.pop_front()?;
        self.bytes -= next.len();
        Some(next)
    }
}

/// All that was read waits, a piece for each read.
#[derive(Debug)]
pub(super) struct Queue;

impl Keeping for Queue {
    /// Never pending: how far the writer came stops nobody from reading.
    fn poll_send<W: AsyncWrite + Unpin>(relay: &mut Relay, cx: &mut Context<'_>, to: &mut W) -> Poll<io::Result<Sent>> {
        loop {
            match relay.blocked.poll_send(cx, to)? {
                Poll::Ready(()) => {}
                Poll::Pending => return Poll::Ready(Ok(Sent::NotAll)),
            }
            let next = relay.queued.as_mut().and_then(|queued| queued.pop());
            let Some(next) = next else {
                relay.queued = None;
                let flushed = Pin::new(to).poll_flush(cx)?;
                return Poll::Ready(Ok(if flushed.is_ready() { Sent::All } else { Sent::NotAll }));
            };
            relay.blocked = next.into();
        }
    }

    fn keep(relay: &mut Relay, rest: &[u8], close: &[u8]) {
        let pieces = [rest, close].into_iter().filter(|piece| !piece.is_empty());
        for piece in pieces {
            relay.queued.get_or_insert_default().push(piece);
        }
    }
}
