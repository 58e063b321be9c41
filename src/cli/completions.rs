//! `headpin completions`: what a shell offers at the tab key.

use std::io;

use clap::{Args, Command};
use clap_complete::Shell;

use super::laboratory;

/// Prints the completions for a shell
///
/// For bash, for example: headpin completions bash > ~/.local/share/bash-completion/completions/headpin
#[derive(Debug, Args)]
pub struct CompletionsCommand {
    /// The shell
    shell: Shell,
}

impl CompletionsCommand {
    /// Prints those of all commands: by the laboratory's program if it is there, as only that knows its own.
    pub(super) fn run(&self) -> anyhow::Result<()> {
        laboratory::become_if_there()?;
        self.print(super::command())
    }

    /// Prints the completions of `command` and all below it.
    ///
    /// # Errors
    /// If standard output cannot be written to.
    pub fn print(&self, mut command: Command) -> anyhow::Result<()> {
        // Into memory first: the generator panics where it cannot write.
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut command, "headpin", &mut script);
        io::Write::write_all(&mut io::stdout(), &script)?;
        Ok(())
    }
}
