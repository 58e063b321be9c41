//! The heap profile of the real program: its allocator has to be told when the process starts.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, ChildStderr, Command, Stdio};

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::support::program::small_config;
use crate::support::soon;

struct Program {
    child: Child,
    /// Kept open, for a program whose log goes nowhere has other cares.
    log: BufReader<ChildStderr>,
}

impl Drop for Program {
    fn drop(&mut self) {
        // An error means that it has ended.
        _ = self.child.kill();
        _ = self.child.wait();
    }
}

/// Starts the program with a profiling allocator; returns its admin address.
fn start(folder: &Path) -> (Program, SocketAddr) {
    let path = small_config(folder);
    let mut child = Command::new(env!("CARGO_BIN_EXE_headpin"))
        .args(["serve", "--config"])
        .arg(path)
        // Nearly every allocation, so that none of a process that does nothing is left to chance.
        .env("MALLOC_CONF", "prof:true,lg_prof_sample:9")
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let log = BufReader::new(child.stderr.take().unwrap());
    let mut program = Program { child, log };
    let address = program.log.by_ref().lines().map_while(Result::ok).find_map(|line| {
        let line: Value = serde_json::from_str(&line).ok()?;
        let fields = &line["fields"];
        let is_admin = fields["message"] == "listening" && fields["role"] == "admin";
        is_admin.then(|| fields["address"].as_str().unwrap().parse().unwrap())
    });
    (program, address.expect("it listens"))
}

async fn get(address: SocketAddr, path: &str) -> (String, Vec<u8>) {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = format!("GET {path} HTTP/1.0\r\nHost: {address}\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    let end = answer.windows(4).position(|window| window == b"\r\n\r\n").unwrap() + 4;
    let body = answer.split_off(end);
    (String::from_utf8(answer).unwrap(), body)
}

#[tokio::test]
async fn a_profiling_allocator_names_who_allocates() {
    let folder = tempfile::tempdir().unwrap();
    let (_program, admin) = start(folder.path());
    // Its worker answers this, so it runs.
    let (head, _) = soon("connections", get(admin, "/api/connections")).await;
    assert!(head.starts_with("HTTP/1.0 200"), "{head}");
    let (head, profile) = soon("a heap profile", get(admin, "/debug/pprof/heap")).await;
    assert!(head.starts_with("HTTP/1.0 200"), "{head}");
    let file = folder.path().join("heap.pb.gz");
    std::fs::File::create(&file).unwrap().write_all(&profile).unwrap();
    let output = Command::new("python3")
        .arg("tests/snapshot/pprof.py")
        .arg(&file)
        .arg("--json")
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(report["samples"].as_u64().unwrap() > 10, "{report:#}");
    assert!(report["bytes"].as_u64().unwrap() > 1 << 16, "{report:#}");
    let functions = report["functions"].as_object().unwrap();
    assert!(
        functions
            .keys()
            .any(|name| name.contains("headpin::control::thread::run")),
        "{functions:#?}"
    );
}
