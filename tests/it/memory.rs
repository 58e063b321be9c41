//! What the process is made of, asked of a real one, in four states. `bench/memory` does the same with 5,000 tunnels and
//! the release build.

use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use serde_json::{Value, json};

use crate::support::client::plain;
use crate::support::{certificates, soon};

const TUNNELS: usize = 300;
/// Most of the resident set that may have no name.
const MOST_OTHER: f64 = 0.10;

/// A process of this program; it ends with the test.
struct Process(Child);

impl Process {
    fn start(arguments: &[&str]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_headpin"));
        command
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        Self(command.spawn().unwrap())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

struct Proxy {
    /// Its log goes on into the pipe.
    _process: Process,
    pid: u32,
    address: String,
    admin: SocketAddr,
    ca: String,
}

impl Proxy {
    fn start(folder: &Path, origin: &str) -> Self {
        let made = certificates();
        for (name, pem) in [
            ("ca.pem", &made.ca),
            ("leaf.pem", &made.leaf),
            ("key.pem", &made.leaf_key),
        ] {
            std::fs::write(folder.join(name), pem).unwrap();
        }
        let config = format!(
            "head_policy = \"copy\"\n[server]\nlisten = \"127.0.0.1:0\"\nworkers = 2\n[tls]\n\
             certificates = [{{ cert = \"leaf.pem\", key = \"key.pem\" }}]\n[upstream]\nservers = [\"{origin}\"]\n\
             [admin]\nlisten = \"127.0.0.1:0\"\n[log]\nformat = \"json\"\naccess = false\n"
        );
        let path = folder.join("headpin.toml");
        std::fs::write(&path, config).unwrap();
        let mut process = Process::start(&["serve", "--config", path.to_str().unwrap()]);
        let lines = BufReader::new(process.0.stderr.as_mut().unwrap()).lines();
        let mut said = lines.map(|line| serde_json::from_str::<Value>(&line.unwrap()).unwrap());
        let mut address = |role: &str| {
            let mut listening = said.by_ref().map(|line| line["fields"].clone());
            let fields = listening.find(|fields| fields["message"] == "listening").unwrap();
            assert_eq!(fields["role"], role);
            fields["address"].as_str().unwrap().to_owned()
        };
        let (proxy, admin) = (address("proxy"), address("admin"));
        Self {
            address: proxy,
            admin: admin.parse().unwrap(),
            pid: process.0.id(),
            _process: process,
            ca: folder.join("ca.pem").to_str().unwrap().to_owned(),
        }
    }

    async fn memory(&self) -> Value {
        let (status, body) = soon("memory", plain(self.admin, "GET", "/api/memory", "")).await;
        assert_eq!(status, 200, "{body}");
        serde_json::from_str(&body).unwrap()
    }

    async fn set_policy(&self, policy: &str) {
        let body = json!({ "head_policy": policy }).to_string();
        let (status, body) = soon("the policy", plain(self.admin, "PUT", "/api/head_policy", &body)).await;
        assert_eq!(status, 200, "{body}");
    }

    fn load(&self, kind: &str, path: &str, options: &[&str]) -> Process {
        let target = format!("wss://{}{path}", self.address);
        Process::start(&[&["load", kind, &target, "--ca", &self.ca, "--json"], options].concat())
    }

    /// Tunnels that stay until the result is dropped; all are open.
    async fn tunnels(&self) -> Process {
        let count = TUNNELS.to_string();
        let load = self.load("idle", "/echo", &["-n", &count, "--until-stdin-closes"]);
        self.until(|memory| memory["connections"]["tunnels"] == TUNNELS).await;
        load
    }

    /// What memory is, once it is as wanted.
    async fn until(&self, holds: impl Fn(&Value) -> bool) -> Value {
        let waiting = async {
            loop {
                let memory = self.memory().await;
                if holds(&memory) {
                    return memory;
                }
                tokio::time::sleep(std::time::Duration::from_millis(20)).await;
            }
        };
        soon("memory as wanted", waiting).await
    }
}

fn bytes(memory: &Value, part: &str) -> f64 {
    memory["parts"][part]
        .as_f64()
        .unwrap_or_else(|| panic!("{part}: {memory}"))
}

/// The parts add up, and little of it has no name.
fn adds_up(state: &str, memory: &Value) {
    let resident = memory["resident_bytes"].as_f64().unwrap();
    let parts = memory["parts"].as_object().unwrap();
    assert_eq!(parts.len(), 8, "{state}: {memory}");
    let sum: f64 = parts.values().map(|bytes| bytes.as_f64().unwrap()).sum();
    assert!((sum - resident).abs() <= 0.01 * resident, "{state}: {sum} of {memory}");
    let other = bytes(memory, "other") / resident;
    assert!(other < MOST_OTHER, "{state}: {:.1} % is other: {memory}", other * 100.0);
}

/// And it is what the kernel tells from outside, at a look between which and the next nothing changes much.
async fn is_whole(state: &str, proxy: &Proxy) -> Value {
    let as_outside = |memory: &Value| {
        let rollup = std::fs::read_to_string(format!("/proc/{}/smaps_rollup", proxy.pid)).unwrap();
        let outside = rollup.lines().find_map(|line| line.strip_prefix("Rss:")).unwrap();
        let outside: f64 = outside.trim().trim_end_matches("kB").trim().parse().unwrap();
        let resident = memory["resident_bytes"].as_f64().unwrap();
        (outside * 1024.0 - resident).abs() <= 0.05 * resident
    };
    let memory = proxy.until(as_outside).await;
    adds_up(state, &memory);
    memory
}

#[tokio::test]
async fn the_parts_are_the_resident_set_in_four_states_and_it_comes_back() {
    let folder = tempfile::tempdir().unwrap();
    let mut upstream = Process::start(&["upstream", "--listen", "127.0.0.1:0"]);
    let said = BufReader::new(upstream.0.stdout.take().unwrap())
        .lines()
        .next()
        .unwrap()
        .unwrap();
    let origin = said
        .split_whitespace()
        .find(|word| word.starts_with("http://"))
        .unwrap();
    let proxy = Proxy::start(folder.path(), origin);
    // A connection is gone a moment before what was claimed for it.
    let all_gone = |memory: &Value| {
        let nothing = |part: &&str| bytes(memory, part) == 0.0;
        memory["connections"]["downstream"] == 0 && ["tunnels", "http", "unsent", "tls"].iter().all(nothing)
    };
    is_whole("empty", &proxy).await;

    drop(proxy.tunnels().await);
    let warm = proxy.until(all_gone).await;

    let idle = proxy.tunnels().await;
    let memory = is_whole("idle", &proxy).await;
    for (part, least, most) in [("tls", 200.0, 1_200.0), ("tunnels", 900.0, 3_000.0)] {
        let each = bytes(&memory, part) / TUNNELS as f64;
        assert!(
            (least..most).contains(&each),
            "{each} bytes of {part} a tunnel: {memory}"
        );
    }
    assert_eq!(memory["slabs"]["used_bytes"], 0);
    drop(idle);
    proxy.until(all_gone).await;

    proxy.set_policy("pin").await;
    let pinning = proxy.tunnels().await;
    let mut uploads = proxy.load("upload", "", &["-n", "1", "--size", "8MiB", "--count", "4"]);
    assert!(uploads.0.wait().unwrap().success());
    proxy
        .until(|memory| memory["slabs"]["pinned_bytes"].as_u64() > Some(0))
        .await;
    let memory = is_whole("pinning", &proxy).await;
    assert!(
        bytes(&memory, "slabs") >= memory["slabs"]["pinned_bytes"].as_f64().unwrap(),
        "{memory}"
    );
    let used = memory["slabs"]["used_bytes"].as_u64().unwrap();
    assert!((TUNNELS as u64..1 << 20).contains(&used), "{memory}");

    // What a request's memory is given back by is not its connection: it must not seem to hold that for ever.
    let mut uploads = proxy.load("upload", "", &["-n", "1", "--size", "256KiB", "--count", "400"]);
    let mut most_http: f64 = 0.0;
    while uploads.0.try_wait().unwrap().is_none() {
        let memory = proxy.memory().await;
        adds_up("uploading", &memory);
        most_http = most_http.max(bytes(&memory, "http"));
    }
    assert!(
        most_http > 0.0 && most_http <= 256.0 * 1024.0,
        "{most_http} bytes of HTTP"
    );

    drop(pinning);
    proxy.set_policy("copy").await;
    // With few tunnels one dirty page more or less counts: `bench/memory` holds 10 % with many.
    let most = warm["resident_bytes"].as_f64().unwrap() * 1.2;
    proxy
        .until(|memory| all_gone(memory) && memory["resident_bytes"].as_f64().unwrap() <= most)
        .await;
    is_whole("after the burst", &proxy).await;
}
