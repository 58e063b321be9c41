//! `headpin lab`, `headpin load`, `headpin upstream`: commands of `headpin-lab`, which takes this process over.

use std::ffi::OsString;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::Command;

use anyhow::Context as _;
use clap::Args;

use super::sibling;

/// The laboratory's program.
pub(super) const PROGRAM: &str = "headpin-lab";

/// The arguments of one of its commands, as they were typed.
#[derive(Debug, Args)]
#[command(disable_help_flag = true)]
pub(super) struct Forwarded {
    /// What --help lists
    #[arg(value_name = "ARGUMENTS", num_args = 0.., trailing_var_arg = true, allow_hyphen_values = true)]
    rest: Vec<OsString>,
}

impl Forwarded {
    /// Becomes `headpin-lab SUBCOMMAND ...`.
    ///
    /// # Errors
    /// If there is no such program, or it cannot be run. Otherwise this does not return.
    pub(super) fn run(self, subcommand: &str) -> anyhow::Result<()> {
        let program = sibling::find(PROGRAM)?;
        become_it(&program, std::iter::once(subcommand.into()).chain(self.rest))
    }
}

/// Becomes the laboratory's program with this process's own arguments, if it is beside this one.
///
/// # Errors
/// If it cannot be run.
pub(super) fn become_if_there() -> anyhow::Result<()> {
    sibling::beside(PROGRAM).map_or(Ok(()), |program| become_it(&program, std::env::args_os().skip(1)))
}

fn become_it(program: &Path, arguments: impl IntoIterator<Item = OsString>) -> anyhow::Result<()> {
    // Usage and errors call themselves `headpin`, as people type it.
    let error = Command::new(program).arg0("headpin").args(arguments).exec();
    Err(error).with_context(|| format!("cannot run {}", program.display()))
}
