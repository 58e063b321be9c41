//! Asking the workers, from other threads.

use std::io;
use std::os::fd::OwnedFd;

use serde::Serialize;
use tokio::sync::{mpsc, oneshot};

use super::rows::{PAGE, RowsPage};
use crate::handed::{Departure, Handed};
use crate::observe::census::{ConnectionRow, WorkerRows};
use crate::observe::labels::HeadPolicy;

/// What a worker can be asked to do.
#[derive(Debug)]
pub enum Command {
    /// Change the policy, for open tunnels as well.
    SetPolicy {
        /// The policy from now on.
        policy: HeadPolicy,
        /// Answered with the number of heads that were released.
        done: oneshot::Sender<usize>,
    },
    /// Return a part of the rows of its census.
    Rows {
        /// Connections with an id above this one.
        after: u64,
        /// At most so many of them.
        most: usize,
        /// Whether paths are wanted.
        paths: bool,
        /// Answered with that part.
        reply: oneshot::Sender<RowsPage>,
    },
    /// Show that it is alive.
    Ping {
        /// Answered between two polls.
        reply: oneshot::Sender<()>,
    },
    /// Duplicate the sockets that it listens on.
    Listeners {
        /// Answered with them.
        reply: oneshot::Sender<io::Result<Vec<OwnedFd>>>,
    },
    /// Leave new connections in the backlog.
    HoldAccepts {
        /// Answered with an id above all that were given.
        reply: oneshot::Sender<u64>,
    },
    /// Accept new connections.
    Accept {
        /// Their ids are above this one.
        after: u64,
    },
    /// Let go of the listeners without a look at their backlog: another process accepts from them.
    GiveUpListeners,
    /// Connections leave for another process from now on, when no request is under way.
    Depart {
        /// Takes them, and the tunnels that are told to leave.
        to: mpsc::UnboundedSender<Departure>,
    },
    /// Wait until every task has been polled that was woken before.
    Settled {
        /// Answered then.
        reply: oneshot::Sender<()>,
    },
    /// Tell some tunnels to leave.
    Leave {
        /// At most so many.
        most: usize,
        /// Answered with how many were told: each will say what it does.
        reply: oneshot::Sender<usize>,
    },
    /// Count the tunnels.
    CountTunnels {
        /// Answered with their number.
        reply: oneshot::Sender<usize>,
    },
    /// Count the sockets of connections and tunnels.
    CountSockets {
        /// Answered with their number.
        reply: oneshot::Sender<usize>,
    },
    /// Take [`Self::HoldAccepts`], [`Self::Depart`] and [`Self::Leave`] back.
    Stay {
        /// Answered when nothing leaves any more.
        reply: oneshot::Sender<()>,
    },
    /// Make ready to go on with what comes from another process.
    Arrive {
        /// Connections and tunnels.
        handed: Vec<Handed>,
        /// Whether tunnels are not asked to leave: another process has refused them.
        stay: bool,
        /// Answered with why one cannot go on, if so, for each of them.
        reply: oneshot::Sender<Vec<Result<(), String>>>,
    },
    /// Go on with what was made ready, or forget it.
    Settle {
        /// Whether it is this process's.
        ours: bool,
    },
}

/// Sends commands to one worker.
pub type WorkerHandle = mpsc::UnboundedSender<Command>;

/// The workers have ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error, Serialize)]
#[error("the workers have ended")]
pub struct NoWorkers;

/// Sends commands to all workers.
#[derive(Debug, Clone)]
pub struct Workers(Vec<WorkerHandle>);

impl Workers {
    /// Sends to the workers behind `handles`.
    #[must_use]
    pub fn new(handles: Vec<WorkerHandle>) -> Self {
        Self(handles)
    }

    /// Changes the policy on all workers; returns how many heads they released, once all have.
    ///
    /// # Errors
    /// [`NoWorkers`] during the end of the process.
    ///
    /// # Cancel safety
    /// Once polled, the change takes place, also when this is dropped.
    pub async fn set_policy(&self, policy: HeadPolicy) -> Result<usize, NoWorkers> {
        let replies = self.ask(|done| Command::SetPolicy { policy, done }).await?;
        Ok(replies.into_iter().sum())
    }

