//! `headpin man`: the manual pages.

use std::fs;
use std::path::PathBuf;

use anyhow::Context as _;
use clap::{Args, Command};

use super::laboratory;

/// Writes the manual pages, one for each command
///
/// headpin.1, headpin-serve.1 and so on. With --out ~/.local/share/man/man1, `man headpin-serve` finds them.
#[derive(Debug, Args)]
pub struct ManCommand {
    /// The folder to write to; what is there under these names is replaced
    #[arg(short, long, value_name = "FOLDER")]
    out: PathBuf,
}

impl ManCommand {
    /// Writes the pages of all commands: by the laboratory's program if it is there, as only that knows its own.
    pub(super) fn run(&self) -> anyhow::Result<()> {
        laboratory::become_if_there()?;
        self.write(super::command())
    }

    /// Writes the pages of `command` and all below it.
    ///
    /// # Errors
    /// If the folder cannot be made or written to.
    pub fn write(&self, command: Command) -> anyhow::Result<()> {
        let out = &self.out;
        fs::create_dir_all(out).with_context(|| format!("cannot make the folder {}", out.display()))?;
        // `help` repeats what the pages say.
        let command = command.disable_help_subcommand(true);
        clap_mangen::generate_to(command, out).with_context(|| format!("cannot write to {}", out.display()))
    }
}
