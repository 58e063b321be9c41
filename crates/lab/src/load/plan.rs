//! What a run is to do, as plain data.

use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

use serde::Serialize;

use super::target::{Sources, Target};

/// One run of the generator.
#[derive(Clone, Debug)]
pub struct Plan {
    /// What is loaded.
    pub target: Target,
    /// Whose certificates are good.
    pub trust: Trust,
    /// Local addresses to connect from. Defaults to the kernel's choice.
    pub sources: Sources,
    /// Header fields to add to every request.
    pub headers: Vec<(String, String)>,
    /// New connections per second at most. Defaults to none: as fast as the target takes them.
    pub rate: Option<f64>,
    /// Threads that the connections are spread over. Defaults to 1.
    pub threads: NonZeroUsize,
    /// How long a connection may take to open, and any answer to come. Defaults to 10 s.
    pub timeout: Duration,
    /// The process to watch, with its descendants.
    pub pid: Option<u32>,
    /// What to do.
    pub work: Work,
}

/// Whose certificates are good.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Trust {
    /// Those of the system's authorities.
    #[default]
    System,
    /// Those of the authorities in this PEM file.
    Ca(PathBuf),
    /// Anyone's.
    Anyone,
}

/// Whether TLS sessions are resumed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
pub enum Resume {
    /// Every handshake is a full one.
    #[default]
    Never,
    /// By the tickets of earlier connections.
    Tickets,
}

/// What HTTP transfers travel in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
pub enum Carrier {
    /// Plain requests, kept alive.
    #[default]
    Http,
    /// Messages of a WebSocket.
    Websocket,
}

/// When the measured part ends, if nothing else ends it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Until {
    /// After this long.
    Elapsed(#[serde(serialize_with = "seconds")] Duration),
    /// After so many units of work on each connection; of churn, in all.
    Count(u64),
    /// When it is told to.
    Stopped,
}

/// The kinds of work, each with its numbers.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Work {
    /// Opens tunnels and holds them; counts what is pushed to them.
    Idle {
        /// How many.
        connections: u64,
        /// How long, once all are open.
        until: Until,
    },
    /// Sends messages that come back.
    Echo {
        /// How many tunnels.
        connections: u64,
        /// Bytes of each message.
        size: usize,
        /// Messages that each tunnel has under way.
        in_flight: u64,
        /// Whether each message goes in a TLS record of its own, as browsers write them. Those that are sent at once still
        /// share a write; otherwise they share records as well.
        own_records: bool,
        /// Messages a second of all tunnels together, sent at their time whether or not earlier ones have come back.
        /// `None`: each tunnel sends as soon as fewer than `in_flight` are under way.
        rate: Option<f64>,
        /// How long.
        until: Until,
    },
    /// Connects, upgrades, echoes one message, closes, and again.
    Churn {
        /// How many at once.
        parallel: u64,
        /// Bytes of the message.
        size: usize,
        /// Whether handshakes are resumed.
        resume: Resume,
        /// How long.
        until: Until,
    },
    /// Sends bodies.
    Upload {
        /// How many connections.
        connections: u64,
        /// Bytes of each body.
        size: u64,
        /// In what.
        over: Carrier,
        /// How long.
        until: Until,
    },
    /// Receives bodies.
    Download {
        /// How many connections.
        connections: u64,
        /// Bytes of each body.
        size: u64,
        /// In what.
        over: Carrier,
        /// How long.
        until: Until,
    },
    /// Asks for a large body and reads it slowly.
    Slow {
        /// How many connections.
        connections: u64,
        /// Bytes of the body.
        size: u64,
        /// Bytes read in a second by each; 0 reads nothing.
        read_rate: u64,
        /// The kernel's receive buffer, which would take a large body away from the target.
        receive_buffer: u32,
        /// In what.
        over: Carrier,
        /// How long.
        until: Until,
    },
    /// Sends bytes in the same write as the upgrade request, and holds the tunnel.
    Head {
        /// How many tunnels.
        connections: u64,
        /// Bytes of the message behind the request; none if `None`.
        size: Option<usize>,
        /// The greeting that must come first.
        greet: Greet,
        /// How long they are held, once all are open.
        until: Until,
    },
}

/// What CPU time is told per.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Unit {
    /// A message that came back.
    Message,
    /// A connection: opened, or with churn, opened, used and closed.
    Connection,
    /// 10⁹ payload bytes.
    Gigabyte,
}

/// The greeting that the origin sends in the same write as its 101.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Greet {
    /// None is expected.
    #[default]
    None,
    /// The usual text.
    Text,
    /// So many bytes of the pattern.
    Bytes(usize),
}

impl Work {
    /// Connections that are open at once.
    #[must_use]
    pub fn connections(&self) -> u64 {
        match *self {
            Self::Churn { parallel, .. } => parallel,
            Self::Idle { connections, .. }
            | Self::Echo { connections, .. }
            | Self::Upload { connections, .. }
            | Self::Download { connections, .. }
            | Self::Slow { connections, .. }
            | Self::Head { connections, .. } => connections,
        }
    }

    /// When the measured part ends.
    #[must_use]
    pub fn until(&self) -> Until {
        match *self {
            Self::Idle { until, .. }
            | Self::Echo { until, .. }
            | Self::Churn { until, .. }
            | Self::Upload { until, .. }
            | Self::Download { until, .. }
            | Self::Slow { until, .. }
            | Self::Head { until, .. } => until,
        }
    }

    /// Whether the work is done in plain requests.
    #[must_use]
    pub fn over_http(&self) -> bool {
        match self {
            Self::Upload { over, .. } | Self::Download { over, .. } | Self::Slow { over, .. } => *over == Carrier::Http,
            Self::Idle { .. } | Self::Echo { .. } | Self::Churn { .. } | Self::Head { .. } => false,
        }
    }

    /// What is counted.
    #[must_use]
    pub fn unit(&self) -> Unit {
        match self {
            Self::Echo { .. } => Unit::Message,
            Self::Upload { .. } | Self::Download { .. } => Unit::Gigabyte,
            Self::Idle { .. } | Self::Churn { .. } | Self::Slow { .. } | Self::Head { .. } => Unit::Connection,
        }
    }

    /// The command's name.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Idle { .. } => "idle",
            Self::Echo { .. } => "echo",
            Self::Churn { .. } => "churn",
            Self::Upload { .. } => "upload",
            Self::Download { .. } => "download",
            Self::Slow { .. } => "slow",
            Self::Head { .. } => "head",
        }
    }

    /// The path on `headpin upstream`, where the target names none.
    #[must_use]
    pub fn usual_path(&self) -> String {
        match self {
            Self::Idle { .. } | Self::Echo { .. } | Self::Churn { .. } => "/echo".to_owned(),
            Self::Upload { .. } => "/upload".to_owned(),
            Self::Download {
                over: Carrier::Http,
                size,
                ..
            }
            | Self::Slow {
                over: Carrier::Http,
                size,
                ..
            } => {
                format!("/download/{size}")
            }
            Self::Download {
                over: Carrier::Websocket,
                ..
            }
            | Self::Slow {
                over: Carrier::Websocket,
                ..
            } => "/download".to_owned(),
            Self::Head { greet, .. } => match greet {
                Greet::None => "/echo".to_owned(),
                Greet::Text => "/greet".to_owned(),
                Greet::Bytes(bytes) => format!("/greet/{bytes}"),
            },
        }
    }
}

fn seconds<S: serde::Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64(duration.as_secs_f64())
}