    /// Sends a command that has no answer to every worker. One that has ended needs none.
    pub fn tell(&self, command: impl Fn() -> Command) {
        for worker in &self.0 {
            let _ = worker.send(command());
        }
    }

    /// How many there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.0.len()
    }

    /// The next one behind `worker`, in turn, that has not ended: in a drain those that have nothing left end first.
    #[must_use]
    pub fn next_alive(&self, worker: usize) -> Option<usize> {
        let count = self.0.len();
        let mut turn = (1..=count).map(|step| (worker + step) % count);
        turn.find(|next| !self.0[*next].is_closed())
    }

    /// Asks one worker.
    ///
    /// # Errors
    /// [`NoWorkers`] during the end of the process.
    ///
    /// # Cancel safety
    /// Once polled, the worker does what it is asked for, also when this is dropped.
    pub async fn ask_one<T>(
        &self,
        worker: usize,
        command: impl FnOnce(oneshot::Sender<T>) -> Command,
    ) -> Result<T, NoWorkers> {
        let (sender, receiver) = oneshot::channel();
        let worker = self.0.get(worker).ok_or(NoWorkers)?;
        worker.send(command(sender)).map_err(|_| NoWorkers)?;
        receiver.await.map_err(|_| NoWorkers)
    }

    /// Waits until every worker has answered, which it does between two polls, or has ended; returns how many have
    /// ended. Costs a worker nothing but the answer. As long as one hangs, this waits.
    ///
    /// # Cancel safety
    /// Nothing changes by asking.
    pub async fn ping(&self) -> usize {
        let ask = |worker: &WorkerHandle| {
            let (reply, answer) = oneshot::channel();
            // One that has ended drops the question, and so the answer's sender.
            let _ = worker.send(Command::Ping { reply });
            answer
        };
        let answers: Vec<_> = self.0.iter().map(ask).collect();
        let mut ended = 0;
        for answer in answers {
            ended += usize::from(answer.await.is_err());
        }
        ended
    }

    /// Asks one worker after the other for its slabs, connections and tunnels, these with their `paths` if wanted. A worker
    /// with many is asked for some at a time and serves its connections in between.
    ///
    /// # Errors
    /// [`NoWorkers`] during the end of the process.
    ///
    /// # Cancel safety
    /// Nothing changes by asking.
    pub async fn census(&self, paths: bool) -> Result<Vec<WorkerRows>, NoWorkers> {
        let mut all = Vec::with_capacity(self.0.len());
        for (index, worker) in self.0.iter().enumerate() {
            all.push(census_of(index, worker, paths).await?);
        }
        Ok(all)
    }

    /// Asks every worker: all are asked before any answer is waited for.
    ///
    /// # Errors
    /// [`NoWorkers`] during the end of the process.
    ///
    /// # Cancel safety
    /// As [`Self::ask_one`].
    pub async fn ask<T>(&self, command: impl Fn(oneshot::Sender<T>) -> Command) -> Result<Vec<T>, NoWorkers> {
        let mut waiting = Vec::with_capacity(self.0.len());
        for worker in &self.0 {
            let (sender, receiver) = oneshot::channel();
            worker.send(command(sender)).map_err(|_| NoWorkers)?;
            waiting.push(receiver);
        }
        let mut replies = Vec::with_capacity(waiting.len());
        for receiver in waiting {
            replies.push(receiver.await.map_err(|_| NoWorkers)?);
        }
        Ok(replies)
    }
}

/// Asks for one page after the other.
async fn census_of(index: usize, worker: &WorkerHandle, paths: bool) -> Result<WorkerRows, NoWorkers> {
    let (mut connections, mut pages): (Vec<ConnectionRow>, _) = (Vec::new(), 0);
    loop {
        let (reply, answer) = oneshot::channel();
        let command = Command::Rows {
            after: connections.last().map_or(0, |row| row.id),
            most: PAGE,
            paths,
            reply,
        };
        worker.send(command).map_err(|_| NoWorkers)?;
        let RowsPage {
            connections: more,
            rest,
        } = answer.await.map_err(|_| NoWorkers)?;
        pages += 1;
        connections.extend(more);
        if let Some(rest) = rest {
            return Ok(WorkerRows {
                index,
                connections,
                rest,
                pages,
            });
        }
    }
}
