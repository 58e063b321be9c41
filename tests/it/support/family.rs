//! A proxy in processes of its own: the first, and its successors.

use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::{Arc, Mutex};

use rustls::RootCertStore;
use serde_json::Value;
use tempfile::TempDir;

use super::client::plain;
use super::proxy::folder;
use super::{Client, PROGRAM, eventually, soon};

/// All processes of a proxy. They end with this: standard input is theirs together.
pub struct Family {
    pub address: SocketAddr,
    pub admin: SocketAddr,
    pub folder: TempDir,
    pub roots: RootCertStore,
    /// The first process.
    first: Child,
    log: Log,
    _lifeline: ChildStdin,
}

/// What all processes have logged, line by line.
#[derive(Clone, Default)]
pub struct Log(Arc<Mutex<Vec<Value>>>);

impl Log {
    pub fn follow(&self, pipe: impl std::io::Read + Send + 'static) {
        let log = self.clone();
        std::thread::spawn(move || {
            for line in BufReader::new(pipe).lines().map_while(Result::ok) {
                // What is not a line of the log is the last word of a process.
                let line = serde_json::from_str(&line).unwrap_or(Value::String(line));
                log.0.lock().unwrap().push(line);
            }
        });
    }

    /// The lines that `matches`.
    pub fn lines(&self, matches: impl Fn(&Value) -> bool) -> Vec<Value> {
        self.0
            .lock()
            .unwrap()
            .iter()
            .filter(|line| matches(line))
            .cloned()
            .collect()
    }

    /// The lines whose message is `message`: their fields.
    pub fn said(&self, message: &str) -> Vec<Value> {
        let lines = self.lines(|line| line["fields"]["message"] == message);
        lines.into_iter().map(|line| line["fields"].clone()).collect()
    }

    /// Waits until `message` is there for the `times`th time; its fields.
    pub async fn wait_for(&self, message: &str, times: usize) -> Value {
        eventually_or(message, || self.said(message).len() >= times, || self.text()).await;
        self.said(message)[times - 1].clone()
    }

    pub fn text(&self) -> String {
        let lines = self.0.lock().unwrap();
        lines.iter().map(|line| format!("{line}\n")).collect()
    }
}

async fn eventually_or(what: &str, condition: impl Fn() -> bool, otherwise: impl Fn() -> String) {
    let waiting = eventually(what, condition);
    if tokio::time::timeout(super::PATIENCE / 2, waiting).await.is_err() {
        panic!("{what}: not there, but\n{}", otherwise());
    }
}

/// A config of which a family can be started.
pub fn config(folder: &Path, servers: &[String], settings: &str) -> PathBuf {
    let server = match settings.contains("server.listen") {
        true => "",
        false => "server.listen = \"127.0.0.1:0\"\n",
    };
    let text = format!(
        "{server}server.handover = {:?}\nadmin.listen = \"127.0.0.1:0\"\nlog.format = \"json\"\n\
         tls.certificates = [{{ cert = \"leaf.pem\", key = \"key.pem\" }}]\n\
         upstream.servers = {servers:?}\nupstream.ca = {:?}\n{settings}\n",
        folder.join("handover.sock"),
        folder.join("ca.pem")
    );
    let path = folder.join("headpin.toml");
    std::fs::write(&path, text).unwrap();
    path
}

impl Family {
    /// In front of `servers`; `settings` is further TOML, of dotted keys.
    pub async fn start(servers: &[String], settings: &str) -> Self {
        let (folder, roots) = folder();
        Self::in_folder(folder, roots, servers, settings).await
    }

    pub async fn in_folder(folder: TempDir, roots: RootCertStore, servers: &[String], settings: &str) -> Self {
        let path = config(folder.path(), servers, settings);
        let mut first = serve(&path).stdin(Stdio::piped()).spawn().unwrap();
        let log = Log::default();
        log.follow(first.stderr.take().unwrap());
        let lifeline = first.stdin.take().unwrap();
        log.wait_for("listening", 2).await;
        let listens = |role: &str| -> SocketAddr {
            let lines = log.said("listening");
            let line = lines.iter().find(|fields| fields["role"] == role).unwrap();
            line["address"].as_str().unwrap().parse().unwrap()
        };
        Self {
            address: listens("proxy"),
            admin: listens("admin"),
            folder,
            roots,
            first,
            log,
            _lifeline: lifeline,
        }
    }

    pub fn log(&self) -> &Log {
        &self.log
    }

    pub fn config(&self) -> PathBuf {
        self.folder.path().join("headpin.toml")
    }

    pub fn socket(&self) -> PathBuf {
        self.folder.path().join("handover.sock")
    }

    /// The first process.
    pub fn first(&self) -> u32 {
        self.first.id()
    }

    /// The process that serves: the last that a hand-over went to.
    pub fn pid(&self) -> u32 {
        let last = self
            .log
            .said("handed over")
            .last()
            .map(|fields| fields["successor"].as_u64().unwrap());
        last.map_or_else(|| self.first(), |pid| u32::try_from(pid).unwrap())
    }

    /// Runs `headpin upgrade`; whether that went well, and what it said.
    pub async fn try_upgrade(&self) -> (bool, String) {
        let mut command = Command::new(PROGRAM);
        command.arg("upgrade").arg("--socket").arg(self.socket());
        let output = tokio::task::spawn_blocking(move || command.output().unwrap());
        let output = soon("headpin upgrade", output).await.unwrap();
        let said = [output.stdout, output.stderr].concat();
        (output.status.success(), String::from_utf8(said).unwrap())
    }

    /// Runs `headpin upgrade`, which must go well; what it said.
    pub async fn upgrade(&self) -> String {
        let (went_well, said) = self.try_upgrade().await;
        assert!(went_well, "{said}\n{}", self.log.text());
        said
    }

    /// Starts another `serve` of the same config.
    pub fn another(&self) -> Command {
        serve(&self.config())
    }

    pub async fn connect(&self) -> Client {
        soon("connect", Client::connect(self.address, self.roots.clone())).await
    }

    pub async fn tunnel(&self, path: &str) -> Client {
        let mut client = self.connect().await;
        client.upgrade(path, b"").await;
        client
    }

    /// The value of a series without labels, or with those in `series`.
    pub async fn series(&self, series: &str) -> f64 {
        let (status, body) = soon("metrics", plain(self.admin, "GET", "/metrics", "")).await;
        assert_eq!(status, 200);
        let line = body
            .lines()
            .find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
        line.unwrap_or_else(|| panic!("no {series}")).parse().unwrap()
    }
}

impl Drop for Family {
    fn drop(&mut self) {
        // It may have ended long ago. The others end with the pipe.
        let _ = self.first.kill();
        let _ = self.first.wait();
    }
}

fn serve(config: &Path) -> Command {
    let mut command = Command::new(PROGRAM);
    command
        .args(["serve", "--until-stdin-closes", "--config"])
        .arg(config)
        .stdout(Stdio::null())
        .stderr(Stdio::piped());
    command
}
