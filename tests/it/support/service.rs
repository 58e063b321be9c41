//! `headpin serve` as a service manager runs it: a process of its own that tells by sd_notify(3) how it is.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{ExitStatus, Output, Stdio};

use rustls::RootCertStore;
use tempfile::TempDir;
use tokio::net::UnixDatagram;
use tokio::process::{Child, Command};

use super::{Client, Origin, certificates, soon};

/// The longest message of a service; systemd itself takes no longer ones.
const MESSAGE_MAX: usize = 4096;

/// A running service.
pub struct Service {
    child: Child,
    told: UnixDatagram,
    origin: SocketAddr,
    folder: TempDir,
    roots: RootCertStore,
}

/// The lines of one message.
pub struct Told(Vec<String>);

impl Service {
    /// In front of `origin`; `environment` is what a manager sets further.
    pub fn start(origin: &Origin, environment: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("notify");
        let told = UnixDatagram::bind(&socket).unwrap();
        let made = certificates();
        std::fs::write(folder.path().join("leaf.pem"), &made.leaf).unwrap();
        std::fs::write(folder.path().join("key.pem"), &made.leaf_key).unwrap();
        let mut roots = RootCertStore::empty();
        for certificate in rustls_pemfile::certs(&mut made.ca.as_bytes()) {
            roots.add(certificate.unwrap()).unwrap();
        }
        let config = folder.path().join("headpin.toml");
        std::fs::write(&config, toml(origin.address, "")).unwrap();
        let child = headpin()
            .args(["serve", "--config"])
            .arg(&config)
            .env("NOTIFY_SOCKET", &socket)
            .envs(environment.iter().copied())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        Self {
            child,
            told,
            origin: origin.address,
            folder,
            roots,
        }
    }

    /// The next message.
    pub async fn next(&self) -> Told {
        let mut message = vec![0; MESSAGE_MAX];
        let length = soon("a message", self.told.recv(&mut message)).await.unwrap();
        message.truncate(length);
        Told(String::from_utf8(message).unwrap().lines().map(str::to_owned).collect())
    }

    /// The next message that has `key`.
    pub async fn next_with(&self, key: &str) -> Told {
        loop {
            let told = self.next().await;
            if told.get(key).is_some() {
                return told;
            }
        }
    }

    /// Puts a config in the place of the old one, at once; `settings` is further TOML.
    pub fn write_config(&self, settings: &str) {
        let new = self.folder.path().join("new.toml");
        std::fs::write(&new, toml(self.origin, settings)).unwrap();
        std::fs::rename(new, self.config()).unwrap();
    }

    pub fn config(&self) -> PathBuf {
        self.folder.path().join("headpin.toml")
    }

    pub fn folder(&self) -> &std::path::Path {
        self.folder.path()
    }

    pub async fn signal(&self, name: &str) {
        let pid = self.child.id().expect("it runs").to_string();
        let sent = Command::new("kill").args(["-s", name, &pid]).status().await.unwrap();
        assert!(sent.success());
    }

    /// A client whose upgrade is done.
    pub async fn tunnel(&self, address: SocketAddr) -> Client {
        let mut client = soon("connect", Client::connect(address, self.roots.clone())).await;
        client.upgrade("/echo", b"").await;
        client
    }

    pub async fn ended(mut self) -> ExitStatus {
        soon("the end", self.child.wait()).await.unwrap()
    }
}

impl Told {
    /// The value of `key`.
    pub fn get(&self, key: &str) -> Option<&str> {
        self.0.iter().find_map(|line| line.strip_prefix(key)?.strip_prefix('='))
    }

    /// Where the service listens for clients, and where for its operator.
    pub fn addresses(&self) -> (SocketAddr, SocketAddr) {
        let status = self.get("STATUS").expect("a status");
        let addresses = status.strip_prefix("serving on ").expect("serving");
        let (proxy, admin) = addresses.split_once(", admin on ").expect("two addresses");
        (proxy.parse().unwrap(), admin.parse().unwrap())
    }
}

/// The program, without what the environment of these tests would tell it.
pub fn headpin() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_headpin"));
    for name in [
        "HEADPIN_CONFIG",
        "NOTIFY_SOCKET",
        "WATCHDOG_USEC",
        "WATCHDOG_PID",
        "RUST_LOG",
    ] {
        command.env_remove(name);
    }
    command.stdin(Stdio::null()).kill_on_drop(true);
    command
}

/// What the program says, and how it ends.
pub async fn output(arguments: &[&str]) -> Output {
    soon("the command's end", headpin().args(arguments).output())
        .await
        .unwrap()
}

fn toml(origin: SocketAddr, settings: &str) -> String {
    format!(
        "[server]\nlisten = \"127.0.0.1:0\"\n{settings}\n[tls]\n\
         certificates = [{{ cert = \"leaf.pem\", key = \"key.pem\" }}]\n\
         [upstream]\nservers = [\"http://{origin}\"]\n[admin]\nlisten = \"127.0.0.1:0\"\n"
    )
}
