//! What the proxy says of itself, and the kernel of it, as a series in time.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};

use super::load::{Look, sample_one};

/// How long the admin endpoints may take to answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// One moment of the proxy.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Sample {
    /// Since the measured part began.
    pub seconds: f64,
    /// Resident memory of the proxy's process, as the kernel says.
    pub rss_bytes: f64,
    /// What is allocated, as the allocator says; 0 without jemalloc.
    pub allocated_bytes: f64,
    /// CPU time so far.
    pub cpu_seconds: f64,
    /// CPU time of the generator so far: of the lab's own process, which loads from one thread.
    #[serde(default)]
    pub generator_cpu_seconds: f64,
    /// Slabs of downstream plaintext.
    pub tls: Slabs,
    /// Slabs of upstream plaintext.
    pub tcp: Slabs,
    /// Connections from clients.
    pub connections: f64,
    /// Tunnels that relay.
    pub tunnels: f64,
    /// The usage trend, and how many samples it has.
    pub trend: f64,
    /// Turnovers of tls slabs so far: the usage trend has a sample for each.
    pub turnovers: f64,
}

/// The slabs of one class.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Slabs {
    /// Whose memory exists.
    pub live: f64,
    /// Their capacity.
    pub live_bytes: f64,
    /// Retired and kept alive by a head.
    pub pinned: f64,
    /// Their capacity.
    pub pinned_bytes: f64,
    /// Heads that are held.
    pub heads: f64,
    /// Bytes of these.
    pub head_bytes: f64,
    /// Bytes carved since the proxy began.
    pub carved_bytes: f64,
}

impl Sample {
    /// Capacity of the live slabs of both classes.
    #[must_use]
    pub fn live_bytes(&self) -> f64 {
        self.tls.live_bytes + self.tcp.live_bytes
    }

    /// Capacity of the pinned slabs of both classes.
    #[must_use]
    pub fn pinned_bytes(&self) -> f64 {
        self.tls.pinned_bytes + self.tcp.pinned_bytes
    }

    /// Held heads of both classes.
    #[must_use]
    pub fn heads(&self) -> f64 {
        self.tls.heads + self.tcp.heads
    }

    /// Bytes of the held heads of both classes.
    #[must_use]
    pub fn head_bytes(&self) -> f64 {
        self.tls.head_bytes + self.tcp.head_bytes
    }
}

/// Looks at one proxy.
#[derive(Debug)]
pub(super) struct Observer {
    admin: SocketAddr,
    pid: u32,
    begin: Instant,
}

impl Observer {
    /// Seconds count from now.
    pub(super) fn new(admin: SocketAddr, pid: u32) -> Self {
        Self {
            admin,
            pid,
            begin: Instant::now(),
        }
    }

    pub(super) async fn sample(&self) -> anyhow::Result<Sample> {
        let text = get(self.admin, "/metrics")
            .await
            .context("the proxy does not tell its metrics")?;
        let process = sample_one(self.pid, Look::Brief).context("the proxy's process is gone")?;
        let seconds = self.begin.elapsed().as_secs_f64();
        let series = parse(&text);
        let of = |name: &str| series.get(name).copied().unwrap_or(0.0);
        let slabs = |class: &str| {
            let of = |name: &str| of(&format!("{name}{{class=\"{class}\"}}"));
            Slabs {
                live: of("headpin_slabs_live"),
                live_bytes: of("headpin_slab_live_bytes"),
                pinned: of("headpin_slabs_pinned"),
                pinned_bytes: of("headpin_slab_pinned_bytes"),
                heads: of("headpin_heads_held"),
                head_bytes: of("headpin_head_held_bytes"),
                carved_bytes: of("headpin_slab_carved_bytes_total"),
            }
        };
        Ok(Sample {
            seconds,
            rss_bytes: process.rss_bytes as f64,
            allocated_bytes: of("headpin_allocator_bytes{kind=\"allocated\"}"),
            cpu_seconds: process.cpu_seconds(),
            generator_cpu_seconds: sample_one(std::process::id(), Look::Brief)
                .context("/proc does not tell of the lab itself")?
                .cpu_seconds(),
            tls: slabs("tls"),
            tcp: slabs("tcp"),
            connections: of("headpin_downstream_connections_open"),
            tunnels: of("headpin_tunnels_open"),
            trend: of("headpin_memory_usage_trend_ratio"),
            turnovers: of("headpin_slab_turnovers_total{class=\"tls\"}"),
        })
    }
}

/// `name{labels} value` a line.
fn parse(text: &str) -> HashMap<&str, f64> {
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines
        .filter_map(|line| {
            let (name, value) = line.rsplit_once(' ')?;
            Some((name, value.parse().ok()?))
        })
        .collect()
}

/// One request to the admin endpoints or to the origin.
pub(super) async fn get(address: SocketAddr, path: &str) -> anyhow::Result<String> {
    ask(address, "GET", path, b"").await
}

/// One request on a connection of its own; the body of the answer.
pub(super) async fn ask(address: SocketAddr, method: &str, path: &str, body: &[u8]) -> anyhow::Result<String> {
    let (status, answer) = exchange(address, method, path, body).await?;
    ensure!(
        status == 200,
        "{method} {path} was answered with {status}: {}",
        answer.trim()
    );
    Ok(answer)
}

/// The same with whatever status comes.
pub(super) async fn exchange(
    address: SocketAddr,
    method: &str,
    path: &str,
    body: &[u8],
) -> anyhow::Result<(u16, String)> {
    let asking = async {
        let mut stream = TcpStream::connect(address).await?;
        let head = format!(
            "{method} {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        stream.write_all(&[head.as_bytes(), body].concat()).await?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await?;
        anyhow::Ok(answer)
    };
    let answer = timeout(PATIENCE, asking).await.context("no answer in time")??;
    let answer = String::from_utf8(answer).context("an answer that is no text")?;
    let (head, body) = answer.split_once("\r\n\r\n").context("no answer")?;
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
    Ok((status.context("an answer without a status")?, body.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn series_are_read_by_name_and_labels() {
        let series = parse("# HELP a b\na 3\nb{class=\"tls\"} 1.5e3\nodd\n");
        assert_eq!(
            (series["a"], series["b{class=\"tls\"}"], series.len()),
            (3.0, 1500.0, 2)
        );
    }
}
