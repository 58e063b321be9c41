//! Signals to the program itself.

use std::io::{BufRead, BufReader};
use std::process::Child;

use crate::support::program::{headpin, signal, small_config};

/// The program, at the moment when it says that it listens.
fn just_listening(folder: &std::path::Path) -> (Child, impl BufRead + use<>) {
    let path = small_config(folder);
    let mut child = headpin(&["serve", "--config", path.to_str().unwrap()]).spawn().unwrap();
    let mut log = BufReader::new(child.stderr.take().unwrap());
    let mut line = String::new();
    while !line.contains("listening") {
        line.clear();
        assert!(log.read_line(&mut line).unwrap() > 0, "it ended before it listened");
    }
    (child, log)
}

#[test]
fn a_signal_in_the_moment_of_listening_drains_and_does_not_kill() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["TERM", "INT"] {
        let (mut child, log) = just_listening(folder.path());
        signal(child.id(), name);
        let rest: Vec<String> = log.lines().map(Result::unwrap).collect();
        assert_eq!(child.wait().unwrap().code(), Some(0), "SIG{name}: {rest:?}");
    }
}

#[test]
fn a_hangup_in_the_moment_of_listening_reloads() {
    let folder = tempfile::tempdir().unwrap();
    let (mut child, mut log) = just_listening(folder.path());
    signal(child.id(), "HUP");
    let mut line = String::new();
    while !line.contains("reloading the config") {
        line.clear();
        assert!(log.read_line(&mut line).unwrap() > 0, "the hangup ended it");
    }
    signal(child.id(), "TERM");
    log.lines().for_each(|line| drop(line.unwrap()));
    assert_eq!(child.wait().unwrap().code(), Some(0));
}
