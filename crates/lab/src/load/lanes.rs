//! The threads that the load runs on.

use std::io;
use std::num::NonZeroUsize;
use std::sync::mpsc;
use std::thread::{self, JoinHandle};

use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::process::{ThreadClock, ThreadTimes};

/// Threads with a runtime each; a connection stays on the thread of its index.
///
/// They are not the caller's: what the generator takes can so be told from what its caller takes, and a generator in
/// the process of a laboratory does not slow it down.
#[derive(Debug)]
pub(super) struct Lanes {
    lanes: Vec<Lane>,
    tasks: TaskTracker,
    end: CancellationToken,
}

#[derive(Debug)]
struct Lane {
    handle: Handle,
    clock: ThreadClock,
    thread: Option<JoinHandle<()>>,
}

impl Lanes {
    /// Starts the threads.
    pub(super) fn start(threads: NonZeroUsize) -> io::Result<Self> {
        let end = CancellationToken::new();
        let lane = |number| Lane::start(number, end.clone());
        let lanes = (0..threads.get()).map(lane).collect::<io::Result<_>>()?;
        Ok(Self {
            lanes,
            tasks: TaskTracker::new(),
            end,
        })
    }

    /// Runs `task` on the thread of connection `index`.
    pub(super) fn spawn(&self, index: u64, task: impl Future<Output = ()> + Send + 'static) {
        let lane = &self.lanes[(index % self.lanes.len() as u64) as usize];
        self.tasks.spawn_on(task, &lane.handle);
    }

    /// Waits until every task has ended.
    pub(super) async fn all_ended(&self) {
        self.tasks.close();
        self.tasks.wait().await;
    }

    /// What each thread has done with its time.
    pub(super) fn times(&self) -> Vec<ThreadTimes> {
        self.lanes.iter().map(|lane| lane.clock.read()).collect()
    }
}

impl Drop for Lanes {
    /// Ends the tasks that still run; what they hold is closed when this returns.
    fn drop(&mut self) {
        self.end.cancel();
        for thread in self.lanes.iter_mut().filter_map(|lane| lane.thread.take()) {
            // A panic was printed where it happened; its task counts as unfinished.
            _ = thread.join();
        }
    }
}

impl Lane {
    fn start(number: usize, end: CancellationToken) -> io::Result<Self> {
        let (tell, told) = mpsc::sync_channel(1);
        let thread = thread::Builder::new().name(format!("load-{number}")).spawn(move || {
            let started = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .and_then(|runtime| Ok((ThreadClock::of_this_thread()?, runtime)));
            match started {
                Ok((clock, runtime)) => {
                    // The other side waits for exactly this one word.
                    _ = tell.send(Ok((runtime.handle().clone(), clock)));
                    runtime.block_on(end.cancelled());
                }
                Err(error) => _ = tell.send(Err(error)),
            }
        })?;
        let started = told
            .recv()
            .unwrap_or_else(|_| Err(io::Error::other("the thread ended at once")));
        let (handle, clock) = started?;
        Ok(Self {
            handle,
            clock,
            thread: Some(thread),
        })
    }
}
