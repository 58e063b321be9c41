//! headpin as a program of its own, and what it starts.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use super::{PATIENCE, certificates};

/// headpin with `arguments`; its output is kept.
pub fn headpin(arguments: &[&str]) -> Command {
    let mut command = Command::new(super::PROGRAM);
    command
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

/// All that it printed.
pub fn told(output: &Output) -> String {
    [&output.stdout, &output.stderr]
        .map(|text| String::from_utf8_lossy(text).into_owned())
        .concat()
}

/// Its code and all that it printed.
pub fn ran(mut command: Command) -> (Option<i32>, String) {
    let output = command.output().unwrap();
    (output.status.code(), told(&output))
}

/// Sends `signal` (`INT`, `TERM`, `KILL`) to a process.
pub fn signal(pid: u32, signal: &str) {
    let sent = Command::new("kill")
        .args([format!("-{signal}"), pid.to_string()])
        .status();
    assert!(sent.unwrap().success(), "SIG{signal} to {pid}");
}

/// Polls `condition` until it holds, on a thread of one's own.
pub fn wait_until(what: &str, condition: impl Fn() -> bool) {
    let begin = tokio::time::Instant::now();
    while !condition() {
        assert!(begin.elapsed() < PATIENCE, "{what}: not within {PATIENCE:?}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// A config for a proxy of one worker that listens where it likes, with its certificate beside it; its upstream is not there.
pub fn small_config(folder: &Path) -> PathBuf {
    let made = certificates();
    fs::write(folder.join("leaf.pem"), &made.leaf).unwrap();
    fs::write(folder.join("key.pem"), &made.leaf_key).unwrap();
    let path = folder.join("headpin.toml");
    let text = "[server]\nlisten = \"127.0.0.1:0\"\nworkers = 1\n\
        [tls]\ncertificates = [{ cert = \"leaf.pem\", key = \"key.pem\" }]\n\
        [upstream]\nservers = [\"http://127.0.0.1:1\"]\n\
        [admin]\nlisten = \"127.0.0.1:0\"\n[log]\nformat = \"json\"\n";
    fs::write(&path, text).unwrap();
    path
}
