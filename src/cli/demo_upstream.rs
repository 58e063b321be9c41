//! The demo upstream of the embedded default, in a process of its own.
//!
//! In the proxy's process its connections would be a large part of what the proxy seems to take, and a third of the files
//! that it may open; and a proxy of one's own has its upstream elsewhere as well.

use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Stdio};

use anyhow::Context as _;

use super::{child, echo_origin, laboratory, sibling};

/// An origin on a free port of loopback: the laboratory's if that is beside this program, else one that only echoes.
/// Dropped, it is killed; it never outlives this process.
#[derive(Debug)]
pub(super) struct DemoUpstream {
    child: Child,
    /// Where it listens.
    pub(super) address: SocketAddr,
}

impl DemoUpstream {
    /// Starts it, and waits until it listens. What it complains of goes to standard error.
    ///
    /// # Errors
    /// If it cannot be started, or ends before it listens.
    pub(super) fn start() -> anyhow::Result<Self> {
        let mut command = match sibling::beside(laboratory::PROGRAM) {
            Some(program) => child::command(program, "upstream", &["--listen", "127.0.0.1:0"]),
            None => child::command("/proc/self/exe", echo_origin::SUBCOMMAND, &[]),
        };
        let mut child = command
            .stdout(Stdio::piped())
            .spawn()
            .context("cannot start the demo upstream; with --config FILE there is none")?;
        let mut line = String::new();
        if let Some(said) = child.stdout.take() {
            BufReader::new(said).read_line(&mut line)?;
        }
        let address = line.trim_end().strip_prefix("listening on http://");
        let address = address.and_then(|address| address.parse().ok());
        let address = address.context("the demo upstream has ended before it listened")?;
        Ok(Self { child, address })
    }
}

impl Drop for DemoUpstream {
    fn drop(&mut self) {
        // An error means that it has ended.
        _ = self.child.kill();
        _ = self.child.wait();
    }
}
