//! Options that several kinds of work share.

use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use crate::cli::values::parse_rate;
use crate::load::{Carrier, Plan, Sources, Target, Trust, Until, Work};
use crate::units::{parse_bytes, parse_duration};

/// How long work goes on that was given neither a duration nor a count.
const USUAL_DURATION: Duration = Duration::from_secs(10);

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
    pub(super) until_stdin_closes: bool,
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
    pub(super) connections: u64,
    /// Bytes of each body
    #[arg(long, value_name = "BYTES", default_value = "16MiB", value_parser = parse_bytes)]
    pub(super) size: u64,
    /// What it travels in
    #[arg(long, value_enum, default_value_t)]
    pub(super) over: Carrier,
}

impl Hold {
    pub(super) fn until(&self) -> Until {
        self.hold.map_or(Until::Stopped, Until::Elapsed)
    }
}

impl Extent {
    pub(super) fn until(&self) -> Until {
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

fn parse_header(text: &str) -> Result<(String, String), String> {
    let refused = || format!("{text:?} is no header field; accepted: \"name: value\"");
    let (name, value) = text.split_once(':').ok_or_else(refused)?;
    http::HeaderName::try_from(name.trim()).map_err(|_| refused())?;
    http::HeaderValue::try_from(value.trim()).map_err(|_| refused())?;
    Ok((name.trim().to_owned(), value.trim().to_owned()))
}
