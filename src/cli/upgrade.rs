//! `headpin upgrade`: replaces a running headpin by the program on disk, without closing a connection.

use std::io::Write as _;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, bail};
use clap::Args;
use tokio::net::UnixStream;
use tokio::runtime::Builder;
use tokio::time::timeout;

use super::succession;
use crate::config::{Config, HandoverSocket};
use crate::handover::{Address, Answer, Channel, Hello, Summary, Wants};

/// Longer than any step of a hand-over may take.
const PATIENCE: Duration = Duration::from_secs(180);

/// Replaces a running headpin by the program on disk, without closing a connection
///
/// The running one starts its successor, by the command that it was started by itself, and hands everything over to it: listening
/// sockets, tunnels, idle connections. If anything is wrong with the successor or its config, nothing changes, and the exit code
/// is 1.
#[derive(Debug, Args)]
pub(super) struct UpgradeCommand {
    /// The config file of the running headpin, which has its server.handover
    #[arg(short, long, value_name = "FILE", env = "HEADPIN_CONFIG", conflicts_with = "socket")]
    config: Option<PathBuf>,
    /// The socket itself
    #[arg(long, value_name = "PATH")]
    socket: Option<PathBuf>,
}

impl UpgradeCommand {
    pub(super) fn run(self) -> anyhow::Result<()> {
        let address = self.address()?;
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let summary = runtime.block_on(ask(&address))?;
        writeln!(
            std::io::stdout(),
            "process {} (headpin {}) has taken over {} tunnels and {} idle connections in {:?}; longest pause {:?}; left behind: {}",
            summary.pid,
            summary.version,
            summary.tunnels,
            summary.connections,
            summary.took,
            summary.longest_pause,
            succession::left(&summary)
        )?;
        Ok(())
    }

    fn address(&self) -> anyhow::Result<Address> {
        if let Some(path) = &self.socket {
            return Ok(Address::Path(path.clone()));
        }
        let (said, whose) = match &self.config {
            Some(path) => (Config::load(path)?.server.handover, path.display().to_string()),
            None => (HandoverSocket::Auto, "the default".to_owned()),
        };
        match said.path() {
            Some(path) => Ok(Address::Path(path)),
            None => bail!(
                "server.handover of {whose} is {:?}, which here is no socket: name it by --socket, or send SIGUSR2 to the running headpin",
                said.to_string()
            ),
        }
    }
}

async fn ask(address: &Address) -> anyhow::Result<Summary> {
    let Some(stream) = address.connect()? else {
        bail!("no headpin listens on {address}");
    };
    stream.set_nonblocking(true)?;
    let mut channel = Channel::new(UnixStream::from_std(stream)?);
    let asking = async {
        channel.send(&Hello::new(Wants::Upgrade), &[]).await?;
        channel.receive::<Answer>().await
    };
    let answer = timeout(PATIENCE, asking).await;
    let answer = answer.with_context(|| format!("the headpin on {address} did not answer within {PATIENCE:?}"))?;
    match answer?.message {
        Answer::Upgraded(summary) => Ok(summary),
        Answer::Refused(why) => bail!("nothing has changed: {why}"),
        Answer::Welcome { .. } => {
            bail!("the headpin on {address} answered something else than what came of the upgrade")
        }
    }
}
