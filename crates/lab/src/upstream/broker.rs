//! Where pushed messages come from: the embedded broker, or Redis pub/sub.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use redis::RedisError;
use redis::aio::MultiplexedConnection;
use tokio::sync::Mutex;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::hub::{ClientId, Confirmation, Hub, Subscription};
use super::subscriber::Subscriber;

/// How long Redis may take to answer at the start, and how long a client waits for its channel.
const REDIS_PATIENCE: Duration = Duration::from_secs(3);

/// Why messages cannot be had or published.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BrokerError {
    /// `--redis` is no address; the caller's fault.
    #[error("{address:?} is no Redis address; accepted: redis://[user:password@]host[:port][/database]")]
    Address {
        /// What was given.
        address: String,
        /// What the client library says.
        source: RedisError,
    },
    /// Redis is not there; start it, or leave out `--redis`.
    #[error("no Redis answers at {address}; start one there, or leave out --redis to use the embedded broker")]
    Unreachable {
        /// Where it was looked for.
        address: String,
        /// What the client library says.
        source: RedisError,
    },
    /// Redis was there and does not answer now; usually it restarts.
    #[error("Redis does not answer; trying again in the background")]
    Silent,
    /// Redis refused the message.
    #[error("Redis did not take the message")]
    Publish(#[source] RedisError),
}

/// Gives out subscriptions and takes messages.
#[derive(Debug)]
pub(super) struct Broker {
    hub: Arc<Hub>,
    publisher: Option<Publisher>,
}

impl Broker {
    /// Connects to Redis if there is one to connect to, and keeps its subscriber among `tasks`.
    pub(super) async fn start(
        redis: Option<&str>,
        tasks: &TaskTracker,
        shutdown: &CancellationToken,
    ) -> Result<Arc<Self>, BrokerError> {
        let Some(address) = redis else {
            return Ok(Arc::new(Self {
                hub: Hub::new(Confirmation::Immediate),
                publisher: None,
            }));
        };
        let client = redis::Client::open(address).map_err(|source| BrokerError::Address {
            address: address.to_owned(),
            source,
        })?;
        let unreachable = |source| BrokerError::Unreachable {
            address: address.to_owned(),
            source,
        };
        let publisher = Publisher {
            client: client.clone(),
            connection: Mutex::new(None),
        };
        publisher.connect().await.map_err(unreachable)?;

        let hub = Hub::new(Confirmation::BySubscriber);
        let subscriber = Subscriber::new(client, Arc::clone(&hub));
        let shutdown = shutdown.clone();
        tasks.spawn(async move { shutdown.run_until_cancelled(subscriber.run()).await });
        Ok(Arc::new(Self {
            hub,
            publisher: Some(publisher),
        }))
    }

    /// A subscription that is in effect: what is published from now on arrives.
    ///
    /// # Errors
    /// If Redis is away.
    pub(super) async fn subscribe(&self, id: ClientId) -> Result<Subscription, BrokerError> {
        let (subscription, confirmed) = self.hub.join(id);
        if let Some(confirmed) = confirmed {
            let confirmed = tokio::time::timeout(REDIS_PATIENCE, confirmed).await;
            confirmed.ok().and_then(Result::ok).ok_or(BrokerError::Silent)?;
        }
        Ok(subscription)
    }

    /// Publishes; says how many received: clients here, or with Redis the subscribers that Redis knows of.
    ///
    /// # Errors
    /// If Redis is away or refuses.
    pub(super) async fn publish(&self, id: &ClientId, message: Bytes) -> Result<u64, BrokerError> {
        match &self.publisher {
            None => Ok(self.hub.deliver(id.as_str(), &message) as u64),
            Some(publisher) => publisher.publish(id, &message).await.map_err(BrokerError::Publish),
        }
    }

    /// Ends every subscription.
    pub(super) fn close(&self) {
        self.hub.close();
    }
}

/// The one connection that messages are published on, made anew when it has failed.
struct Publisher {
    client: redis::Client,
    connection: Mutex<Option<MultiplexedConnection>>,
}

impl Publisher {
    async fn connect(&self) -> Result<MultiplexedConnection, RedisError> {
        let mut kept = self.connection.lock().await;
        if let Some(connection) = &*kept {
            return Ok(connection.clone());
        }
        let config = redis::AsyncConnectionConfig::new()
            .set_connection_timeout(Some(REDIS_PATIENCE))
            .set_response_timeout(Some(REDIS_PATIENCE));
        let connection = self
            .client
            .get_multiplexed_async_connection_with_config(&config)
            .await?;
        Ok(kept.insert(connection).clone())
    }

    async fn publish(&self, id: &ClientId, message: &[u8]) -> Result<u64, RedisError> {
        let mut command = redis::cmd("PUBLISH");
        command.arg(id.as_str()).arg(message);
        let mut connection = self.connect().await?;
        match command.query_async(&mut connection).await {
            Err(error) if error.is_unrecoverable_error() => {
                // Redis has restarted since the last message: one attempt on a new connection.
                *self.connection.lock().await = None;
                command.query_async(&mut self.connect().await?).await
            }
            answer => answer,
        }
    }
}

impl std::fmt::Debug for Publisher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Publisher")
            .field("client", &self.client)
            .finish_non_exhaustive()
    }
}
