//! However the lab ends, it leaves no process, no socket, and what it measured.

use std::fs;
use std::io::{BufRead as _, BufReader, Lines};
use std::path::Path;
use std::process::{Child, ChildStderr};

use headpin_lab::result::LabResult;
use tempfile::TempDir;

use crate::processes::{children, entries, has_ended, is_listened_on, listening};
use crate::support::program::{headpin, signal, told, wait_until};

/// A run that goes on for a minute unless it is ended.
struct Running {
    lab: Child,
    says: Lines<BufReader<ChildStderr>>,
    out: TempDir,
}

impl Running {
    /// Starts it, with its temporary files in `temporary`.
    fn start(temporary: &Path) -> Self {
        Self::start_with(temporary, "duration=60s")
    }

    fn start_with(temporary: &Path, set: &str) -> Self {
        let out = tempfile::tempdir().unwrap();
        let folder = out.path().to_str().unwrap();
        let arguments = ["lab", "run", "head", "--smoke", "--set", set, "--out", folder];
        let mut lab = headpin(&arguments).env("TMPDIR", temporary).spawn().unwrap();
        let says = BufReader::new(lab.stderr.take().unwrap()).lines();
        Self { lab, says, out }
    }

    fn wait_until_it_says(&mut self, what: &str) {
        let mut lines = self.says.by_ref().map_while(Result::ok);
        assert!(lines.any(|line| line.contains(what)), "it ended before it said {what}");
    }

    /// The proxy and the origin, and where they listen.
    fn children(&self) -> (Vec<u32>, Vec<String>) {
        let children = children(self.lab.id());
        assert_eq!(children.len(), 2, "the proxy and the origin: {children:?}");
        let addresses = listening(&children);
        assert_eq!(
            addresses.len(),
            3,
            "the proxy, its admin endpoints, the origin: {addresses:?}"
        );
        (children, addresses)
    }
}

fn assert_gone(children: &[u32], addresses: &[String]) {
    wait_until("the children have ended", || children.iter().copied().all(has_ended));
    wait_until("nobody listens", || !is_listened_on(addresses));
}

#[test]
fn a_killed_run_leaves_no_process_and_the_next_one_tidies_up() {
    let temporary = tempfile::tempdir().unwrap();
    let mut killed = Running::start(temporary.path());
    killed.wait_until_it_says("measuring");
    let (children, addresses) = killed.children();
    signal(killed.lab.id(), "KILL");
    killed.lab.wait().unwrap();
    assert_gone(&children, &addresses);
    let left = entries(temporary.path());
    assert_eq!(left.len(), 1, "{left:?}");

    let mut next = Running::start(temporary.path());
    next.wait_until_it_says("warming up");
    let now = entries(temporary.path());
    assert!(now.len() == 1 && now != left, "{left:?} is still there: {now:?}");
    signal(next.lab.id(), "KILL");
    next.lab.wait().unwrap();
}

#[test]
fn an_interrupted_run_keeps_what_it_has_and_leaves_nothing_else() {
    for asked in ["INT", "TERM"] {
        let temporary = tempfile::tempdir().unwrap();
        let mut running = Running::start(temporary.path());
        running.wait_until_it_says("measuring");
        let (children, addresses) = running.children();
        signal(running.lab.id(), asked);
        running.wait_until_it_says("what was measured is kept");
        let output = running.lab.wait_with_output().unwrap();
        let told = told(&output);
        assert_eq!(output.status.code(), Some(1), "{told}");
        assert!(
            told.contains("PARTIAL") && told.contains("it was interrupted"),
            "{told}"
        );
        let text = fs::read_to_string(running.out.path().join("head-smoke.partial.json")).unwrap();
        let result: LabResult = serde_json::from_str(&text).unwrap();
        assert!(result.partial && result.runs.len() == 1, "{told}");
        let page = fs::read_to_string(running.out.path().join("head-smoke.partial.html")).unwrap();
        assert!(page.contains("artial"), "the report does not say so");
        assert!(children.iter().copied().all(has_ended));
        let complete = running.out.path().join("head-smoke.json");
        assert!(!complete.exists(), "it is not complete");
        assert_gone(&children, &addresses);
        assert_eq!(entries(temporary.path()), [""; 0]);
    }
}

#[test]
fn a_run_that_is_interrupted_twice_leaves_nothing_at_all() {
    let temporary = tempfile::tempdir().unwrap();
    let mut running = Running::start(temporary.path());
    running.wait_until_it_says("warming up");
    let (children, addresses) = running.children();
    signal(running.lab.id(), "INT");
    signal(running.lab.id(), "TERM");
    let code = running.lab.wait().unwrap().code();
    assert_eq!(code, Some(1));
    assert_gone(&children, &addresses);
    assert_eq!(entries(temporary.path()), [""; 0]);
}

#[test]
fn a_run_that_is_stopped_before_it_measures_says_so_and_writes_nothing() {
    let temporary = tempfile::tempdir().unwrap();
    let mut running = Running::start_with(temporary.path(), "warmup=60s");
    running.wait_until_it_says("warming up");
    let (children, addresses) = running.children();
    signal(running.lab.id(), "INT");
    running.wait_until_it_says("stopped before anything was measured");
    assert_eq!(running.lab.wait().unwrap().code(), Some(1));
    assert_gone(&children, &addresses);
    assert_eq!(entries(temporary.path()).len() + entries(running.out.path()).len(), 0);
}

#[test]
fn a_child_that_dies_cuts_the_run_short_and_is_named() {
    let temporary = tempfile::tempdir().unwrap();
    let mut running = Running::start(temporary.path());
    running.wait_until_it_says("measuring");
    let (children, _) = running.children();
    // Of the proxy the observer hears at once; of the origin only who looks.
    signal(children[0], "KILL");
    running.wait_until_it_says("copy: measuring");
    signal(running.lab.id(), "TERM");
    let output = running.lab.wait_with_output().unwrap();
    let told = told(&output);
    assert!(
        told.contains("pin was cut short: headpin upstream has ended with signal: 9"),
        "{told}"
    );
}
