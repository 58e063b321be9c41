//! `headpin lab drive`: a scenario's load on a proxy that runs.

use std::fs;
use std::path::PathBuf;

use anyhow::Context as _;
use clap::Args;
use tokio_util::sync::CancellationToken;

use crate::client::Clients;
use crate::drive::drive;
use crate::scenario::{Choice, Experiment, Scenario, ScenarioError};
use headpin::cli::signals::StopSignals;
use headpin::config::{Scheme, ServerUrl};

/// Loads a proxy that runs somewhere else with the traffic of a scenario
///
/// It goes on until Ctrl-C or SIGTERM and says every ten seconds how things are. Nothing is measured, and a connection
/// that breaks is opened again: look at the proxy. Behind the proxy must be `headpin upstream`.
#[derive(Debug, Args)]
pub(super) struct DriveCommand {
    /// Which; those with uploads and tunnels: head, uploads
    #[arg(value_name = "SCENARIO")]
    name: String,
    /// The proxy: https://HOST:PORT
    #[arg(value_name = "URL", value_parser = https_url)]
    proxy: ServerUrl,
    /// Trust the authorities in this PEM file
    #[arg(long, value_name = "FILE")]
    ca: PathBuf,
    /// One number instead of the scenario's, such as byte_rate=2MB; may be given several times
    #[arg(long = "set", value_name = "KEY=VALUE")]
    sets: Vec<String>,
}

impl DriveCommand {
    /// # Errors
    /// Wrong usage, or a proxy that cannot be reached at the beginning.
    pub(super) fn run(self) -> anyhow::Result<()> {
        let choice = Choice {
            name: Some(self.name),
            sets: self.sets,
            ..Choice::default()
        };
        let scenario = Scenario::choose(&choice)?;
        let (Experiment::Head(traffic) | Experiment::Uploads(traffic)) = &scenario.experiment else {
            let fault = format!(
                "{} is no load that can be driven; accepted: head, uploads",
                scenario.name
            );
            return Err(ScenarioError::Faults(vec![fault]).into());
        };
        let ca = fs::read_to_string(&self.ca).with_context(|| format!("cannot read {}", self.ca.display()))?;
        let clients = Clients::to(&self.proxy, &ca).with_context(|| self.ca.display().to_string())?;
        // Each connection is a file.
        _ = rlimit::increase_nofile_limit(u64::MAX);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(async {
            let stop = CancellationToken::new();
            let mut signals = StopSignals::listen()?;
            let driving = drive(&clients, traffic, scenario.common.seed, &stop, &|what| {
                eprintln!("{what}");
            });
            tokio::pin!(driving);
            loop {
                tokio::select! {
                    ended = driving.as_mut() => return ended,
                    () = signals.asked() => stop.cancel(),
                }
            }
        })
    }
}

fn https_url(text: &str) -> Result<ServerUrl, &'static str> {
    let url: Option<ServerUrl> = text.parse().ok();
    url.filter(|url| url.scheme == Scheme::Https)
        .ok_or("accepted is https://HOST:PORT")
}
