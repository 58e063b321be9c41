//! What can be typed after `headpin load`.

use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand};

use crate::lab::load::{Carrier, Greet, Plan, Resume, Sources, Target, Trust, Until, Work};
use crate::lab::units::{parse_bytes, parse_duration};

/// How long work goes on that was given neither a duration nor a count.
const USUAL_DURATION: Duration = Duration::from_secs(10);

#[derive(Clone, Debug, Subcommand)]
pub(super) enum LoadWork {
    /// Open tunnels and hold them; count what is pushed to them
    Idle {
        #[command(flatten)]
        common: Common,
        /// Tunnels
        #[arg(long, short = 'n', value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u64).range(1..))]
        connections: u64,
        #[command(flatten)]
        hold: Hold,
    },
    /// Send messages that come back
    Echo {
        #[command(flatten)]
        common: Common,
        /// Tunnels
        #[arg(long, short = 'n', value_name = "N", default_value_t = 64, value_parser = clap::value_parser!(u64).range(1..))]
        connections: u64,
        /// Bytes of each message
        #[arg(long, value_name = "BYTES", default_value = "128", value_parser = parse_bytes)]
        size: u64,
        /// Messages that each tunnel has under way
        #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..))]
        in_flight: u64,
        #[command(flatten)]
        extent: Extent,
    },
    /// Connect, upgrade, echo one message, close, and again; --count counts connections in all
    Churn {
        #[command(flatten)]
        common: Common,
        /// Connections at once
        #[arg(long, value_name = "N", default_value_t = 8, value_parser = clap::value_parser!(u64).range(1..))]
        parallel: u64,
        /// Bytes of the message
        #[arg(long, value_name = "BYTES", default_value = "128", value_parser = parse_bytes)]
        size: u64,
        /// Whether TLS sessions are resumed
        #[arg(long, value_enum, default_value_t)]
        resume: Resume,
        #[command(flatten)]
        extent: Extent,
    },
    /// Send bodies and check that every byte arrived
    Upload {
        #[command(flatten)]
        common: Common,
        #[command(flatten)]
        transfer: Transfer,
        #[command(flatten)]
        extent: Extent,
    },
    /// Receive bodies and verify them
    Download {
        #[command(flatten)]
        common: Common,
        #[command(flatten)]
        transfer: Transfer,
        #[command(flatten)]
        extent: Extent,
    },
    /// Ask for a large body and read it slowly
    Slow {
        #[command(flatten)]
        common: Common,
        #[command(flatten)]
        transfer: Transfer,
        /// Bytes that each connection reads in a second; 0 reads nothing
        #[arg(long, value_name = "BYTES", default_value = "16KiB", value_parser = parse_bytes)]
        read_rate: u64,
        /// The kernel's receive buffer of each connection
        #[arg(long, value_name = "BYTES", default_value = "64KiB", value_parser = parse_bytes)]
        receive_buffer: u64,
        /// How long
        #[arg(long, value_name = "TIME", default_value = "10s", value_parser = parse_duration)]
        duration: Duration,
    },
    /// Send bytes in the same write as the upgrade request, verify that they come back once and in order, hold the tunnels
    Head {
        #[command(flatten)]
        common: Common,
        /// Tunnels
        #[arg(long, short = 'n', value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u64).range(1..))]
        connections: u64,
        /// Bytes of the message behind the request
        #[arg(long, value_name = "BYTES", default_value = "64", value_parser = parse_bytes)]
        size: u64,
        /// Send nothing behind the request; of use with --greet
        #[arg(long, conflicts_with = "size")]
        no_head: bool,
        /// Expect the origin's greeting, in one write with its 101: its usual text, or so many bytes
        #[arg(long, value_name = "BYTES", num_args = 0..=1, require_equals = true, value_parser = parse_bytes)]
        greet: Option<Option<u64>>,
        #[command(flatten)]
        hold: Hold,
    },
}

#[derive(Args, Clone, Debug)]
pub(super) struct Common {
    /// wss://host[:port][/path], or ws, https, http; without a path, that of `headpin upstream` for this work; {n} in the
    /// path is the connection's number
    target: Target,
    /// Trust the authorities in this PEM file
    #[arg(long, value_name = "FILE", conflicts_with = "insecure")]
    ca: Option<PathBuf>,
    /// Trust any certificate
    #[arg(long)]
    insecure: bool,
    /// Local addresses to connect from, in turn; each has about 28,000 ports
    #[arg(long, value_name = "FROM-TO")]
    source: Option<Sources>,
    /// New connections per second, at most
    #[arg(long, value_name = "PER_SECOND", value_parser = parse_rate, allow_negative_numbers = true)]
    rate: Option<f64>,
    /// Threads
    #[arg(long, value_name = "N", default_value = "1")]
    threads: NonZeroUsize,
    /// How long a connection may take to open, or an answer to come
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = parse_duration)]
    timeout: Duration,
    /// A header field to add to every request; may be given several times
    #[arg(long = "header", value_name = "NAME: VALUE", value_parser = parse_header)]
    headers: Vec<(String, String)>,
    /// Watch this process and its descendants: CPU, RSS, PSS
    #[arg(long, value_name = "PID")]
    pid: Option<u32>,
    /// Print the report as one line of JSON
    #[arg(long)]
    pub(super) json: bool,
    /// Print a line when all connections are open
    #[arg(long)]
    pub(super) announce_ready: bool,
}

