//! The one connection to Redis that messages arrive on, for all clients together.
//!
//! ```text
//!   connecting ──ok──► subscribed to what the hub wants ──► messages to the hub, changes to Redis
//!       ▲                                                         │ the connection ends, or a ping is not answered
//!       └────────────── pause, doubled each time ◄────────────────┘
//! ```

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt as _;
use redis::RedisError;
use redis::aio::PubSubSink;
use tokio::time::{MissedTickBehavior, interval, sleep, timeout};

use super::hub::{ClientId, Hub};

/// How long Redis may take to answer a command.
const ANSWER_PATIENCE: Duration = Duration::from_secs(3);
/// How often a quiet connection is tried.
const PING_EVERY: Duration = Duration::from_secs(15);
/// The first pause before connecting again, and the longest.
const PAUSE: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(2));

/// Keeps Redis's subscriptions equal to what the hub wants.
#[derive(Debug)]
pub(super) struct Subscriber {
    client: redis::Client,
    hub: Arc<Hub>,
}

/// Why a session with Redis ended.
#[derive(Debug, thiserror::Error)]
enum Lost {
    #[error("cannot connect to Redis")]
    Connect(#[source] RedisError),
    #[error("Redis refused a command")]
    Refused(#[source] RedisError),
    #[error("Redis did not answer within {ANSWER_PATIENCE:?}")]
    Silent,
    #[error("Redis closed the connection")]
    Closed,
}

impl Subscriber {
    pub(super) fn new(client: redis::Client, hub: Arc<Hub>) -> Self {
        Self { client, hub }
    }

    /// Runs until it is dropped.
    pub(super) async fn run(self) {
        let mut pause = PAUSE.0;
        loop {
            let lost = self.session(&mut pause).await;
            self.hub.forget_confirmations();
            tracing::warn!(error = &lost as &dyn std::error::Error, ?pause, "Redis is away");
            sleep(pause).await;
            pause = (pause * 2).min(PAUSE.1);
        }
    }

    /// One connection's life. Sets the pause back once Redis has answered.
    async fn session(&self, pause: &mut Duration) -> Lost {
        let connected = match timeout(ANSWER_PATIENCE, self.client.get_async_pubsub()).await {
            Ok(Ok(connected)) => connected,
            Ok(Err(error)) => return Lost::Connect(error),
            Err(_) => return Lost::Silent,
        };
        *pause = PAUSE.0;
        let (mut commands, mut messages) = connected.split();
        let mut subscribed = HashSet::new();
        // What became stale before this connection was made is looked at first, whether or not `changed` tells again.
        self.hub.forget_confirmations();
        let mut ping = interval(PING_EVERY);
        ping.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let done = tokio::select! {
                message = messages.next() => match message {
                    Some(message) => {
                        let payload = Bytes::copy_from_slice(message.get_payload_bytes());
                        self.hub.deliver(message.get_channel_name(), &payload);
                        Ok(())
                    }
                    None => Err(Lost::Closed),
                },
                () = self.hub.changed.notified() => self.reconcile(&mut commands, &mut subscribed).await,
                _ = ping.tick() => answered(commands.ping::<redis::Value>()).await.map(drop),
            };
            if let Err(lost) = done {
                return lost;
            }
        }
    }

    /// Subscribes and unsubscribes, each in one command for all ids that changed.
    async fn reconcile(&self, commands: &mut PubSubSink, subscribed: &mut HashSet<ClientId>) -> Result<(), Lost> {
        let (wanted, unwanted): (Vec<_>, Vec<_>) = self.hub.take_stale().into_iter().partition(|(_, wanted)| *wanted);
        let names = |ids: &[(ClientId, bool)], known: bool| -> Vec<String> {
            let changed = ids.iter().filter(|(id, _)| subscribed.contains(id) == known);
            changed.map(|(id, _)| id.as_str().to_owned()).collect()
        };
        let (new, gone) = (names(&wanted, false), names(&unwanted, true));
        if !gone.is_empty() {
            answered(commands.unsubscribe(&gone)).await?;
        }
        if !new.is_empty() {
            answered(commands.subscribe(&new)).await?;
        }
        for (id, _) in &unwanted {
            subscribed.remove(id);
        }
        for (id, _) in wanted {
            self.hub.confirm(&id);
            subscribed.insert(id);
        }
        Ok(())
    }
}

async fn answered<T>(command: impl Future<Output = Result<T, RedisError>>) -> Result<T, Lost> {
    match timeout(ANSWER_PATIENCE, command).await {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(error)) => Err(Lost::Refused(error)),
        Err(_) => Err(Lost::Silent),
    }
}
