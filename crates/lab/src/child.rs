//! The programs that an experiment runs, as children of this process.

use std::fs::File;
use std::process::Command;
use std::sync::OnceLock;

use anyhow::Context as _;
use headpin::cli::child;
use headpin::cli::sibling;

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
    // The file that is open, whatever has its name by now: one build here as well. Files of this process close on exec, so
    // the path goes by its number.
    let path = format!(
        "/proc/{}/fd/{}",
        std::process::id(),
        std::os::fd::AsRawFd::as_raw_fd(open)
    );
    Ok(child::command(path, "serve", arguments))
}

/// `headpin upstream ARGUMENTS`, to be spawned; see [`child::command`].
pub(crate) fn upstream(arguments: &[&str]) -> Command {
    child::command(THIS_PROGRAM, "upstream", arguments)
}
