//! The laboratory's commands: one file each, from what was typed to what the library needs.
//!
//! People type them as `headpin lab`, `headpin load` and `headpin upstream`; the proxy's program starts this one for them.

mod lab;
mod load;
mod upstream;
mod values;

use std::process::ExitCode;

use clap::{CommandFactory as _, Parser, Subcommand};
use headpin::cli::{CompletionsCommand, ManCommand};

use crate::scenario::ScenarioError;
use crate::stored::StoredError;

/// The laboratory of headpin: load, experiments, and an origin to put behind a proxy.
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
    Lab(lab::LabCommand),
    Load(load::LoadCommand),
    Upstream(upstream::UpstreamCommand),
    /// For `headpin completions`
    #[command(hide = true)]
    Completions(CompletionsCommand),
    /// For `headpin man`
    #[command(hide = true)]
    Man(ManCommand),
}

/// Runs the command that was typed.
#[must_use]
pub fn run() -> ExitCode {
    let arguments = match headpin::cli::parse::<Arguments>() {
        Ok(arguments) => arguments,
        Err(code) => return code,
    };
    let result = match arguments.command {
        Command::Lab(command) => command.run(),
        Command::Load(command) => command.run(),
        Command::Upstream(command) => command.run().map(|()| ExitCode::SUCCESS),
        Command::Completions(command) => command.print(whole_command()).map(|()| ExitCode::SUCCESS),
        Command::Man(command) => command.write(whole_command()).map(|()| ExitCode::SUCCESS),
    };
    headpin::cli::exit_code(result, is_usage)
}

/// Whether the person who typed the command can mend it by typing something else.
fn is_usage(error: &anyhow::Error) -> bool {
    error.is::<ScenarioError>()
        || matches!(error.downcast_ref(), Some(stored) if !matches!(stored, StoredError::Lost { .. } | StoredError::Shown(_)))
}

/// The proxy's command line, with this program's commands in the place of those that start this program.
fn whole_command() -> clap::Command {
    let own = Arguments::command();
    own.get_subcommands()
        .filter(|command| !command.is_hide_set())
        .fold(headpin::cli::command(), |whole, command| {
            whole.mut_subcommand(command.get_name(), |_| command.clone())
        })
}
