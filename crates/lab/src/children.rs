//! The proxy and the origin, each as a process of its own: only so is memory the proxy's alone.

use std::fs;
use std::io::{BufRead as _, BufReader, Read};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, anyhow, bail};
use headpin::certificates::{DEVELOPMENT_NAMES, DevelopmentCertificates};
use headpin::observe::labels::{HeadPolicy, RelayPolicy};
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::child;
use super::folder::RunFolder;
use super::scenario::Common;

/// How long a process may take to listen.
const START_PATIENCE: Duration = Duration::from_secs(20);
/// Lines of a process's log that are kept, to be told if it fails.
const KEPT_LINES: usize = 20;

/// What is put behind the settings that every run has.
#[derive(Clone, Copy, Debug)]
pub(super) struct Toggles {
    pub(super) head_policy: HeadPolicy,
    pub(super) relay_policy: RelayPolicy,
}

/// The real proxy with the real origin behind it. Dropped, both are killed.
#[derive(Debug)]
pub(super) struct Stage {
    proxy: Process,
    origin: Process,
    /// Where clients connect.
    pub(super) address: SocketAddr,
    /// Where the admin endpoints are.
    pub(super) admin: SocketAddr,
    /// Where the origin is.
    pub(super) origin_address: SocketAddr,
    /// The authority that clients are to trust.
    pub(super) ca: String,
    /// The same as a file.
    pub(super) ca_file: PathBuf,
    /// The proxy's config, as it was given.
    pub(super) config: String,
    /// Config and certificates; gone with the stage.
    _folder: RunFolder,
}

impl Stage {
    /// Starts both and waits until they listen.
    pub(super) async fn start(common: &Common, toggles: Toggles) -> anyhow::Result<Self> {
        let (origin, mut said) = Process::start(
            "upstream",
            child::upstream(&["--listen", "127.0.0.1:0", "--grace", "100ms"]),
        )?;
        let origin_address = origin
            .listening(&mut said, |line| {
                line.strip_prefix("listening on http://")?.parse().ok()
            })
            .await?;
        let folder = RunFolder::make()?;
        let made = DevelopmentCertificates::make(DEVELOPMENT_NAMES).context("no certificate")?;
        fs::write(folder.path().join("leaf.pem"), &made.leaf)?;
        fs::write(folder.path().join("key.pem"), &made.leaf_key)?;
        let ca_file = folder.path().join("ca.pem");
        fs::write(&ca_file, &made.ca)?;
        let config = config(common, toggles, origin_address);
        let path = folder.path().join("headpin.toml");
        fs::write(&path, &config)?;
        let (proxy, mut said) = Process::start("serve", child::proxy(&["--config", &path.display().to_string()])?)?;
        let address = proxy.listening(&mut said, |line| listens(line, "proxy")).await?;
        let admin = proxy.listening(&mut said, |line| listens(line, "admin")).await?;
        Ok(Self {
            proxy,
            origin,
            address,
            admin,
            origin_address,
            ca: made.ca,
            ca_file,
            config,
            _folder: folder,
        })
    }

    /// The proxy's process.
    pub(super) fn pid(&self) -> u32 {
        self.proxy.child.id()
    }

    /// Why the proxy or the origin is no longer there, if so.
    pub(super) fn failed(&mut self) -> Option<anyhow::Error> {
        [&mut self.proxy, &mut self.origin]
            .into_iter()
            .find_map(Process::failed)
    }
}

fn config(common: &Common, toggles: Toggles, origin: SocketAddr) -> String {
    let Common {
        workers,
        tls_slab,
        tcp_slab,
        ..
    } = common;
    let Toggles {
        head_policy,
        relay_policy,
    } = toggles;
    format!(
        "head_policy = \"{head_policy}\"\nrelay_policy = \"{relay_policy}\"\n\
         [server]\nlisten = \"127.0.0.1:0\"\nworkers = {workers}\ndrain_grace = \"1s\"\n\
         [tls]\ncertificates = [{{ cert = \"leaf.pem\", key = \"key.pem\" }}]\n\
         [slabs]\ntls_capacity = {tls_slab}\ntcp_capacity = {tcp_slab}\n\
         [upstream]\nservers = [\"http://{origin}\"]\n\
         [admin]\nlisten = \"127.0.0.1:0\"\n\
         [log]\nformat = \"json\"\nfilter = \"info\"\naccess = false\n"
    )
}

/// The address in a line of the proxy's log that says where `role` listens.
fn listens(line: &str, role: &str) -> Option<SocketAddr> {
    let line: serde_json::Value = serde_json::from_str(line).ok()?;
    let fields = line.get("fields")?;
    let is = |key: &str, value: &str| fields.get(key).and_then(serde_json::Value::as_str) == Some(value);
    (is("message", "listening") && is("role", role))
        .then(|| fields.get("address")?.as_str()?.parse().ok())
        .flatten()
}

/// One child.
#[derive(Debug)]
struct Process {
    what: &'static str,
    child: Child,
    last: Arc<Mutex<Vec<String>>>,
}

impl Process {
    fn start(what: &'static str, mut command: Command) -> anyhow::Result<(Self, mpsc::UnboundedReceiver<String>)> {
        let mut child = command
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .with_context(|| format!("cannot start headpin {what}"))?;
        let last = Arc::new(Mutex::new(Vec::new()));
        let (tell, told) = mpsc::unbounded_channel();
        let streams: [Option<Box<dyn Read + Send>>; 2] = [
            child.stdout.take().map(|stream| Box::new(stream) as _),
            child.stderr.take().map(|stream| Box::new(stream) as _),
        ];
        for stream in streams.into_iter().flatten() {
            let (tell, last) = (tell.clone(), Arc::clone(&last));
            // Ends with the child's end of the pipe.
            std::thread::spawn(move || {
                for line in BufReader::new(stream).lines().map_while(Result::ok) {
                    let mut last = last.lock().unwrap_or_else(PoisonError::into_inner);
                    last.push(line.clone());
                    let surplus = last.len().saturating_sub(KEPT_LINES);
                    last.drain(..surplus);
                    drop(last);
                    // Nobody listens any more once it has started.
                    _ = tell.send(line);
                }
            });
        }
        Ok((Self { what, child, last }, told))
    }

    /// The address that one of the child's lines tells.
    async fn listening(
        &self,
        said: &mut mpsc::UnboundedReceiver<String>,
        address: impl Fn(&str) -> Option<SocketAddr>,
    ) -> anyhow::Result<SocketAddr> {
        let found = timeout(START_PATIENCE, async {
            while let Some(line) = said.recv().await {
                if let Some(address) = address(&line) {
                    return Some(address);
                }
            }
            None
        });
        match found.await {
            Ok(Some(address)) => Ok(address),
            Ok(None) => bail!("headpin {} ended at once:\n{}", self.what, self.last_words()),
            Err(_) => bail!("headpin {} does not listen:\n{}", self.what, self.last_words()),
        }
    }

    fn last_words(&self) -> String {
        self.last.lock().unwrap_or_else(PoisonError::into_inner).join("\n")
    }

    fn failed(&mut self) -> Option<anyhow::Error> {
        let status = self.child.try_wait().ok()??;
        Some(anyhow!(
            "headpin {} has ended with {status}:\n{}",
            self.what,
            self.last_words()
        ))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // An error means that it has ended.
        _ = self.child.kill();
        _ = self.child.wait();
    }
}