/// Until when tunnels are held.
#[derive(Args, Clone, Debug)]
pub(super) struct Hold {
    /// Hold them for so long once all are open; without it, until Ctrl-C
    #[arg(long, value_name = "TIME", value_parser = parse_duration, conflicts_with = "until_stdin_closes")]
    hold: Option<Duration>,
    /// Hold them until standard input closes
    #[arg(long)]
    until_stdin_closes: bool,
}

#[derive(Args, Clone, Debug)]
pub(super) struct Extent {
    /// How long [default: 10s]
    #[arg(long, value_name = "TIME", value_parser = parse_duration, conflicts_with = "count")]
    duration: Option<Duration>,
    /// How often, on each connection
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    count: Option<u64>,
}

#[derive(Args, Clone, Debug)]
pub(super) struct Transfer {
    /// Connections
    #[arg(long, short = 'n', value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u64).range(1..))]
    connections: u64,
    /// Bytes of each body
    #[arg(long, value_name = "BYTES", default_value = "16MiB", value_parser = parse_bytes)]
    size: u64,
    /// What it travels in
    #[arg(long, value_enum, default_value_t)]
    over: Carrier,
}

impl LoadWork {
    /// The options that all kinds share, the work, and whether standard input ends it.
    pub(super) fn into_parts(self) -> anyhow::Result<(Common, Work, bool)> {
        Ok(match self {
            Self::Idle {
                common,
                connections,
                hold,
            } => (
                common,
                Work::Idle {
                    connections,
                    until: hold.until(),
                },
                hold.until_stdin_closes,
            ),
            Self::Echo {
                common,
                connections,
                size,
                in_flight,
                extent,
            } => {
                let size = usize::try_from(size)?;
                (
                    common,
                    Work::Echo {
                        connections,
                        size,
                        in_flight,
                        until: extent.until(),
                    },
                    false,
                )
            }
            Self::Churn {
                common,
                parallel,
                size,
                resume,
                extent,
            } => {
                let size = usize::try_from(size)?;
                (
                    common,
                    Work::Churn {
                        parallel,
                        size,
                        resume,
                        until: extent.until(),
                    },
                    false,
                )
            }
            Self::Upload {
                common,
                transfer:
                    Transfer {
                        connections,
                        size,
                        over,
                    },
                extent,
            } => (
                common,
                Work::Upload {
                    connections,
                    size,
                    over,
                    until: extent.until(),
                },
                false,
            ),
            Self::Download {
                common,
                transfer:
                    Transfer {
                        connections,
                        size,
                        over,
                    },
                extent,
            } => (
                common,
                Work::Download {
                    connections,
                    size,
                    over,
                    until: extent.until(),
                },
                false,
            ),
            Self::Slow {
                common,
                transfer,
                read_rate,
                receive_buffer,
                duration,
            } => {
                let Transfer {
                    connections,
                    size,
                    over,
                } = transfer;
                let receive_buffer = u32::try_from(receive_buffer)?;
                let until = Until::Elapsed(duration);
                (
                    common,
                    Work::Slow {
                        connections,
                        size,
                        read_rate,
                        receive_buffer,
                        over,
                        until,
                    },
                    false,
                )
            }
            Self::Head {
                common,
                connections,
                size,
                no_head,
                greet,
                hold,
            } => {
                let size = (!no_head).then(|| usize::try_from(size)).transpose()?;
                let greet = match greet {
                    None => Greet::None,
                    Some(None) => Greet::Text,
                    Some(Some(bytes)) => Greet::Bytes(usize::try_from(bytes)?),
                };
                (
                    common,
                    Work::Head {
                        connections,
                        size,
                        greet,
                        until: hold.until(),
                    },
                    hold.until_stdin_closes,
                )
            }
        })
    }
}

impl Hold {
    fn until(&self) -> Until {
        self.hold.map_or(Until::Stopped, Until::Elapsed)
    }
}

impl Extent {
    fn until(&self) -> Until {
        self.count
            .map_or_else(|| Until::Elapsed(self.duration.unwrap_or(USUAL_DURATION)), Until::Count)
    }
}

impl Common {
    pub(super) fn into_plan(self, work: Work) -> Plan {
        let trust = match self.ca {
            Some(file) => Trust::Ca(file),
            None if self.insecure => Trust::Anyone,
            None => Trust::System,
        };
        Plan {
            target: self.target,
            trust,
            sources: self.source.unwrap_or_default(),
            headers: self.headers,
            rate: self.rate,
            threads: self.threads,
            timeout: self.timeout,
            pid: self.pid,
            work,
        }
    }
}

fn parse_rate(text: &str) -> Result<f64, String> {
    let rate = text.parse::<f64>().ok().filter(|rate| rate.is_finite() && *rate > 0.0);
    rate.ok_or_else(|| format!("{text:?} is no rate; accepted: a number above 0, such as 500 or 0.5"))
}

fn parse_header(text: &str) -> Result<(String, String), String> {
    let refused = || format!("{text:?} is no header field; accepted: \"name: value\"");
    let (name, value) = text.split_once(':').ok_or_else(refused)?;
    http::HeaderName::try_from(name.trim()).map_err(|_| refused())?;
    http::HeaderValue::try_from(value.trim()).map_err(|_| refused())?;
    Ok((name.trim().to_owned(), value.trim().to_owned()))
}
