//! Starting the successor.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitStatus;
use std::{env, io};

use tokio::process::{Child, Command};

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
        let child = started.map_err(|source| SpawnError::Program {
            program: self.program.clone(),
            source,
        })?;
        Ok(Started { child: Some(child) })
    }
}

/// A successor that was started and has nothing yet. Dropped, it is killed: one that hangs with the listening sockets would have
/// clients wait in their backlog.
#[derive(Debug)]
pub struct Started {
    child: Option<Child>,
}

impl Started {
    /// Waits for its end.
    ///
    /// # Cancel safety
    /// Safe: it only waits.
    pub async fn ended(&mut self) -> SpawnError {
        match &mut self.child {
            Some(child) => child.wait().await.map_or_else(SpawnError::Wait, SpawnError::Ended),
            None => std::future::pending().await,
        }
    }

    /// It goes its own way from now on.
    pub fn release(mut self) {
        self.child = None;
    }
}

impl Drop for Started {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            // It may have ended.
            let _ = child.start_kill();
        }
    }
}

/// Where the predecessor of this process is, if it was started by one.
#[must_use]
pub fn predecessor() -> Option<Address> {
    env::var_os(VARIABLE).map(|text| Address::from_text(&text))
}
