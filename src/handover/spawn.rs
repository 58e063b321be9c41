//! Starting the successor.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::{Command, ExitStatus};
use std::{env, io, thread};

use rustix::process::{Pid, Signal, kill_process};
use tokio::sync::oneshot::{self, error::TryRecvError};

use super::door::Address;

/// The variable that tells a successor where its predecessor is.
pub const VARIABLE: &str = "HEADPIN_HANDOVER";

/// The successor cannot be started.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SpawnError {
    /// The kernel says no.
    #[error("{} cannot be started", program.display())]
    Program {
        /// Which program.
        program: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// It has ended before it came.
    #[error("the successor ended with {0} before it took anything over; its log says why")]
    Ended(ExitStatus),
    /// Whether it has ended is not known.
    #[error("whether the successor has ended is not known")]
    Wait(#[source] io::Error),
}

/// How this process was started, and so how its successor is: by the same command, with the program that is on disk then.
#[derive(Debug, Clone)]
pub struct Successor {
    program: PathBuf,
    arguments: Vec<OsString>,
}

impl Successor {
    /// By the command of this process. To be called at its start: once the program on disk is another, the kernel does not tell its
    /// path any more.
    ///
    /// # Errors
    /// When the kernel does not tell the path.
    pub fn of_this_process() -> io::Result<Self> {
        Ok(Self {
            program: env::current_exe()?,
            arguments: env::args_os().skip(1).collect(),
        })
    }

    /// Starts it. It comes to `door`.
    ///
    /// # Errors
    /// [`SpawnError`].
    pub fn start(&self, door: &Address) -> Result<Started, SpawnError> {
        let started = Command::new(&self.program)
            .args(&self.arguments)
            .env(VARIABLE, door.to_string())
            // It names this process, and the watchdog is the successor's then (sd_watchdog_enabled(3)).
            .env_remove("WATCHDOG_PID")
            .spawn();
        let failed = |source| SpawnError::Program {
            program: self.program.clone(),
            source,
        };
        let mut child = started.map_err(failed)?;
        let pid = Pid::from_child(&child);
        let (sender, ended) = oneshot::channel();
        // A thread of its own, and not tokio's `process`: that looks for children whenever a worker goes to sleep.
        let waiting = thread::Builder::new().name("successor".into()).spawn(move || {
            // Nobody may want to know.
            let _ = sender.send(child.wait());
        });
        waiting.map_err(failed)?;
        Ok(Started {
            pid,
            ended: Some(ended),
        })
    }
}

/// A successor that was started and has nothing yet. Dropped, it is killed: one that hangs with the listening sockets would have
/// clients wait in their backlog.
#[derive(Debug)]
pub struct Started {
    pid: Pid,
    /// `None` once it goes its own way, or has ended.
    ended: Option<oneshot::Receiver<io::Result<ExitStatus>>>,
}

impl Started {
    /// Waits for its end.
    ///
    /// # Cancel safety
    /// Safe: it only waits.
    pub async fn ended(&mut self) -> SpawnError {
        let Some(ended) = &mut self.ended else {
            return std::future::pending().await;
        };
        let how = ended.await;
        self.ended = None;
        match how {
            Ok(status) => status.map_or_else(SpawnError::Wait, SpawnError::Ended),
            Err(gone) => SpawnError::Wait(io::Error::other(gone)),
        }
    }

    /// It goes its own way from now on.
    pub fn release(mut self) {
        self.ended = None;
    }
}

impl Drop for Started {
    fn drop(&mut self) {
        // While nobody has heard of its end, the number is its own.
        if let Some(mut ended) = self.ended.take()
            && matches!(ended.try_recv(), Err(TryRecvError::Empty))
        {
            let _ = kill_process(self.pid, Signal::KILL);
        }
    }
}

/// Where the predecessor of this process is, if it was started by one.
#[must_use]
pub fn predecessor() -> Option<Address> {
    env::var_os(VARIABLE).map(|text| Address::from_text(&text))
}
