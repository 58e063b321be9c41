//! Asking the workers, from other threads.

use serde::Serialize;
use tokio::sync::{mpsc, oneshot};

use super::census::{CensusPage, ConnectionReport, WorkerCensus};
use super::rows::{PAGE, RowsPage};
use crate::labels::HeadPolicy;
use crate::snapshot::{ConnectionRow, WorkerRows};

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
    /// Return a part of the rows of a snapshot.
    Rows {
        /// Connections with an id above this one.
        after: u64,
        /// At most so many of them.
        most: usize,
        /// Whether paths are wanted.
        details: bool,
        /// Answered with that part.
        reply: oneshot::Sender<RowsPage>,
    },
    /// Return a part of its connections, and its slabs with the last part.
    Census {
        /// Connections with an id above this one.
        after: u64,
        /// At most so many of them.
        most: usize,
        /// Answered with that part.
        reply: oneshot::Sender<CensusPage>,
    },
    /// Show that it is alive.
    Ping {
        /// Answered between two polls.
        reply: oneshot::Sender<()>,
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

    /// Asks one worker after the other for its slabs and connections, in pages as [`Self::rows`].
    ///
    /// # Errors
    /// [`NoWorkers`] during the end of the process.
    ///
    /// # Cancel safety
    /// Nothing changes by asking.
    pub async fn census(&self) -> Result<Vec<WorkerCensus>, NoWorkers> {
        let mut all = Vec::with_capacity(self.0.len());
        for worker in &self.0 {
            let (mut connections, mut slabs) = (Vec::new(), None);
            let ask = |after, reply| Command::Census {
                after,
                most: PAGE,
                reply,
            };
            in_pages(worker, ask, |page: CensusPage| {
                connections.extend(page.connections);
                slabs = page.slabs;
                let last = connections
                    .last()
                    .map_or(0, |connection: &ConnectionReport| connection.id);
                slabs.is_none().then_some(last)
            })
            .await?;
            let (slabs, spares) = slabs.ok_or(NoWorkers)?;
            all.push(WorkerCensus::new(connections, slabs, spares));
        }
        Ok(all)
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

    /// Asks one worker after the other for the rows of a snapshot. A worker with many connections is asked for some at a
    /// time and serves its connections in between.
    ///
    /// # Errors
    /// [`NoWorkers`] during the end of the process.
    ///
    /// # Cancel safety
    /// Nothing changes by asking.
    pub async fn rows(&self, details: bool) -> Result<Vec<WorkerRows>, NoWorkers> {
        let mut all = Vec::with_capacity(self.0.len());
        for (index, worker) in self.0.iter().enumerate() {
            let (mut connections, mut rest, mut pages) = (Vec::new(), None, 0);
            let ask = |after, reply| Command::Rows {
                after,
                most: PAGE,
                details,
                reply,
            };
            in_pages(worker, ask, |page: RowsPage| {
                pages += 1;
                connections.extend(page.connections);
                rest = page.rest;
                let last = connections.last().map_or(0, |row: &ConnectionRow| row.serial);
                rest.is_none().then_some(last)
            })
            .await?;
            let rest = rest.ok_or(NoWorkers)?;
            all.push(WorkerRows {
                index,
                connections,
                rest,
                pages,
            });
        }
        Ok(all)
    }

    /// All are asked before any answer is waited for.
    async fn ask<T>(&self, command: impl Fn(oneshot::Sender<T>) -> Command) -> Result<Vec<T>, NoWorkers> {
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

/// Asks a worker for one page after the other: a worker with many connections serves them in between. `command` makes the
/// question for what comes after an id, `take` says after which id to go on, if there is more.
async fn in_pages<P>(
    worker: &WorkerHandle,
    command: impl Fn(u64, oneshot::Sender<P>) -> Command,
    mut take: impl FnMut(P) -> Option<u64>,
) -> Result<(), NoWorkers> {
    let mut next = Some(0);
    while let Some(after) = next {
        let (reply, answer) = oneshot::channel();
        worker.send(command(after, reply)).map_err(|_| NoWorkers)?;
        next = take(answer.await.map_err(|_| NoWorkers)?);
    }
    Ok(())
}
