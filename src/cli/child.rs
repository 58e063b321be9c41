//! A program of this project as a child of this process.

use std::ffi::OsStr;
use std::os::unix::process::CommandExt as _;
use std::process::{Command, Stdio};

/// `PROGRAM SUBCOMMAND ARGUMENTS`, to be spawned, for a subcommand that knows `--until-stdin-closes`.
///
/// It has a process group of its own, so that Ctrl-C reaches this process alone. It ends when its standard input does,
/// whose other end is in the `Child`: it never outlives this process.
pub fn command(program: impl AsRef<OsStr>, subcommand: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new(program);
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
