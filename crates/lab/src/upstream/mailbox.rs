//! Messages on their way to one client.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard};
use std::task::{Context, Poll, Waker};

use bytes::Bytes;

/// Messages that may wait for one client. One more and the client has missed something: it is told so by its end.
const MAILBOX_MESSAGES: usize = 256;

/// Why a subscription gives no more messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ended {
    /// The client read too slowly and a message was lost.
    Overflowed,
    /// The origin shuts down.
    Closed,
}

/// What has not been read yet. Nothing is allocated while it is empty.
#[derive(Debug, Default)]
pub(super) struct Mailbox(Mutex<Queue>);

#[derive(Debug, Default)]
struct Queue {
    messages: VecDeque<Bytes>,
    ended: Option<Ended>,
    reader: Option<Waker>,
}

impl Mailbox {
    pub(super) fn put(&self, message: Bytes) {
        let mut queue = self.lock();
        if queue.ended.is_some() {
            return;
        }
        if queue.messages.len() < MAILBOX_MESSAGES {
            queue.messages.push_back(message);
        } else {
            queue.ended = Some(Ended::Overflowed);
        }
        queue.wake();
    }

    pub(super) fn end(&self, ended: Ended) {
        let mut queue = self.lock();
        queue.ended.get_or_insert(ended);
        queue.wake();
    }

    pub(super) fn poll_take(&self, cx: &mut Context<'_>) -> Poll<Result<Bytes, Ended>> {
        let mut queue = self.lock();
        if let Some(message) = queue.messages.pop_front() {
            if queue.messages.is_empty() {
                queue.messages = VecDeque::new();
            }
            return Poll::Ready(Ok(message));
        }
        if let Some(ended) = queue.ended {
            return Poll::Ready(Err(ended));
        }
        queue.reader = Some(cx.waker().clone());
        Poll::Pending
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.0.lock().expect("nothing panics while it holds the lock")
    }
}

impl Queue {
    fn wake(&mut self) {
        if let Some(reader) = self.reader.take() {
            reader.wake();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use super::*;

    #[tokio::test]
    async fn a_client_that_does_not_read_is_ended_after_what_it_was_owed() {
        let mailbox = Mailbox::default();
        for _ in 0..=MAILBOX_MESSAGES {
            mailbox.put(Bytes::from_static(b"m"));
        }
        for _ in 0..MAILBOX_MESSAGES {
            assert!(poll_fn(|cx| mailbox.poll_take(cx)).await.is_ok());
        }
        assert_eq!(poll_fn(|cx| mailbox.poll_take(cx)).await, Err(Ended::Overflowed));
    }

    #[tokio::test]
    async fn the_first_end_counts_and_nothing_is_added_after_it() {
        let mailbox = Mailbox::default();
        mailbox.put(Bytes::from_static(b"m"));
        mailbox.end(Ended::Closed);
        mailbox.put(Bytes::from_static(b"late"));
        assert_eq!(poll_fn(|cx| mailbox.poll_take(cx)).await.as_deref(), Ok(&b"m"[..]));
        assert_eq!(poll_fn(|cx| mailbox.poll_take(cx)).await, Err(Ended::Closed));
    }
}
