//! What is seen of processes from outside, and a program with few files.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::support::PROGRAM;

/// The same with at most `files` open files, by the hard limit.
pub fn headpin_with_files(files: u32, arguments: &[&str]) -> Command {
    let mut command = Command::new("sh");
    command
        .args(["-c", &format!("ulimit -n {files} && exec \"$0\" \"$@\"")])
        .arg(PROGRAM)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
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
