//! `relay_policy = "pipe"`: a relay that cannot write does not read.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::AsyncWrite;

use super::{Keeping, Relay, Sent};

/// At most the rest of one blocked write waits.
#[derive(Debug)]
pub(super) struct Pipe;

impl Keeping for Pipe {
    /// Never [`Sent::NotAll`].
    #[inline]
    fn poll_send<W: AsyncWrite + Unpin>(relay: &mut Relay, cx: &mut Context<'_>, to: &mut W) -> Poll<io::Result<Sent>> {
        ready!(relay.blocked.poll_send(cx, to))?;
        // TLS keeps the rest of a blocked write itself: nothing is read before that has gone.
        ready!(Pin::new(to).poll_flush(cx))?;
        Poll::Ready(Ok(Sent::All))
    }

    #[inline]
    fn keep(relay: &mut Relay, rest: &[u8], close: &[u8]) {
        debug_assert!(
            relay.blocked.is_empty(),
            "something was read while the writer was blocked"
        );
        relay.blocked = [rest, close].concat().into_boxed_slice().into();
    }
}
