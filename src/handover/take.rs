//! The successor's side.

use std::collections::VecDeque;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream as StdStream;
use std::time::Duration;

use headpin_tls::TicketKeysState;
use rustix::process::geteuid;
use tokio::net::UnixStream;
use tokio::time::timeout;

use super::channel::{Channel, ChannelError, Received};
use super::message::{Answer, BROKE, Hello, Item, Listening, Summary, ToPredecessor, ToSuccessor, Wants};
use crate::control::{Command, Workers};
use crate::handed::{self, Handed, State};

/// How long the predecessor may take to answer.
const ANSWER: Duration = Duration::from_secs(10);

/// Why this process cannot be the successor.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TakeError {
    /// The predecessor says why.
    #[error("the running headpin does not hand over: {0}")]
    Refused(String),
    /// It is of another user, who could have put anything there.
    #[error("the headpin that runs there is of user {theirs}, and this one of user {ours}: start it as that user")]
    Stranger {
        /// Whose it is.
        theirs: u32,
        /// Whose this process is.
        ours: u32,
    },
    /// It does not answer.
    #[error("the running headpin did not answer within {0:?}")]
    Silent(Duration),
    /// The connection to it broke.
    #[error("the hand-over broke")]
    Channel(#[from] ChannelError),
    /// It says something else than it should.
    #[error("the running headpin sent something else than {0}")]
    OutOfTurn(&'static str),
    /// The socket to it cannot be used.
    #[error("the socket to the running headpin cannot be used")]
    Io(#[from] io::Error),
}

/// Sockets that another process listened on.
#[derive(Debug, Default)]
pub struct Inherited {
    proxy: Option<(Listening, Vec<TcpListener>)>,
    admin: Option<(Listening, Vec<TcpListener>)>,
    /// What tickets are sealed with.
    pub tickets: Option<TicketKeysState>,
    /// Of connections and tunnels that will come, about.
    pub sockets: u64,
}

impl Inherited {
    /// Those that clients come to, if the config has them at the same place: and the address.
    pub fn proxy(&mut self, configured: SocketAddr) -> Option<(SocketAddr, Vec<TcpListener>)> {
        at(&mut self.proxy, configured)
    }

    /// That of the admin endpoints, if the config has it at the same place: and the address.
    pub fn admin(&mut self, configured: SocketAddr) -> Option<(SocketAddr, TcpListener)> {
        let (bound, mut listeners) = at(&mut self.admin, configured)?;
        Some((bound, listeners.pop()?))
    }
}

/// What of `inherited` is listened on where `configured` says.
fn at(
    inherited: &mut Option<(Listening, Vec<TcpListener>)>,
    configured: SocketAddr,
) -> Option<(SocketAddr, Vec<TcpListener>)> {
    let same = |listening: &Listening| [listening.configured, listening.bound].contains(&configured);
    let (listening, listeners) = inherited.take_if(|(listening, _)| same(listening))?;
    (!listeners.is_empty()).then_some((listening.bound, listeners))
}

/// A running headpin that this process succeeds.
#[derive(Debug)]
pub struct Predecessor {
    channel: Channel,
    /// Its process.
    pub pid: u32,
    /// Its version.
    pub version: String,
    summary: Summary,
    /// Of what has come since somebody asked for it.
    pauses: Vec<Duration>,
    last_worker: usize,
}

impl Predecessor {
    /// Comes to the predecessor at the other end of `stream`.
    ///
    /// # Errors
    /// [`TakeError`]; then the predecessor goes on as if nothing had been asked.
    ///
    /// # Cancel safety
    /// Dropped, the predecessor goes on as if nothing had been asked.
    pub async fn meet(stream: StdStream) -> Result<Self, TakeError> {
        stream.set_nonblocking(true)?;
        let stream = UnixStream::from_std(stream)?;
        let (theirs, ours) = (stream.peer_cred()?.uid(), geteuid().as_raw());
        if theirs != ours {
            return Err(TakeError::Stranger { theirs, ours });
        }
        let mut channel = Channel::new(stream);
        within(channel.send(&Hello::new(Wants::Everything), &[])).await?;
        match within(channel.receive()).await?.message {
            Answer::Welcome {
                version,
                pid,
                format: _,
            } => Ok(Self {
                channel,
                pid,
                version,
                summary: Summary {
                    pid: std::process::id(),
                    version: env!("CARGO_PKG_VERSION").to_owned(),
                    ..Summary::default()
                },
                pauses: Vec::new(),
                last_worker: 0,
            }),
            Answer::Refused(why) => Err(TakeError::Refused(why)),
            Answer::Upgraded(_) => Err(TakeError::OutOfTurn("whether it hands over")),
        }
    }

    /// The sockets that it listens on.
    ///
    /// # Errors
    /// [`TakeError`].
    ///
    /// # Cancel safety
    /// As [`Self::meet`].
    pub async fn listeners(&mut self) -> Result<Inherited, TakeError> {
        let mut inherited = Inherited::default();
        loop {
            let Received { message, sockets } = within(self.channel.receive()).await?;
            let listeners = sockets.into_iter().map(TcpListener::from);
            let (place, listening) = match message {
                ToSuccessor::Proxy(listening) => (&mut inherited.proxy, listening),
                ToSuccessor::Admin(listening) => (&mut inherited.admin, listening),
                ToSuccessor::TicketKeys(keys) => {
                    inherited.tickets = Some(keys);
                    continue;
                }
                ToSuccessor::Listening { sockets } => {
                    inherited.sockets = sockets;
                    return Ok(inherited);
                }
                _ => return Err(TakeError::OutOfTurn("the sockets that it listens on")),
            };
            place.get_or_insert((listening, Vec::new())).1.extend(listeners);
        }
    }

    /// This process cannot be the successor.
    ///
    /// # Cancel safety
    /// Dropped, the predecessor is not told why.
    pub async fn give_up(mut self, why: String) {
        let _ = within(self.channel.send(&ToPredecessor::Failed(why), &[])).await;
    }

    /// Nothing can go wrong any more: the workers accept from now on, and go on with everything that comes. Returns when all has come
    /// that could leave at once.
    ///
    /// # Errors
    /// [`TakeError`]. Before the predecessor has said go, nothing has changed; `began` then stays false. After that this process
    /// serves, with what has come.
    ///
    /// # Cancel safety
    /// None: what is on its way would be lost.
    pub async fn take_over(&mut self, workers: &Workers, began: &mut bool) -> Result<Summary, TakeError> {
        within(self.channel.send(&ToPredecessor::Ready, &[])).await?;
        let ToSuccessor::Go { after, tunnels } = within(self.channel.receive()).await?.message else {
            return Err(TakeError::OutOfTurn("that it accepts nothing more"));
        };
        let at = handed::now();
        workers.tell(|| Command::Accept { after });
        *began = true;
        tracing::info!(tunnels, predecessor = self.pid, "taking over");
        let taken = self.until_done(workers).await;
        self.summary.took = handed::now().saturating_sub(at);
        if taken.is_err() {
            // All that are neither here nor known to stay there have died with the predecessor, or stay with it.
            let left: u64 = self.summary.left.iter().map(|(_, count)| count).sum();
            let missing = tunnels.saturating_sub(self.summary.tunnels + left);
            self.summary.left.push((BROKE.to_owned(), missing));
        }
        taken.map(|()| self.summary.clone())
    }

    /// What has come so far.
    #[must_use]
    pub fn summary(&self) -> &Summary {
        &self.summary
    }

    /// How long nobody looked after each of what has come since this was last asked.
    pub fn take_pauses(&mut self) -> Vec<Duration> {
        std::mem::take(&mut self.pauses)
    }

    async fn until_done(&mut self, workers: &Workers) -> Result<(), TakeError> {
        loop {
            let Received { message, sockets } = within(self.channel.receive()).await?;
            match message {
                ToSuccessor::Items(items) => self.take(workers, items, sockets).await?,
                ToSuccessor::Done(left) => {
                    self.summary.left = left;
                    let finished = ToPredecessor::Finished(self.summary.clone());
                    return within(self.channel.send(&finished, &[])).await;
                }
                _ => return Err(TakeError::OutOfTurn("connections")),
            }
        }
    }

    /// Goes on with what comes out of its request in the predecessor, until that has ended.
    ///
    /// # Cancel safety
    /// As [`Self::take_over`].
    pub async fn follow(&mut self, workers: &Workers) {
        loop {
            match self.channel.receive().await {
                Ok(Received {
                    message: ToSuccessor::Items(items),
                    sockets,
                }) => {
                    if self.take(workers, items, sockets).await.is_err() {
                        return;
                    }
                }
                Ok(_) | Err(_) => return,
            }
        }
    }

    async fn take(&mut self, workers: &Workers, items: Vec<Item>, sockets: Vec<OwnedFd>) -> Result<(), TakeError> {
        let wanted: usize = items.iter().map(|item| item.state.sockets()).sum();
        if sockets.len() != wanted {
            let why = format!(
                "the successor may open no more files: {} sockets of {wanted} came",
                sockets.len()
            );
            let refused = vec![Some(why); items.len()];
            return within(self.channel.send(&ToPredecessor::Taken(refused), &[])).await;
        }
        let mut sockets = VecDeque::from(sockets);
        let (mut handed, mut seen) = (Vec::with_capacity(items.len()), Vec::with_capacity(items.len()));
        for Item { left, state } in items {
            seen.push((left, matches!(state, State::Tunnel(_))));
            let sockets = sockets.drain(..state.sockets()).collect();
            handed.push(Handed { state, sockets, left });
        }
        let Some(worker) = workers.next_alive(self.last_worker) else {
            return Err(TakeError::OutOfTurn("while this process lives"));
        };
        self.last_worker = worker;
        let arrive = |reply| Command::Arrive {
            handed,
            stay: false,
            reply,
        };
        let Ok(results) = workers.ask_one(worker, arrive).await else {
            return Err(TakeError::OutOfTurn("while this process lives"));
        };
        let reasons: Vec<Option<String>> = results.into_iter().map(Result::err).collect();
        let taken = ToPredecessor::Taken(reasons);
        let sent = within(self.channel.send(&taken, &[])).await;
        workers.tell(|| Command::Settle { ours: sent.is_ok() });
        sent?;
        let ToPredecessor::Taken(reasons) = taken else {
            return Ok(());
        };
        let now = handed::now();
        for ((left, is_tunnel), _) in seen.into_iter().zip(&reasons).filter(|(_, reason)| reason.is_none()) {
            let summary = &mut self.summary;
            *(if is_tunnel {
                &mut summary.tunnels
            } else {
                &mut summary.connections
            }) += 1;
            let pause = now.saturating_sub(left);
            summary.longest_pause = summary.longest_pause.max(pause);
            self.pauses.push(pause);
        }
        Ok(())
    }
}

async fn within<T>(step: impl Future<Output = Result<T, ChannelError>>) -> Result<T, TakeError> {
    match timeout(ANSWER, step).await {
        Ok(done) => Ok(done?),
        Err(_) => Err(TakeError::Silent(ANSWER)),
    }
}
