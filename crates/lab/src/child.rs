//! The programs that an experiment runs, as children of this process.

use std::fs::File;
use std::os::fd::AsRawFd as _;
use std::process::Command;
use std::sync::OnceLock;

use anyhow::Context as _;
use headpin::cli::{child, sibling};

/// This program, even if it is built anew meanwhile: all runs of an experiment are of one build.
const THIS_PROGRAM: &str = "/proc/self/exe";
/// What the proxy's program is called.
const PROXY: &str = "headpin";

/// `headpin serve ARGUMENTS`, to be spawned; see [`child::command`].
///
/// # Errors
/// If there is no such program.
pub(crate) fn proxy(arguments: &[&str]) -> anyhow::Result<Command> {
    static OPEN: OnceLock<File> = OnceLock::new();
    let open = match OPEN.get() {
        Some(open) => open,
        None => {
            let path = sibling::find(PROXY)?;
            let open = File::open(&path).with_context(|| format!("cannot open {}", path.display()))?;
            OPEN.get_or_init(|| open)
        }
    };
    // The open file, so that a build that replaces it does not end up in the same experiment. The child finds it in this
    // process, as its own copy of the descriptor closes on exec.
    let path = format!("/proc/{}/fd/{}", std::process::id(), open.as_raw_fd());
    Ok(child::command(path, "serve", arguments))
}

/// `headpin upstream ARGUMENTS`, to be spawned; see [`child::command`].
pub(crate) fn upstream(arguments: &[&str]) -> Command {
    child::command(THIS_PROGRAM, "upstream", arguments)
}
