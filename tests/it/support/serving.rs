//! A proxy as a process of its own, for what only a process can do: be killed.

use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};

/// `headpin serve`; killed when dropped.
pub struct Serving {
    child: Child,
    pub admin: SocketAddr,
}

impl Serving {
    /// Runs with the config file, whose log must be JSON, and waits until it listens.
    pub fn start(config: &Path) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_headpin"))
            .args(["serve", "--config"])
            .arg(config)
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let admin = lines.find_map(|line| {
            let line: serde_json::Value = serde_json::from_str(&line.unwrap()).ok()?;
            let fields = &line["fields"];
            (fields["role"] == "admin").then(|| fields["address"].as_str().unwrap().parse().unwrap())
        });
        // Who writes to a pipe that nobody reads is stopped.
        std::thread::spawn(move || lines.for_each(drop));
        Self {
            child,
            admin: admin.expect("the proxy listens"),
        }
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}
