//! This program once more, as a child of this process.

use std::os::unix::process::CommandExt as _;
use std::process::{Command, Stdio};

/// The program that runs, even if it is built anew meanwhile: all runs of an experiment are of one build.
const THIS_PROGRAM: &str = "/proc/self/exe";

/// `headpin SUBCOMMAND ARGUMENTS`, to be spawned, for a subcommand that knows `--until-stdin-closes`.
///
/// It has a process group of its own, so that Ctrl-C reaches this process alone, and it ends when its standard input
/// does, whose other end is in the `Child`: it outlives this process in no case.
pub(crate) fn this_program(subcommand: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new(THIS_PROGRAM);
    command
        .arg0("headpin")
        .arg(subcommand)
        .args(arguments)
        .arg("--until-stdin-closes")
        .env_remove("RUST_LOG")
        .env_remove("HEADPIN_CONFIG")
        .stdin(Stdio::piped())
        .process_group(0);
    command
}
