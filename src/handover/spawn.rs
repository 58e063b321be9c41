//! Starting the successor.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::{Command, ExitStatus};
use std::{env, io, thread};

use rustix::process::{Pid, Signal, kill_process};
use tokio::sync::oneshot;

use super::door::Address;

/// The variable that tells a successor where its predecessor is.
pub const VARIABLE: &str = "HEADPIN_HANDOVER";

/// The variable that tells a process that it is to start the successor, and to end.
const LAUNCHER: &str = "HEADPIN_HANDOVER_LAUNCHER";

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
    /// By way of a launcher, the same program, which starts it and ends: so it is at once the child of whoever looks after processes
    /// that have lost their parent. systemd kills a main process at once that is somebody else's child when it hears of it.
    ///
    /// # Errors
    /// [`SpawnError`].
    pub fn start(&self, door: &Address) -> Result<Started, SpawnError> {
        let launching = self
            .command()
            .env(VARIABLE, door.to_string())
            .env(LAUNCHER, "1")
            .spawn();
        let failed = |source| SpawnError::Program {
            program: self.program.clone(),
            source,
        };
        let mut launcher = launching.map_err(failed)?;
        let (sender, ended) = oneshot::channel();
        // A thread of its own, and not tokio's `process`: that looks for children whenever a worker goes to sleep.
        let waiting = thread::Builder::new().name("launcher".into()).spawn(move || {
            // Nobody may want to know.
            let _ = sender.send(launcher.wait());
        });
        waiting.map_err(failed)?;
        Ok(Started {
            launcher: ended,
            pid: None,
        })
    }

    /// Starts the successor from its launcher, which is this process, and which then has to end.
    ///
    /// # Errors
    /// [`SpawnError`].
    pub fn launch(&self) -> Result<(), SpawnError> {
        let started = self.command().env_remove(LAUNCHER).spawn();
        started.map(drop).map_err(|source| SpawnError::Program {
            program: self.program.clone(),
            source,
        })
    }

    fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        // It names this process, and the watchdog is the successor's then (sd_watchdog_enabled(3)).
        command.args(&self.arguments).env_remove("WATCHDOG_PID");
        command
    }
}

/// A successor that was started and has nothing yet. Dropped after it came, it is killed: one that hangs with the listening sockets
/// would have clients wait in their backlog.
#[derive(Debug)]
pub struct Started {
    launcher: oneshot::Receiver<io::Result<ExitStatus>>,
    pid: Option<Pid>,
}

impl Started {
    /// Waits until it is known that it does not come.
    ///
    /// # Cancel safety
    /// Safe: it only waits.
    pub async fn failed(&mut self) -> SpawnError {
        match (&mut self.launcher).await {
            Ok(Ok(status)) if status.success() => std::future::pending().await,
            Ok(Ok(status)) => SpawnError::Ended(status),
            Ok(Err(error)) => SpawnError::Wait(error),
            Err(gone) => SpawnError::Wait(io::Error::other(gone)),
        }
    }

    /// It has come, and is process `pid`.
    pub fn came(&mut self, pid: u32) {
        self.pid = i32::try_from(pid).ok().and_then(Pid::from_raw);
    }

    /// It goes its own way from now on.
    pub fn release(mut self) {
        self.pid = None;
    }
}

impl Drop for Started {
    fn drop(&mut self) {
        if let Some(pid) = self.pid {
            // It may have ended, a moment ago.
            let _ = kill_process(pid, Signal::KILL);
        }
    }
}

/// Whether this process is a successor's launcher.
#[must_use]
pub fn is_launcher() -> bool {
    env::var_os(LAUNCHER).is_some()
}

/// Where the predecessor of this process is, if it was started by one.
#[must_use]
pub fn predecessor() -> Option<Address> {
    env::var_os(VARIABLE).map(|text| Address::from_text(&text))
}
