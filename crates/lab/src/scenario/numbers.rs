//! The numbers of each experiment. Every scenario's file gives all of its own.

use std::time::Duration;

use headpin_settings::kind::{self, Kind, LONGEST, SHORTEST, above_zero, count, mapped, or_word, text};
use headpin_settings::{ByteSize, settings};

/// How often is looked at least: below, looking is all that is done.
const SHORTEST_TICK: Duration = Duration::from_millis(10);

/// A number of bytes from `least`.
fn bytes(least: usize) -> impl Kind<Value = u64> {
    let size = kind::size(ByteSize::new(least)..=ByteSize::new(usize::MAX));
    mapped(size, |size| size.bytes() as u64, |bytes| ByteSize::new(*bytes as usize))
}

/// A length of time, which may be nothing.
fn duration() -> impl Kind<Value = Duration> {
    kind::duration(Duration::ZERO..=LONGEST)
}

settings! {
    /// What every experiment has.
    pub struct Common {
        /// One line about it.
        title: String = text("Long-lived tunnels"), required(r#""Long-lived tunnels""#), at_start;
        /// Makes chance repeatable.
        seed: u64 = mapped(count(0..=usize::MAX), |seed| seed as u64, |seed| *seed as usize), required("1"), at_start;
        /// Threads of the proxy.
        workers: usize = count(1..=64), required("1"), at_start;
        /// Bytes of a tls slab.
        tls_slab: u64 = bytes(0), required(r#""10MiB""#), at_start;
        /// Bytes of a tcp slab.
        tcp_slab: u64 = bytes(0), required(r#""1MiB""#), at_start;
        /// How often is looked.
        tick: Duration = kind::duration(SHORTEST_TICK..=LONGEST), required(r#""500ms""#), at_start;
    }
}

settings! {
    /// Data and tunnels.
    pub struct Traffic {
        /// Data before anything is measured.
        warmup: Duration = duration(), required(r#""5s""#), at_start;
        /// What is measured.
        duration: Duration = duration(), required(r#""100s""#), at_start;
        /// Connections that upload.
        data_connections: usize = count(1..=usize::MAX), required("4"), at_start;
        /// Bytes a second that all of them upload.
        byte_rate: u64 = bytes(1), required(r#""1MB""#), at_start;
        /// Bytes of one upload.
        chunk: u64 = bytes(1), required(r#""100kB""#), at_start;
        /// Tunnels that arrive in a second, on average.
        tunnel_rate: f64 = above_zero(), required("1.0"), at_start;
        /// How long a tunnel lives on average; `None` is forever.
        tunnel_lifetime: Option<Duration> = or_word(kind::duration(SHORTEST..=LONGEST), "forever"),
            required(r#""forever""#), at_start;
        /// Bytes of the message that comes with the upgrade request.
        head_bytes: usize = count(0..=125), required("4"), at_start;
    }
}

settings! {
    /// Idle tunnels and a push.
    pub struct Idle {
        /// How many.
        tunnels: usize = count(1..=usize::MAX), required("5000"), at_start;
        /// New ones in a second at most.
        tunnel_rate: f64 = above_zero(), required("2000.0"), at_start;
        /// How long memory is left alone before it is read.
        settle: Duration = duration(), required(r#""5s""#), at_start;
        /// Bytes of the message.
        message: usize = count(1..=65_536), required("100"), at_start;
    }
}

settings! {
    /// Slow readers.
    pub struct Backpressure {
        /// How many.
        readers: u64 = mapped(count(1..=usize::MAX), |count| count as u64, |count| *count as usize), required("10"), at_start;
        /// Bytes of each download.
        download: u64 = bytes(1), required(r#""64MiB""#), at_start;
        /// Bytes a second that each reader takes.
        read_rate: u64 = bytes(0), required(r#""64KiB""#), at_start;
        /// The kernel's receive buffer of each.
        receive_buffer: u64 = bytes(0), required(r#""64KiB""#), at_start;
        /// Before they come.
        warmup: Duration = duration(), required(r#""5s""#), at_start;
        /// How long they read.
        duration: Duration = duration(), required(r#""30s""#), at_start;
        /// How long memory is watched after they left.
        settle: Duration = duration(), required(r#""10s""#), at_start;
    }
}

settings! {
    /// Bursts, and when a detector is sure.
    pub struct Bursts {
        /// From one burst to the next.
        burst_every: Duration = duration(), required(r#""20s""#), at_start;
        /// Tunnels that come with a burst.
        burst_tunnels: usize = count(0..=usize::MAX), required("300"), at_start;
        /// How long they stay, and the data flows.
        burst_lasts: Duration = duration(), required(r#""6s""#), at_start;
        /// The trend above which a detector suspects a leak.
        threshold: f64 = above_zero(), required("0.05"), at_start;
        /// Samples in a row above it that make it sure.
        confirm: usize = count(1..=usize::MAX), required("10"), at_start;
    }
}

/// A bursty load and two detectors.
#[derive(Clone, Debug)]
pub struct Trend {
    /// The load between bursts.
    pub traffic: Traffic,
    /// The bursts, and when a detector is sure.
    pub bursts: Bursts,
}

/// The experiments, each with its numbers.
#[derive(Clone, Debug)]
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
