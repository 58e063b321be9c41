//! The numbers of each experiment, and how they are read.

use std::time::Duration;

use serde::{Deserialize, Deserializer};
use toml::Value;

use crate::units::{parse_bytes, parse_duration};

/// What every experiment has.
#[derive(Clone, Debug, Deserialize)]
pub struct Common {
    /// One line about it.
    pub title: String,
    /// Makes chance repeatable.
    pub seed: u64,
    /// Threads of the proxy.
    pub workers: usize,
    /// Bytes of a tls slab.
    #[serde(deserialize_with = "bytes")]
    pub tls_slab: u64,
    /// Bytes of a tcp slab.
    #[serde(deserialize_with = "bytes")]
    pub tcp_slab: u64,
    /// How often is looked.
    #[serde(deserialize_with = "duration")]
    pub tick: Duration,
}

/// The experiments, each with its numbers.
#[derive(Clone, Debug, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Experiment {
    /// Tunnels arrive while data fills slabs.
    Head(Traffic),
    /// The four corners.
    Uploads(Traffic),
    /// What an idle tunnel costs.
    Idle(Idle),
    /// Slow readers.
    Backpressure(Backpressure),
    /// A bursty load and two detectors.
    Trend(Trend),
}

/// Data and tunnels.
#[derive(Clone, Debug, Deserialize)]
pub struct Traffic {
    /// Data before anything is measured.
    #[serde(deserialize_with = "duration")]
    pub warmup: Duration,
    /// What is measured.
    #[serde(deserialize_with = "duration")]
    pub duration: Duration,
    /// Connections that upload.
    pub data_connections: usize,
    /// Bytes a second that all of them upload.
    #[serde(deserialize_with = "bytes")]
    pub byte_rate: u64,
    /// Bytes of one upload.
    #[serde(deserialize_with = "bytes")]
    pub chunk: u64,
    /// Tunnels that arrive in a second, on average.
    pub tunnel_rate: f64,
    /// How long a tunnel lives on average; `None` is forever.
    #[serde(deserialize_with = "lifetime")]
    pub tunnel_lifetime: Option<Duration>,
    /// Bytes of the message that comes with the upgrade request.
    pub head_bytes: usize,
}

/// Idle tunnels and a push.
#[derive(Clone, Debug, Deserialize)]
pub struct Idle {
    /// How many.
    pub tunnels: usize,
    /// New ones in a second at most.
    pub tunnel_rate: f64,
    /// How long memory is left alone before it is read.
    #[serde(deserialize_with = "duration")]
    pub settle: Duration,
    /// Bytes of the message.
    pub message: usize,
}

/// Slow readers.
#[derive(Clone, Debug, Deserialize)]
pub struct Backpressure {
    /// How many.
    pub readers: u64,
    /// Bytes of each download.
    #[serde(deserialize_with = "bytes")]
    pub download: u64,
    /// Bytes a second that each reader takes.
    #[serde(deserialize_with = "bytes")]
    pub read_rate: u64,
    /// The kernel's receive buffer of each.
    #[serde(deserialize_with = "bytes")]
    pub receive_buffer: u64,
    /// Before they come.
    #[serde(deserialize_with = "duration")]
    pub warmup: Duration,
    /// How long they read.
    #[serde(deserialize_with = "duration")]
    pub duration: Duration,
    /// How long memory is watched after they left.
    #[serde(deserialize_with = "duration")]
    pub settle: Duration,
}

/// Bursts, and when a detector is sure.
#[derive(Clone, Debug, Deserialize)]
pub struct Trend {
    /// The load between bursts.
    #[serde(flatten)]
    pub traffic: Traffic,
    /// From one burst to the next.
    #[serde(deserialize_with = "duration")]
    pub burst_every: Duration,
    /// Tunnels that come with a burst.
    pub burst_tunnels: usize,
    /// How long they stay, and the data flows.
    #[serde(deserialize_with = "duration")]
    pub burst_lasts: Duration,
    /// The trend above which a detector suspects a leak.
    pub threshold: f64,
    /// Samples in a row above it that make it sure.
    pub confirm: usize,
}

/// A value as it is written, whatever its type: what is accepted is told by who reads it.
fn text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    Ok(match Value::deserialize(deserializer)? {
        Value::String(text) => text,
        other => other.to_string(),
    })
}

fn bytes<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    parse_bytes(&text(deserializer)?).map_err(serde::de::Error::custom)
}

fn duration<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    parse_duration(&text(deserializer)?).map_err(serde::de::Error::custom)
}

fn lifetime<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Duration>, D::Error> {
    let text = text(deserializer)?;
    if text == "forever" {
        return Ok(None);
    }
    match parse_duration(&text) {
        Ok(lifetime) if !lifetime.is_zero() => Ok(Some(lifetime)),
        Ok(_) => Err(serde::de::Error::custom(
            "a lifetime of nothing; accepted: 30s, 5m, forever",
        )),
        Err(why) => Err(serde::de::Error::custom(why + ", forever")),
    }
}
