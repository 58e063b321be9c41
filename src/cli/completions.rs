//! `headpin completions`: what a shell offers at the tab key.

use std::io;

use clap::{Args, CommandFactory as _};
use clap_complete::Shell;

use super::Arguments;

/// Prints the completions for a shell
///
/// For bash, for example: headpin completions bash > ~/.local/share/bash-completion/completions/headpin
#[derive(Debug, Args)]
pub(super) struct CompletionsCommand {
    /// The shell
    shell: Shell,
}

impl CompletionsCommand {
    pub(super) fn run(&self) -> anyhow::Result<()> {
        // Into memory first: the generator panics where it cannot write.
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut Arguments::command(), "headpin", &mut script);
        io::Write::write_all(&mut io::stdout(), &script)?;
        Ok(())
    }
}
