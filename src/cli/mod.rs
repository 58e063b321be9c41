//! The commands: one file each, from what was typed to what the library needs.

pub mod child;
pub mod lifeline;
pub mod logging;
pub mod sibling;
pub mod signals;

mod certs;
mod check;
mod completions;
mod demo_upstream;
mod echo_origin;
mod health;
mod laboratory;
mod man;
mod manager;
mod serve;
mod snapshot;
mod succession;
mod upgrade;
mod watchdog;

use std::process::ExitCode;

use clap::{CommandFactory as _, Parser, Subcommand};

pub use self::completions::CompletionsCommand;
pub use self::man::ManCommand;

use crate::app::StartError;
use crate::config::ConfigError;

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
    /// Reproduces the memory failures that the proxy is about, measures them and draws them
    Lab(laboratory::Forwarded),
    /// Loads a proxy or an origin, verifies every byte, and measures
    Load(laboratory::Forwarded),
    Upgrade(upgrade::UpgradeCommand),
    Snapshot(snapshot::SnapshotCommand),
    /// Runs the demo origin: echo, greeting, upload, download, and pushed messages
    Upstream(laboratory::Forwarded),
    #[command(hide = true)]
    EchoOrigin(echo_origin::EchoOriginCommand),
    Completions(completions::CompletionsCommand),
    Man(man::ManCommand),
}

/// Runs the command that was typed.
#[must_use]
pub fn run() -> ExitCode {
    let arguments = match parse::<Arguments>() {
        Ok(arguments) => arguments,
        Err(code) => return code,
    };
    let done = |()| ExitCode::SUCCESS;
    let result = match arguments.command {
        Command::Serve(command) => command.run().map(done),
        Command::Check(command) => command.run().map(done),
        Command::Health(command) => command.run(),
        Command::Certs(command) => command.run().map(done),
        Command::Lab(arguments) => arguments.run("lab").map(done),
        Command::Load(arguments) => arguments.run("load").map(done),
        Command::Upgrade(command) => command.run().map(done),
        Command::Snapshot(command) => command.run().map(done),
        Command::Upstream(arguments) => arguments.run("upstream").map(done),
        Command::EchoOrigin(command) => command.run().map(done),
        Command::Completions(command) => command.run().map(done),
        Command::Man(command) => command.run().map(done),
    };
    exit_code(result, is_usage)
}

/// This command line, as a description.
#[must_use]
pub fn command() -> clap::Command {
    Arguments::command()
}

/// What was typed.
///
/// # Errors
/// The exit code, if that was wrong or asked for help; the reason, or the help, is printed.
pub fn parse<A: Parser>() -> Result<A, ExitCode> {
    A::try_parse().map_err(|error| {
        // Nobody is left to tell if this fails.
        let _ = error.print();
        if error.use_stderr() {
            ExitCode::from(EXIT_USAGE)
        } else {
            ExitCode::SUCCESS
        }
    })
}

/// The exit code of a command, whose error is printed. `is_usage` says whether the person who typed the command can mend it.
#[must_use]
pub fn exit_code(result: anyhow::Result<ExitCode>, is_usage: impl FnOnce(&anyhow::Error) -> bool) -> ExitCode {
    result.unwrap_or_else(|error| {
        eprintln!("headpin: {error:#}");
        ExitCode::from(if is_usage(&error) { EXIT_USAGE } else { 1 })
    })
}

/// Whether the person who typed the command can mend it by typing or configuring something else.
fn is_usage(error: &anyhow::Error) -> bool {
    error.is::<ConfigError>() || matches!(error.downcast_ref::<StartError>(), Some(StartError::Settings(_)))
}
