//! A log that nobody reads: the proxy goes on, and ends when it is told to.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, ChildStderr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::support::program::{headpin, signal, small_config, wait_until};

/// More than wait to be written and fit in a pipe, each with a line in the log.
const REQUESTS: usize = 10_000;

/// The proxy as a process of its own; it ends with the test.
struct Serving {
    child: Child,
    admin: SocketAddr,
}

impl Serving {
    /// It, and the end of the pipe where its log arrives.
    fn start(folder: &Path) -> (Self, BufReader<ChildStderr>) {
        let path = small_config(folder);
        let mut child = headpin(&["serve", "--config", path.to_str().unwrap()]).spawn().unwrap();
        let mut log = BufReader::new(child.stderr.take().unwrap());
        let admin = log.by_ref().lines().find_map(|line| {
            let line: serde_json::Value = serde_json::from_str(&line.unwrap()).ok()?;
            let fields = &line["fields"];
            (fields["role"] == "admin").then(|| fields["address"].as_str().unwrap().parse().unwrap())
        });
        let admin = admin.expect("the proxy listens");
        (Self { child, admin }, log)
    }

    /// The answers to so many requests for `path` that ask for the name `host`, on one connection.
    fn ask(&self, requests: usize, path: &str, host: &str) -> String {
        let mut stream = TcpStream::connect(self.admin).unwrap();
        let mut writer = stream.try_clone().unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n");
        let last = format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
        let all = request.repeat(requests - 1) + &last;
        let writing = std::thread::spawn(move || writer.write_all(all.as_bytes()).unwrap());
        let mut answers = String::new();
        stream.read_to_string(&mut answers).unwrap();
        writing.join().unwrap();
        answers
    }

    fn refused(&self, requests: usize) {
        let answers = self.ask(requests, "/api/memory", "evil.example");
        assert_eq!(answers.matches("HTTP/1.1 403 ").count(), requests);
    }

    fn dropped_lines(&self) -> u64 {
        let answer = self.ask(1, "/metrics", "localhost");
        let mut lines = answer.lines();
        let value = lines.find_map(|line| line.strip_prefix("headpin_log_lines_dropped_total "));
        value.unwrap().parse().unwrap()
    }

    fn ends_well(mut self) {
        signal(self.child.id(), "TERM");
        assert_eq!(self.child.wait().unwrap().code(), Some(0));
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn a_reader_that_stops_stops_nobody_and_lost_lines_are_counted() {
    let folder = tempfile::tempdir().unwrap();
    let (serving, log) = Serving::start(folder.path());
    assert_eq!(serving.dropped_lines(), 0);
    serving.refused(REQUESTS);
    wait_until("lines are counted as dropped", || serving.dropped_lines() > 0);
    // What was not lost comes when it is read again.
    let kept = Arc::new(AtomicU64::new(0));
    let reading = std::thread::spawn({
        let kept = Arc::clone(&kept);
        move || {
            let lines = log.lines().map(Result::unwrap);
            lines
                .filter(|line| line.contains("evil.example"))
                .for_each(|_| _ = kept.fetch_add(1, Ordering::Relaxed));
        }
    });
    wait_until("every line is kept or counted", || {
        kept.load(Ordering::Relaxed) + serving.dropped_lines() == REQUESTS as u64
    });
    serving.ends_well();
    reading.join().unwrap();
}

#[test]
fn a_full_pipe_does_not_keep_the_proxy_from_ending() {
    let folder = tempfile::tempdir().unwrap();
    let (serving, _unread) = Serving::start(folder.path());
    serving.refused(REQUESTS);
    serving.ends_well();
}

#[test]
fn a_reader_that_is_gone_breaks_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let (serving, log) = Serving::start(folder.path());
    drop(log);
    serving.refused(10);
    serving.ends_well();
}
