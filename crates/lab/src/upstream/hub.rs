//! Who waits for which client id's messages.
//!
//! A channel exists as long as it has a mailbox. The hub is the truth about what is wanted; where a Redis stands behind
//! it, the [subscriber](super::subscriber) makes Redis agree, and learns from the *stale* ids what to look at:
//!
//! ```text
//!   first client of an id ─► channel, stale ─► SUBSCRIBE ─► confirmed ─► the client gets its 101
//!   last client leaves    ─► no channel, stale ─► UNSUBSCRIBE
//!   Redis is gone         ─► every channel unconfirmed and stale
//! ```

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll};

use bytes::Bytes;
use tokio::sync::{Notify, oneshot};

use super::mailbox::{Ended, Mailbox};

/// The longest client id, in bytes.
const CLIENT_ID_MAX: usize = 128;

/// The name of a client, and of its Redis channel: 1 to 128 letters, digits, or `-._~:`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct ClientId(Arc<str>);

impl ClientId {
    pub(super) fn parse(text: &str) -> Option<Self> {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~:".contains(&byte);
        let good = (1..=CLIENT_ID_MAX).contains(&text.len()) && text.bytes().all(allowed);
        good.then(|| Self(text.into()))
    }

    pub(super) fn as_str(&self) -> &str {
        &self.0
    }
}

/// When a new channel may be used.
#[derive(Clone, Copy, Debug)]
pub(super) enum Confirmation {
    /// At once: the hub is the whole broker.
    Immediate,
    /// Once [`Hub::confirm`] was called for it.
    BySubscriber,
}

/// Channels and their mailboxes.
pub(super) struct Hub {
    confirmation: Confirmation,
    state: Mutex<State>,
    /// Told when an id becomes stale.
    pub(super) changed: Notify,
}

#[derive(Default)]
struct State {
    channels: HashMap<ClientId, Channel>,
    /// Ids whose subscription may differ from what is wanted.
    stale: HashSet<ClientId>,
    closed: bool,
}

struct Channel {
    confirmed: bool,
    mailboxes: Vec<Arc<Mailbox>>,
    awaiting: Vec<oneshot::Sender<()>>,
}

impl Hub {
    pub(super) fn new(confirmation: Confirmation) -> Arc<Self> {
        Arc::new(Self {
            confirmation,
            state: Mutex::default(),
            changed: Notify::new(),
        })
    }

    /// A new mailbox for `id`, and the word that its channel is confirmed, unless it is already.
    pub(super) fn join(self: &Arc<Self>, id: ClientId) -> (Subscription, Option<oneshot::Receiver<()>>) {
        let mailbox = Arc::new(Mailbox::default());
        let mut state = self.lock();
        if state.closed {
            mailbox.end(Ended::Closed);
        }
        let State { channels, stale, .. } = &mut *state;
        let channel = channels.entry(id.clone()).or_insert_with(|| {
            stale.insert(id.clone());
            self.changed.notify_one();
            let confirmed = matches!(self.confirmation, Confirmation::Immediate);
            Channel {
                confirmed,
                mailboxes: Vec::new(),
                awaiting: Vec::new(),
            }
        });
        channel.mailboxes.push(Arc::clone(&mailbox));
        let confirmed = (!channel.confirmed).then(|| {
            let (tell, confirmed) = oneshot::channel();
            channel.awaiting.push(tell);
            confirmed
        });
        drop(state);
        (
            Subscription {
                hub: Arc::clone(self),
                id,
                mailbox,
            },
            confirmed,
        )
    }

    /// Puts a message into every mailbox of the channel; says how many there are.
    pub(super) fn deliver(&self, channel: &str, message: &Bytes) -> usize {
        let Some(id) = ClientId::parse(channel) else { return 0 };
        let state = self.lock();
        let mailboxes = state.channels.get(&id).map_or(&[][..], |channel| &channel.mailboxes);
        mailboxes.iter().for_each(|mailbox| mailbox.put(message.clone()));
        mailboxes.len()
    }

    /// The ids to look at, each with whether a subscription is wanted. They count as dealt with from now on.
    pub(super) fn take_stale(&self) -> Vec<(ClientId, bool)> {
        let mut state = self.lock();
        let stale = std::mem::take(&mut state.stale);
        stale
            .into_iter()
            .map(|id| (id.clone(), state.channels.contains_key(&id)))
            .collect()
    }

