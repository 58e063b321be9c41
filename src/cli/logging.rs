//! Where the log goes: standard error, as text or JSON.
//!
//! A thread of its own writes it. Whoever reads standard error may stop, and a full pipe stops who writes to it: that must
//! be neither a worker nor the admin thread. While nobody reads, some thousand lines wait and the others are dropped
//! and counted; when the reader is gone for good, all are lost, and nothing else happens.

use std::convert::Infallible;
use std::fmt;
use std::io::{self, IsTerminal, Write};
use std::time::Duration;

use anyhow::Context;
use headpin_ledger as ledger;
use prometheus::IntCounter;
use tokio::time::interval;
use tracing_appender::non_blocking::{ErrorCounter, NonBlocking, NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::EnvFilter;

use crate::config::{LogConfig, LogFormat};
use crate::observe::ACCESS_LOG;

/// Lines that wait for standard error, at most: a second or more of a busy access log, and some hundred KB.
const MOST_LINES: usize = 4096;
/// How often lines that were dropped are counted.
const COUNT_PERIOD: Duration = Duration::from_secs(1);

/// The running log. Dropped, it writes what waits, for at most a second.
pub struct Log {
    _writer: WorkerGuard,
    dropped: ErrorCounter,
}

impl Log {
    /// Adds the lines that are dropped to `counter`, for ever.
    ///
    /// # Cancel safety
    /// What was dropped in the last second is not counted.
    pub async fn count_dropped(&self, counter: &IntCounter) -> Infallible {
        let mut ticks = interval(COUNT_PERIOD);
        loop {
            ticks.tick().await;
            let dropped = self.dropped.dropped_lines() as u64;
            counter.inc_by(dropped.saturating_sub(counter.get()));
        }
    }
}

impl fmt::Debug for Log {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Log")
            .field("dropped", &self.dropped.dropped_lines())
            .finish_non_exhaustive()
    }
}

/// Starts logging as configured; the environment's `RUST_LOG` wins over the filter.
pub fn start(config: &LogConfig) -> anyhow::Result<Log> {
    let mut filter = match EnvFilter::try_from_default_env() {
        Ok(filter) => filter,
        Err(_) => EnvFilter::try_new(&config.filter).with_context(|| {
            format!(
                "log.filter = {:?} is no filter; accepted is a level (info) or directives (info,headpin=debug)",
                config.filter
            )
        })?,
    };
    if !config.access {
        filter = filter.add_directive(format!("{ACCESS_LOG}=off").parse()?);
    }
    let (queue, writer) = NonBlockingBuilder::default()
        .buffered_lines_limit(MOST_LINES)
        .thread_name("log")
        .finish(io::stderr());
    let dropped = queue.error_counter();
    let logger = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(move || Queue(queue.clone()));
    let logger = logger.with_ansi(io::stderr().is_terminal());
    match config.format {
        LogFormat::Json => logger.json().init(),
        LogFormat::Text => logger.init(),
    }
    Ok(Log {
        _writer: writer,
        dropped,
    })
}

/// Takes lines, for the thread that writes them.
struct Queue(NonBlocking);

impl Write for Queue {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        // The line's memory is given back on another thread: no part of what a connection takes.
        ledger::measure(|| self.0.write(line)).0
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}
