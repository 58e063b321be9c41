//! Debian's redis-server on a free port, with its data in a directory of its own.

use std::net::TcpListener;
use std::process::Stdio;

use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio::process::{Child, Command};

use super::wait_for;

/// A running redis-server; killed when dropped.
pub(crate) struct Redis {
    pub(crate) port: u16,
    directory: TempDir,
    server: Child,
}

impl Redis {
    pub(crate) async fn start() -> Self {
        // Redis cannot say which port 0 became, so one is found for it; another process could take it in between,
        // then the start fails loudly.
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let directory = tempfile::tempdir().unwrap();
        let server = Self::spawn(port, &directory).await;
        Self {
            port,
            directory,
            server,
        }
    }

    pub(crate) fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    pub(crate) async fn stop(&mut self) {
        self.server.kill().await.unwrap();
    }

    pub(crate) async fn start_again(&mut self) {
        self.server = Self::spawn(self.port, &self.directory).await;
    }

    /// Runs one redis-cli command; gives what it prints.
    pub(crate) async fn cli(&self, arguments: &[&str]) -> String {
        let port = self.port.to_string();
        let output = Command::new("redis-cli")
            .args(["-p", &port])
            .args(arguments)
            .output()
            .await
            .unwrap();
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }

    async fn spawn(port: u16, directory: &TempDir) -> Child {
        let mut server = Command::new("redis-server")
            .args([
                "--port",
                &port.to_string(),
                "--bind",
                "127.0.0.1",
                "--save",
                "",
                "--appendonly",
                "no",
                "--dir",
            ])
            .arg(directory.path())
            .stdout(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .expect("redis-server is installed");
        wait_for("redis-server's start", async || {
            assert!(server.try_wait().unwrap().is_none(), "redis-server ended at once");
            TcpStream::connect(("127.0.0.1", port)).await.ok()
        })
        .await;
        server
    }
}
