//! The commands: one file each, from what was typed to what the library needs.

mod certs;
mod check;
mod completions;
mod demo_upstream;
mod health;
mod lab;
mod lifeline;
mod load;
mod logging;
mod man;
mod manager;
mod serve;
mod signals;
mod snapshot;
mod upstream;
mod values;
mod watchdog;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::app::StartError;
use crate::config::ConfigError;
use crate::lab::scenario::ScenarioError;
use crate::lab::stored::StoredError;
use crate::proxy::ReloadError;

/// Wrong usage or config (`EX_USAGE` of sysexits.h).
const EXIT_USAGE: u8 = 64;

/// A TLS WebSocket reverse proxy whose memory you can see, with a toggleable bug: a small head that pins a big slab.
#[derive(Debug, Parser)]
#[command(
    name = "headpin",
    version,
    arg_required_else_help = true,
    after_help = "Exit codes: 0 done, 1 failed, 64 wrong usage or config."
)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Serve(serve::ServeCommand),
    Check(check::CheckCommand),
    Health(health::HealthCommand),
    Certs(certs::CertsCommand),
    Lab(lab::LabCommand),
    Load(load::LoadCommand),
    Snapshot(snapshot::SnapshotCommand),
    Upstream(upstream::UpstreamCommand),
    Completions(completions::CompletionsCommand),
    Man(man::ManCommand),
}

/// Runs the command that was typed.
#[must_use]
pub fn run() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => {
            // Nobody is left to tell if this fails.
            let _ = error.print();
            return if error.use_stderr() {
                ExitCode::from(EXIT_USAGE)
            } else {
                ExitCode::SUCCESS
            };
        }
    };
    let result = match arguments.command {
        Command::Serve(command) => command.run().map(|()| ExitCode::SUCCESS),
        Command::Check(command) => command.run().map(|()| ExitCode::SUCCESS),
        Command::Health(command) => command.run(),
        Command::Certs(command) => command.run().map(|()| ExitCode::SUCCESS),
        Command::Lab(command) => command.run(),
        Command::Load(command) => command.run(),
        Command::Snapshot(command) => command.run().map(|()| ExitCode::SUCCESS),
        Command::Upstream(command) => command.run().map(|()| ExitCode::SUCCESS),
        Command::Completions(command) => command.run().map(|()| ExitCode::SUCCESS),
        Command::Man(command) => command.run().map(|()| ExitCode::SUCCESS),
    };
    match result {
        Ok(code) => code,
        Err(error) => {
            eprintln!("headpin: {error:#}");
            ExitCode::from(if is_usage(&error) { EXIT_USAGE } else { 1 })
        }
    }
}

/// Whether the person who typed the command can mend it by typing or configuring something else.
fn is_usage(error: &anyhow::Error) -> bool {
    error.is::<ConfigError>()
        || error.is::<ScenarioError>()
        || matches!(error.downcast_ref(), Some(stored) if !matches!(stored, StoredError::Lost { .. } | StoredError::Shown(_)))
        || matches!(
            error.downcast_ref::<StartError>(),
            Some(StartError::Settings(
                ReloadError::Config(_) | ReloadError::Certificate(_) | ReloadError::Roots(_)
            ))
        )
}