    /// The subscription of `id` is in effect.
    pub(super) fn confirm(&self, id: &ClientId) {
        if let Some(channel) = self.lock().channels.get_mut(id) {
            channel.confirmed = true;
            // A client that gave up waiting is no fault.
            channel.awaiting.drain(..).for_each(|tell| _ = tell.send(()));
        }
    }

    /// No subscription is in effect any more.
    pub(super) fn forget_confirmations(&self) {
        let mut state = self.lock();
        let State { channels, stale, .. } = &mut *state;
        channels.values_mut().for_each(|channel| channel.confirmed = false);
        stale.extend(channels.keys().cloned());
        self.changed.notify_one();
    }

    /// Ends every subscription, and those to come.
    pub(super) fn close(&self) {
        let mut state = self.lock();
        state.closed = true;
        state
            .channels
            .values()
            .flat_map(|channel| &channel.mailboxes)
            .for_each(|mailbox| mailbox.end(Ended::Closed));
    }

    fn leave(&self, id: &ClientId, mailbox: &Arc<Mailbox>) {
        let mut state = self.lock();
        let Some(channel) = state.channels.get_mut(id) else {
            return;
        };
        channel.mailboxes.retain(|other| !Arc::ptr_eq(other, mailbox));
        if channel.mailboxes.is_empty() {
            state.channels.remove(id);
            state.stale.insert(id.clone());
            self.changed.notify_one();
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("nothing panics while it holds the lock")
    }
}

impl fmt::Debug for Hub {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hub")
            .field("channels", &self.lock().channels.len())
            .finish_non_exhaustive()
    }
}

/// One client's messages. Leaves the hub when dropped.
#[derive(Debug)]
pub(super) struct Subscription {
    hub: Arc<Hub>,
    id: ClientId,
    mailbox: Arc<Mailbox>,
}

impl Subscription {
    /// The next message, in order. What came before an end is given first.
    pub(super) fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Result<Bytes, Ended>> {
        self.mailbox.poll_take(cx)
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        self.hub.leave(&self.id, &self.mailbox);
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use super::*;

    fn id(text: &str) -> ClientId {
        ClientId::parse(text).unwrap()
    }

    #[test]
    fn an_id_is_a_plain_name() {
        assert!(ClientId::parse("ann-7.a_b~c:d").is_some());
        for bad in ["", "a b", "a/b", "ä", &"x".repeat(129)] {
            assert!(ClientId::parse(bad).is_none(), "{bad:?}");
        }
    }

    #[tokio::test]
    async fn every_client_of_an_id_gets_each_message_in_order() {
        let hub = Hub::new(Confirmation::Immediate);
        let (mut one, waits) = hub.join(id("a"));
        assert!(waits.is_none(), "an embedded channel works at once");
        let (mut two, _) = hub.join(id("a"));
        assert_eq!(hub.deliver("a", &Bytes::from_static(b"1")), 2);
        assert_eq!(hub.deliver("b", &Bytes::from_static(b"1")), 0);
        hub.deliver("a", &Bytes::from_static(b"2"));
        for client in [&mut one, &mut two] {
            assert_eq!(poll_fn(|cx| client.poll_next(cx)).await.unwrap(), "1");
            assert_eq!(poll_fn(|cx| client.poll_next(cx)).await.unwrap(), "2");
        }
    }

    #[test]
    fn only_the_first_join_and_the_last_leave_make_an_id_stale() {
        let hub = Hub::new(Confirmation::BySubscriber);
        let (one, mut waits) = hub.join(id("a"));
        assert_eq!(hub.take_stale(), [(id("a"), true)]);
        hub.confirm(&id("a"));
        assert!(waits.as_mut().unwrap().try_recv().is_ok());

        let (two, waits) = hub.join(id("a"));
        assert!(waits.is_none(), "the channel was confirmed");
        drop(one);
        assert!(hub.take_stale().is_empty());
        drop(two);
        assert_eq!(hub.take_stale(), [(id("a"), false)]);
    }

    #[test]
    fn after_a_lost_redis_every_channel_waits_again() {
        let hub = Hub::new(Confirmation::BySubscriber);
        let (_one, _) = hub.join(id("a"));
        hub.take_stale();
        hub.confirm(&id("a"));
        hub.forget_confirmations();
        assert_eq!(hub.take_stale(), [(id("a"), true)]);
        let (_two, waits) = hub.join(id("a"));
        assert!(waits.is_some());
    }
}
