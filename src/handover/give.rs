//! The predecessor's side.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::time::Duration;

use headpin_tls::TicketKeys;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::sync::watch;
use tokio::time::timeout;

use super::channel::{Channel, ChannelError, MAX_SOCKETS};
use super::door::Caller;
use super::message::{Answer, Item, Listening, Summary, TLS_1_2, ToPredecessor, ToSuccessor};
use crate::admin::Presence;
use crate::control::{Command, NoWorkers, Workers};
use crate::handed::{self, Departure, Handed, State, Stays};

/// How long a successor may take to get ready: to read its config, and certificates from a slow disk.
const READY: Duration = Duration::from_secs(60);
/// How long it may take to answer from then on.
const ANSWER: Duration = Duration::from_secs(5);
/// What leaves together: so few that none waits long for the others, so many that asking costs little.
const TOGETHER: usize = 64;
/// No more is added to what leaves together once it has so many bytes that wait.
const BULK: usize = 1 << 20;

/// Why nothing was handed over, or not everything. Either way this process serves on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum GiveError {
    /// The versions have no format in common.
    #[error("{0}")]
    Format(String),
    /// The successor says why it cannot be one.
    #[error("the successor cannot start: {0}")]
    Failed(String),
    /// It does not answer.
    #[error("the successor did not answer within {0:?}")]
    Silent(Duration),
    /// The connection to it broke.
    #[error(transparent)]
    Channel(#[from] ChannelError),
    /// It says something else than it should.
    #[error("the successor sent something else than {0}")]
    OutOfTurn(&'static str),
    /// The sockets cannot be duplicated.
    #[error("a listening socket cannot be handed over")]
    Listener(#[source] io::Error),
    /// This process is ending.
    #[error(transparent)]
    NoWorkers(#[from] NoWorkers),
}

/// What is handed over.
#[derive(Debug)]
pub struct Estate<'a> {
    /// Who have it.
    pub workers: &'a Workers,
    /// Where clients connect: as the config has it, and as it is.
    pub proxy: (SocketAddr, SocketAddr),
    /// Where the admin endpoints are, likewise, and their socket.
    pub admin: (SocketAddr, SocketAddr, BorrowedFd<'a>),
    /// What tickets are sealed with.
    pub tickets: &'a TicketKeys,
    /// Whether they are here.
    pub presence: &'a watch::Sender<Presence>,
}

/// What has been handed over. What is still in a request follows as long as [`Self::follow`] is polled.
#[derive(Debug)]
pub struct Given {
    /// What it came to.
    pub summary: Summary,
    giving: Giving,
}

/// A successor that is ready. Until then nothing has changed.
#[derive(Debug)]
pub struct Heir {
    channel: Channel,
    pid: u32,
    version: String,
}

impl Heir {
    /// Gives `caller` the listening sockets, and waits until it is ready.
    ///
    /// # Errors
    /// [`GiveError`].
    ///
    /// # Cancel safety
    /// Dropped, the other process is told that nothing comes of it, and nothing has changed.
    pub async fn make(caller: Caller, estate: &Estate<'_>) -> Result<Self, GiveError> {
        let Caller {
            mut channel,
            hello,
            pid,
        } = caller;
        let format = match hello.format() {
            Ok(format) => format,
            Err(why) => {
                let _ = timeout(ANSWER, channel.send(&Answer::Refused(why.clone()), &[])).await;
                return Err(GiveError::Format(why));
            }
        };
        if let Err(error) = prepare(&mut channel, format, estate).await {
            // It may have said why before it went.
            let last = timeout(ANSWER, channel.receive::<ToPredecessor>()).await;
            return Err(match last.map(|received| received.map(|received| received.message)) {
                Ok(Ok(ToPredecessor::Failed(why))) => GiveError::Failed(why),
                _ => error,
            });
        }
        Ok(Self {
            channel,
            pid,
            version: hello.version,
        })
    }

    /// Hands everything over. On an error this process has everything that the other one has not taken, and the error says how many
    /// that are.
    ///
    /// # Errors
    /// [`GiveError`].
    ///
    /// # Cancel safety
    /// None: what is on its way would be lost.
    pub async fn give(self, estate: &Estate<'_>) -> Result<Given, (GiveError, u64)> {
        let (sender, departures) = unbounded_channel();
        let mut giving = Giving {
            channel: self.channel,
            workers: estate.workers.clone(),
            departures,
            batch: Vec::new(),
            refused: Vec::new(),
            summary: Summary {
                pid: self.pid,
                version: self.version,
                ..Summary::default()
            },
            left: BTreeMap::new(),
            next_worker: 0,
        };
        let given = async {
            let began = handed::now();
            estate.presence.send_replace(Presence::Going);
            let after = estate.workers.ask(|reply| Command::HoldAccepts { reply }).await?;
            let tunnels = estate.workers.ask(|reply| Command::CountTunnels { reply }).await?;
            let go = ToSuccessor::Go {
                after: after.into_iter().max().unwrap_or(0),
                tunnels: tunnels.into_iter().sum::<usize>() as u64,
            };
            giving.say(&go, &[]).await?;
            estate.workers.tell(|| Command::Depart { to: sender.clone() });
            giving.all().await?;
            giving.finish(began).await
        };
        match given.await {
            Ok(()) => {
                estate.workers.tell(|| Command::GiveUpListeners);
                estate.presence.send_replace(Presence::Gone);
                Ok(Given {
                    summary: giving.summary.clone(),
                    giving,
                })
            }
            Err(error) => {
                giving.go_on_here().await;
                estate.presence.send_replace(Presence::Here);
                let gone = giving.summary.tunnels + giving.summary.connections;
                Err((error, gone))
            }
        }
    }
}

/// Everything up to ready: until then nothing has changed.
async fn prepare(channel: &mut Channel, format: u16, estate: &Estate<'_>) -> Result<(), GiveError> {
    let welcome = Answer::Welcome {
        format,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        pid: std::process::id(),
    };
    within(ANSWER, channel.send(&welcome, &[])).await?;
    let listeners: Vec<io::Result<Vec<OwnedFd>>> = estate.workers.ask(|reply| Command::Listeners { reply }).await?;
    let listeners: Vec<Vec<OwnedFd>> = listeners
        .into_iter()
        .collect::<io::Result<_>>()
        .map_err(GiveError::Listener)?;
    let listeners: Vec<BorrowedFd<'_>> = listeners.iter().flatten().map(OwnedFd::as_fd).collect();
    let (configured, bound) = estate.proxy;
    for some in listeners.chunks(MAX_SOCKETS) {
        let message = ToSuccessor::Proxy(Listening { configured, bound });
        within(ANSWER, channel.send(&message, some)).await?;
    }
    let (configured, bound, socket) = estate.admin;
    let message = ToSuccessor::Admin(Listening { configured, bound });
    within(ANSWER, channel.send(&message, &[socket])).await?;
    let message = ToSuccessor::TicketKeys(estate.tickets.state());
    within(ANSWER, channel.send(&message, &[])).await?;
    let sockets = estate.workers.ask(|reply| Command::CountSockets { reply }).await?;
    let sockets = sockets.into_iter().sum::<usize>() as u64;
    within(ANSWER, channel.send(&ToSuccessor::Listening { sockets }, &[])).await?;
    let answer = within(READY, channel.receive::<ToPredecessor>()).await?;
    match answer.message {
        ToPredecessor::Ready => Ok(()),
        ToPredecessor::Failed(why) => Err(GiveError::Failed(why)),
        _ => Err(GiveError::OutOfTurn("whether it is ready")),
    }
}

async fn within<T>(limit: Duration, step: impl Future<Output = Result<T, ChannelError>>) -> Result<T, GiveError> {
    match timeout(limit, step).await {
        Ok(done) => Ok(done?),
        Err(_) => Err(GiveError::Silent(limit)),
    }
}

/// The hand-over under way.
#[derive(Debug)]
struct Giving {
    channel: Channel,
    workers: Workers,
    departures: UnboundedReceiver<Departure>,
    /// On its way: nobody goes on with it before it is known whose it is.
    batch: Vec<Handed>,
    /// Connections that the successor cannot go on with. As no request is under way, they are closed.
    refused: Vec<Handed>,
    summary: Summary,
    /// Why something stays.
    left: BTreeMap<String, u64>,
    next_worker: usize,
}

impl Giving {
    async fn say(&mut self, message: &ToSuccessor, sockets: &[BorrowedFd<'_>]) -> Result<(), GiveError> {
        within(ANSWER, self.channel.send(message, sockets)).await
    }

    /// Hands over all tunnels, and all connections without a request.
    async fn all(&mut self) -> Result<(), GiveError> {
        let mut idle_workers = 0;
        while idle_workers < self.workers.count() {
            let worker = self.next_worker;
            self.next_worker = (worker + 1) % self.workers.count();
            let leave = |reply| Command::Leave { most: TOGETHER, reply };
            let asked = self.workers.ask_one(worker, leave).await?;
            idle_workers = if asked == 0 { idle_workers + 1 } else { 0 };
            let mut outstanding = asked;
            while outstanding > 0 {
                let Some(departure) = self.departures.recv().await else {
                    break;
                };
                let is_tunnels =
                    !matches!(&departure, Departure::Leaves(handed) if matches!(handed.state, State::Connection(_)));
                outstanding -= usize::from(is_tunnels);
                self.take_note(departure);
                if self.is_full() {
                    self.send_batch().await?;
                }
            }
            self.send_batch().await?;
        }
        // Connections that were told to leave, and can, have done so by then.
        self.workers.ask(|reply| Command::Settled { reply }).await?;
        self.send_waiting().await
    }

    /// Sends what has left its worker by now.
    async fn send_waiting(&mut self) -> Result<(), GiveError> {
        while let Ok(departure) = self.departures.try_recv() {
            self.take_note(departure);
            if self.is_full() {
                self.send_batch().await?;
            }
        }
        self.send_batch().await
    }

    fn take_note(&mut self, departure: Departure) {
        match departure {
            Departure::Leaves(handed) => self.batch.push(handed),
            Departure::Stays(Stays::Tls12) => self.stays(TLS_1_2),
            Departure::Ended => {}
        }
    }

    fn stays(&mut self, why: &str) {
        *self.left.entry(why.to_owned()).or_default() += 1;
    }

    fn is_full(&self) -> bool {
        let bulk: usize = self.batch.iter().map(|handed| handed.state.bulk()).sum();
        self.batch.len() >= TOGETHER || bulk >= BULK
    }

    /// Sends what has left its worker, and waits until it is known whose it is.
    async fn send_batch(&mut self) -> Result<(), GiveError> {
        if self.batch.is_empty() {
            return Ok(());
        }
        let batch = std::mem::take(&mut self.batch);
        let mut items = Vec::with_capacity(batch.len());
        let mut sockets = Vec::with_capacity(batch.len());
        for handed in batch {
            let Handed {
                state,
                sockets: own,
                left,
            } = handed;
            items.push(Item { left, state });
            sockets.push(own);
        }
        let message = ToSuccessor::Items(items);
        let result = self.exchange(&message, &sockets).await;
        let ToSuccessor::Items(items) = message else {
            return result.map(drop);
        };
        let handed = items
            .into_iter()
            .zip(sockets)
            .map(|(Item { left, state }, sockets)| Handed { state, sockets, left });
        match result {
            Ok(reasons) => self.settle(handed.collect(), &reasons).await,
            Err(error) => {
                // It may be known later whose it is: see `go_on_here`.
                self.batch = handed.collect();
                Err(error)
            }
        }
    }

    async fn exchange(
        &mut self,
        message: &ToSuccessor,
        sockets: &[Vec<OwnedFd>],
    ) -> Result<Vec<Option<String>>, GiveError> {
        let sockets: Vec<BorrowedFd<'_>> = sockets.iter().flatten().map(OwnedFd::as_fd).collect();
        self.say(message, &sockets).await?;
        match within(ANSWER, self.channel.receive()).await?.message {
            ToPredecessor::Taken(reasons) => Ok(reasons),
            _ => Err(GiveError::OutOfTurn("what it has taken")),
        }
    }

    /// What is taken is the successor's. What is refused goes on here.
    async fn settle(&mut self, batch: Vec<Handed>, reasons: &[Option<String>]) -> Result<(), GiveError> {
        let mut back = Vec::new();
        for (index, handed) in batch.into_iter().enumerate() {
            match (reasons.get(index), &handed.state) {
                (Some(None), State::Tunnel(_)) => self.summary.tunnels += 1,
                (Some(None), State::Connection(_)) => self.summary.connections += 1,
                (Some(Some(why)), state) => {
                    let tunnel = matches!(state, State::Tunnel(_));
                    self.stays(why);
                    if tunnel { &mut back } else { &mut self.refused }.push(handed);
                }
                (None, _) => return Err(GiveError::OutOfTurn("as many answers as it was given connections")),
            }
        }
        self.resume(back, true).await;
        Ok(())
    }

    /// Has the workers go on with `handed`, as if it had come from another process.
    async fn resume(&mut self, handed: Vec<Handed>, stay: bool) {
        let mut handed = VecDeque::from(handed);
        while !handed.is_empty() {
            let some: Vec<_> = handed.drain(..handed.len().min(TOGETHER)).collect();
            let Some(worker) = self.workers.next_alive(self.next_worker) else {
                return;
            };
            self.next_worker = worker;
            let arrive = |reply| Command::Arrive {
                handed: some,
                stay,
                reply,
            };
            let Ok(results) = self.workers.ask_one(worker, arrive).await else {
                return;
            };
            for why in results.into_iter().filter_map(Result::err) {
                tracing::error!(why, "a connection that was not handed over cannot go on");
            }
            // Only that worker has something to settle.
            self.workers.tell(|| Command::Settle { ours: true });
        }
    }

    async fn finish(&mut self, began: Duration) -> Result<(), GiveError> {
        self.summary.left = self.left.iter().map(|(why, count)| (why.clone(), *count)).collect();
        self.say(&ToSuccessor::Done(self.summary.left.clone()), &[]).await?;
        match within(ANSWER, self.channel.receive()).await?.message {
            ToPredecessor::Finished(theirs) => {
                self.summary.longest_pause = theirs.longest_pause;
                self.summary.took = handed::now().saturating_sub(began);
                Ok(())
            }
            _ => Err(GiveError::OutOfTurn("that it has everything")),
        }
    }

    /// The successor has failed. What it has not taken goes on here.
    async fn go_on_here(&mut self) {
        // From now on it can take nothing more. What it took before may still be on its way.
        self.channel.shut();
        let mut batch = std::mem::take(&mut self.batch);
        while let Ok(Ok(received)) = timeout(ANSWER, self.channel.receive::<ToPredecessor>()).await {
            if let ToPredecessor::Taken(reasons) = received.message {
                let _ = self.settle(std::mem::take(&mut batch), &reasons).await;
            }
        }
        if self.workers.ask(|reply| Command::Stay { reply }).await.is_err() {
            return;
        }
        while let Ok(departure) = self.departures.try_recv() {
            if let Departure::Leaves(handed) = departure {
                batch.push(handed);
            }
        }
        batch.append(&mut self.refused);
        self.resume(batch, false).await;
    }
}

impl Given {
    /// Hands over what comes out of its request from now on. Ready when the workers have ended and nothing is on its way.
    ///
    /// # Cancel safety
    /// Dropped, what is on its way is lost.
    pub async fn follow(&mut self) {
        let giving = &mut self.giving;
        while let Some(departure) = giving.departures.recv().await {
            giving.take_note(departure);
            if let Err(error) = giving.send_waiting().await {
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "what is still in a request ends here"
                );
                giving.go_on_here().await;
                return;
            }
            self.summary = giving.summary.clone();
        }
    }
}
