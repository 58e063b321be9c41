//! The bodies of the origin's responses, each made as it is read.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{BufMut, Bytes, BytesMut};
use http_body::{Body, Frame, SizeHint};

use super::hub::Subscription;
use crate::pattern::Position;

/// A response's body.
#[derive(Debug)]
pub(super) enum UpstreamBody {
    /// Bytes that are there; empty when sent.
    Whole(Bytes),
    /// A download: `left` bytes of the pattern from `position` on.
    Pattern { position: Position, left: u64 },
    /// A long poll: each message a line, for as long as the client stays.
    Push(Subscription),
}

impl UpstreamBody {
    pub(super) const EMPTY: Self = Self::Whole(Bytes::new());
}

impl Body for UpstreamBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        let data = match &mut *self {
            Self::Whole(bytes) if bytes.is_empty() => return Poll::Ready(None),
            Self::Whole(bytes) => std::mem::take(bytes),
            Self::Pattern { left: 0, .. } => return Poll::Ready(None),
            Self::Pattern { position, left } => {
                let piece = position.take(usize::try_from(*left).unwrap_or(usize::MAX));
                *left -= piece.len() as u64;
                piece
            }
            Self::Push(subscription) => match ready!(subscription.poll_next(cx)) {
                Ok(message) => line(&message),
                Err(_) => return Poll::Ready(None),
            },
        };
        Poll::Ready(Some(Ok(Frame::data(data))))
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Whole(bytes) => bytes.is_empty(),
            Self::Pattern { left, .. } => *left == 0,
            Self::Push(_) => false,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Whole(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Self::Pattern { left, .. } => SizeHint::with_exact(*left),
            Self::Push(_) => SizeHint::default(),
        }
    }
}

fn line(message: &[u8]) -> Bytes {
    let mut line = BytesMut::with_capacity(message.len() + 1);
    line.put_slice(message);
    line.put_u8(b'\n');
    line.freeze()
}
