//! headpin as a program of its own, and what it starts.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use super::{PATIENCE, certificates};

/// headpin with `arguments`; its output is kept.
pub fn headpin(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_headpin"));
    command
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

/// The same with at most `files` open files, by the hard limit.
pub fn headpin_with_files(files: u32, arguments: &[&str]) -> Command {
    let mut command = Command::new("sh");
    command
        .args(["-c", &format!("ulimit -n {files} && exec \"$0\" \"$@\"")])
        .arg(env!("CARGO_BIN_EXE_headpin"))
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

/// The processes that `pid` has started.
pub fn children(pid: u32) -> Vec<u32> {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).unwrap();
    let of_task = |task: std::io::Result<fs::DirEntry>| fs::read_to_string(task.ok()?.path().join("children")).ok();
    let all: Vec<String> = tasks.filter_map(of_task).collect();
    let pids = all.iter().flat_map(|text| text.split_whitespace());
    pids.map(|pid| pid.parse().unwrap()).collect()
}

/// Whether a process does no more: it is gone, or waits for whoever inherited it to look at its exit code.
pub fn has_ended(pid: u32) -> bool {
    let Ok(stat) = fs::read_to_string(format!("/proc/{pid}/stat")) else {
        return true;
    };
    // The name in parentheses may hold anything.
    let state = stat.rsplit_once(") ").map(|(_, rest)| rest.chars().next());
    matches!(state, Some(Some('Z' | 'X')))
}

/// Addresses, as the kernel writes them, that the processes listen on.
pub fn listening(pids: &[u32]) -> Vec<String> {
    let of = |pid: &u32| fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
    let links = pids.iter().flat_map(of).filter_map(|fd| fs::read_link(fd.path()).ok());
    let inodes: Vec<String> = links
        .filter_map(|link| {
            let name = link.to_str()?.strip_prefix("socket:[")?;
            Some(name.strip_suffix(']')?.to_owned())
        })
        .collect();
    let owned = |(_, inode): &(String, String)| inodes.contains(inode);
    listeners()
        .into_iter()
        .filter(owned)
        .map(|(address, _)| address)
        .collect()
}

/// Whether anyone listens on one of `addresses`.
pub fn is_listened_on(addresses: &[String]) -> bool {
    listeners().iter().any(|(address, _)| addresses.contains(address))
}

/// Address and inode of every TCP listener over IPv4.
fn listeners() -> Vec<(String, String)> {
    const LISTEN: &str = "0A";
    let table = fs::read_to_string("/proc/net/tcp").unwrap();
    let rows = table
        .lines()
        .skip(1)
        .map(|line| line.split_whitespace().collect::<Vec<_>>());
    rows.filter(|row| row[3] == LISTEN)
        .map(|row| (row[1].to_owned(), row[9].to_owned()))
        .collect()
}

/// What a folder holds.
pub fn entries(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap();
    entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect()
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
