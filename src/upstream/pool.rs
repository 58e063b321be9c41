//! A worker's connections to servers that wait for the next plain request.
//!
//! By hand, over hyper's connections. hyper-util's pooled client cannot close the idle connections of one server, asks for a
//! random number at each request, and wants every body to be `Send`.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::future::Future;
use std::io;
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::combinators::UnsyncBoxBody;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::time::Instant;

use super::dial::DialError;
use super::group::Upstream;
use super::pace::{PacedReader, ReadPace};
use super::server::Server;

/// The maximum that hyper reads ahead of a response that the client does not take, in bytes.
pub const MAX_BUFFER: usize = 64 * 1024;

/// Body of a forwarded request.
pub type RequestBody = UnsyncBoxBody<Bytes, Box<dyn std::error::Error + Send + Sync>>;

/// Sends requests over one connection, and knows how it is read.
#[derive(Debug)]
pub struct Sender {
    /// hyper's own.
    pub sender: http1::SendRequest<RequestBody>,
    /// How much is read of it at once.
    pub pace: ReadPace,
    /// That of its server when it was made: with another, it is not used again.
    epoch: u32,
    generation: u64,
}

/// The idle connections of one worker, by server.
#[derive(Debug, Default)]
pub struct Pools {
    by_server: RefCell<HashMap<u64, Vec<Idle>>>,
    is_closed: Cell<bool>,
}

#[derive(Debug)]
struct Idle {
    sender: Sender,
    until: Instant,
}

impl Idle {
    fn is_of_use(&self, now: Instant) -> bool {
        !self.sender.sender.is_closed() && now < self.until
    }
}

/// A connection that is used for one request, and put back when this is dropped, if it can be used again.
#[derive(Debug)]
pub struct Checkout {
    sender: Option<Sender>,
    pools: Rc<Pools>,
    server: u64,
    idle_timeout: Duration,
    max_idle: usize,
}

impl Pools {
    /// An idle connection to `server` that can be used: the one that was put back last.
    #[must_use]
    pub fn take(&self, server: &Server, generation: u64) -> Option<Sender> {
        let mut by_server = self.by_server.borrow_mut();
        let idle = by_server.get_mut(&server.state.id)?;
        let epoch = server.state.epoch();
        let mut at = idle.len();
        while at > 0 {
            at -= 1;
            let sender = &idle[at].sender;
            // Its last response may not be over; then it comes back into use later.
            let is_current = sender.epoch == epoch && sender.generation == generation;
            // One that has been idle for too long is swept out within a second.
            if !is_current || sender.sender.is_closed() {
                idle.remove(at);
            } else if sender.sender.is_ready() {
                return Some(idle.remove(at).sender);
            }
        }
        None
    }

    /// `sender` is used for a request to `server` of `upstream`, and put back then.
    #[must_use]
    pub fn check_out(self: &Rc<Self>, sender: Sender, server: &Server, upstream: &Upstream) -> Checkout {
        Checkout {
            sender: Some(sender),
            pools: Rc::clone(self),
            server: server.state.id,
            idle_timeout: upstream.config.pool_idle_timeout,
            max_idle: upstream.config.pool_max_idle,
        }
    }

    fn put_back(&self, server: u64, sender: Sender, idle_timeout: Duration, max_idle: usize) {
        let mut by_server = self.by_server.borrow_mut();
        let idle = by_server.entry(server).or_default();
        if idle.len() < max_idle {
            let until = Instant::now() + idle_timeout;
            idle.push(Idle { sender, until });
        }
    }

    /// Closes connections that have been idle for too long, and those of servers that `epoch` says have changed or are gone; to
    /// be called about once a second.
    pub fn sweep(&self, generation: u64, epoch: impl Fn(u64) -> Option<u32>) {
        let now = Instant::now();
        self.by_server.borrow_mut().retain(|server, idle| {
            let epoch = epoch(*server);
            idle.retain(|idle| {
                idle.is_of_use(now) && Some(idle.sender.epoch) == epoch && idle.sender.generation == generation
            });
            !idle.is_empty()
        });
    }

    /// Closes all of them, and keeps none from now on.
    pub fn close(&self) {
        self.is_closed.set(true);
        self.by_server.borrow_mut().clear();
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.by_server.borrow().is_empty()
    }
}

impl Checkout {
    /// What sends the request.
    ///
    /// # Panics
    /// Never: it is there until this is dropped.
    pub fn sender(&mut self) -> &mut Sender {
        self.sender.as_mut().expect("it is put back on drop only")
    }

    /// Closes the connection: its last exchange failed.
    pub fn discard(mut self) {
        self.sender = None;
    }
}

impl Drop for Checkout {
    fn drop(&mut self) {
        let Some(sender) = self.sender.take() else { return };
        if !self.pools.is_closed.get() && !sender.sender.is_closed() {
            self.pools
                .put_back(self.server, sender, self.idle_timeout, self.max_idle);
        }
    }
}

impl Upstream {
    /// A new connection to `server`, and what drives it, which the caller spawns.
    ///
    /// # Errors
    /// The server's failure.
    ///
    /// # Cancel safety
    /// Dropping it closes what was being connected.
    pub async fn connect(
        &self,
        server: &Server,
        deadline: Instant,
    ) -> Result<(Sender, impl Future<Output = ()> + use<>), DialError> {
        let epoch = server.state.epoch();
        let stream = self.dialer.stream(server, deadline).await?;
        // hyper reads straight into its own buffer: there is no slab between, because no head can come of a plain request.
        let pace = ReadPace::default();
        let connection = TokioIo::new(PacedReader::new(stream, pace.clone()));
        let mut builder = self.heads.connection();
        let handshake = builder.max_buf_size(MAX_BUFFER).handshake(connection).await;
        let (sender, driving) = handshake.map_err(|error| DialError::Connect {
            server: server.url.to_string(),
            source: io::Error::other(error),
        })?;
        let sender = Sender {
            sender,
            pace,
            epoch,
            generation: self.generation,
        };
        // Whoever reads the response gets the error, too.
        Ok((sender, async move { drop(driving.await) }))
    }
}
