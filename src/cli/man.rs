//! `headpin man`: the manual pages.

use std::fs;
use std::path::PathBuf;

use anyhow::Context as _;
use clap::{Args, CommandFactory as _};

use super::Arguments;

/// Writes the manual pages, one for each command
///
/// headpin.1, headpin-serve.1 and so on. With --out ~/.local/share/man/man1, `man headpin-serve` finds them.
#[derive(Debug, Args)]
pub(super) struct ManCommand {
    /// The folder to write to; what is there under these names is replaced
    #[arg(short, long, value_name = "FOLDER")]
    out: PathBuf,
}

impl ManCommand {
    pub(super) fn run(&self) -> anyhow::Result<()> {
        let out = &self.out;
        fs::create_dir_all(out).with_context(|| format!("cannot make the folder {}", out.display()))?;
        // `help` repeats what the pages say.
        let command = Arguments::command().disable_help_subcommand(true);
        clap_mangen::generate_to(command, out).with_context(|| format!("cannot write to {}", out.display()))
    }
}
