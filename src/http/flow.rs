//! How the bytes of an HTTP connection flow below the HTTP library.

use std::cell::{Cell, OnceCell};
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};

use super::unread::Unread;

/// Notes what reads and writes come to, for those who cannot see them: the service, and the body of a response.
#[derive(Debug, Default)]
pub(crate) struct Flow {
    begun: Cell<bool>,
    /// A response is under way.
    busy: Cell<bool>,
    /// From the first request on that has a body.
    unread: OnceCell<Unread>,
    /// The last write or flush is not done.
    blocked: Cell<bool>,
}

impl Flow {
    /// A request's head is complete.
    pub(crate) fn request_arrived(&self) {
        self.begun.set(false);
        self.busy.set(true);
    }

    /// The body of the response is complete, or given up.
    pub(crate) fn response_done(&self) {
        self.busy.set(false);
    }

    /// A request with a body begins: what takes note of its end.
    pub(super) fn body_begins(&self) {
        self.unread.get_or_init(Unread::default).store(true, Ordering::Relaxed);
    }

    /// What takes note of the end of a request's body.
    pub(super) fn unread(&self) -> Unread {
        Unread::clone(self.unread.get_or_init(Unread::default))
    }

    /// Whether what comes next is the beginning of a request: none is under way, and nothing of a response waits to be written.
    pub(crate) fn is_idle(&self) -> bool {
        let unread = self.unread.get().is_some_and(|unread| unread.load(Ordering::Relaxed));
        !self.busy.get() && !self.blocked.get() && !unread
    }

    /// Whether bytes have arrived since the last request.
    pub(crate) fn has_begun(&self) -> bool {
        self.begun.get()
    }

    /// Notes that bytes have arrived.
    pub(super) fn note_read(&self) {
        self.begun.set(true);
    }

    /// Notes what became of a write or a flush in the task of `cx`.
    ///
    /// When it is blocked no more, the task is polled once more. A body may have waited for that. And while hyper cannot write it does
    /// not ask the service for the response to a pipelined request: that may be ready since, and hyper would not ask by itself.
    pub(super) fn note_write<T>(&self, cx: &Context<'_>, poll: Poll<T>) -> Poll<T> {
        let was_blocked = self.blocked.replace(poll.is_pending());
        if was_blocked && poll.is_ready() {
            cx.waker().wake_by_ref();
        }
        poll
    }

    /// Ready when what was written last has left for the socket. A body that asks before it makes more to write keeps an
    /// HTTP library from gathering in memory what a slow reader does not take. For the task that the library writes in, which is
    /// polled again then.
    pub(crate) fn poll_unblocked(&self) -> Poll<()> {
        match self.blocked.get() {
            true => Poll::Pending,
            false => Poll::Ready(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::{Wake, Waker};

    use super::*;

    #[derive(Default)]
    struct Woken(AtomicUsize);

    impl Wake for Woken {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[test]
    fn the_task_is_polled_again_when_a_write_is_blocked_no_more() {
        let woken = Arc::<Woken>::default();
        let waker = Waker::from(Arc::clone(&woken));
        let cx = Context::from_waker(&waker);
        let flow = Flow::default();
        let polls = [
            (Poll::Ready(()), 0),
            (Poll::Pending, 0),
            (Poll::Pending, 0),
            (Poll::Ready(()), 1),
            (Poll::Ready(()), 1),
            (Poll::Pending, 1),
            (Poll::Ready(()), 2),
        ];
        for (poll, times) in polls {
            assert_eq!(flow.note_write(&cx, poll), poll);
            assert_eq!(flow.poll_unblocked(), poll);
            assert_eq!(woken.0.load(Ordering::Relaxed), times);
        }
    }
}
