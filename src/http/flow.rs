//! How the bytes of an HTTP connection flow below the HTTP library.

use std::cell::{Cell, RefCell};
use std::task::{Context, Poll, Waker};

/// Notes what reads and writes come to, for those who cannot see them: the service, and the body of a response.
#[derive(Debug, Default)]
pub(crate) struct Flow {
    begun: Cell<bool>,
    /// The last write or flush is not done.
    blocked: Cell<bool>,
    /// Who has more to write once it is.
    waiter: RefCell<Option<Waker>>,
}

impl Flow {
    /// A request's head is complete.
    pub(crate) fn request_arrived(&self) {
        self.begun.set(false);
    }

    /// Whether bytes have arrived since the last request.
    pub(crate) fn has_begun(&self) -> bool {
        self.begun.get()
    }

    /// Notes that bytes have arrived.
    pub(super) fn note_read(&self) {
        self.begun.set(true);
    }

    /// Notes what became of a write or a flush.
    pub(super) fn note_write<T>(&self, poll: Poll<T>) -> Poll<T> {
        let was_blocked = self.blocked.replace(poll.is_pending());
        if was_blocked
            && poll.is_ready()
            && let Some(waiter) = self.waiter.take()
        {
            waiter.wake();
        }
        poll
    }

    /// Ready when what was written last has left for the socket. A body that asks before it makes more to write keeps an
    /// HTTP library from gathering in memory what a slow reader does not take.
    pub(crate) fn poll_unblocked(&self, cx: &Context<'_>) -> Poll<()> {
        if !self.blocked.get() {
            return Poll::Ready(());
        }
        self.waiter.replace(Some(cx.waker().clone()));
        Poll::Pending
    }
}
