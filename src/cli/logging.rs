//! Where the log goes: standard error, as text or JSON.

use std::io::IsTerminal;

use anyhow::Context;
use tracing_subscriber::EnvFilter;

use crate::config::{LogConfig, LogFormat};

/// Starts logging as configured; the environment's `RUST_LOG` wins over the filter.
pub(super) fn start(config: &LogConfig) -> anyhow::Result<()> {
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
        filter = filter.add_directive("headpin::access=off".parse()?);
    }
    let logger = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr);
    let logger = logger.with_ansi(std::io::stderr().is_terminal());
    match config.format {
        LogFormat::Json => logger.json().init(),
        LogFormat::Text => logger.init(),
    }
    Ok(())
}
