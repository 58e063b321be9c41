//! `headpin upstream`: the demo origin.

use std::io::Write as _;
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Context as _;
use clap::Args;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::units::{parse_bytes, parse_duration};
use crate::upstream::{Origin, UpstreamOptions};
use headpin::config::LogConfig;

/// Runs the demo origin: echo, greeting, upload, download, and pushed messages
///
/// `GET /` on it lists its endpoints.
#[derive(Args, Clone, Debug)]
pub(super) struct UpstreamCommand {
    /// Where to listen; port 0 takes a free one
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:9000", value_parser = parse_address)]
    listen: SocketAddr,
    /// Push what is published on this Redis; without it a broker is embedded
    #[arg(long, value_name = "redis://HOST[:PORT]")]
    redis: Option<String>,
    /// The largest WebSocket message that is echoed
    #[arg(long, value_name = "BYTES", default_value = "64MiB", value_parser = parse_bytes)]
    max_message: u64,
    /// How long connections may take to end after Ctrl-C
    #[arg(long, value_name = "TIME", default_value = "5s", value_parser = parse_duration)]
    grace: Duration,
    /// End at once when standard input closes: whoever holds its other end is gone
    #[arg(long, hide = true)]
    until_stdin_closes: bool,
}

impl UpstreamCommand {
    /// Runs until Ctrl-C or SIGTERM.
    ///
    /// # Errors
    /// If the address cannot be bound, or Redis cannot be reached.
    pub(super) fn run(self) -> anyhow::Result<()> {
        if self.until_stdin_closes {
            headpin::cli::lifeline::end_with_standard_input()?;
        }
        // What happens while it runs: Redis is away, no file is left.
        let _log = headpin::cli::logging::start(&LogConfig {
            filter: "headpin=warn,headpin_lab=warn".to_owned(),
            ..LogConfig::default()
        })?;
        // Each connection is a file; a soft limit below the hard one would only refuse some of them.
        _ = rlimit::increase_nofile_limit(u64::MAX);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(async {
            let listener = TcpListener::bind(self.listen)
                .await
                .with_context(|| format!("cannot listen on {}; choose another with --listen", self.listen))?;
            let address = listener.local_addr()?;
            let shutdown = CancellationToken::new();
            let options = UpstreamOptions {
                redis: self.redis,
                max_message: usize::try_from(self.max_message)?,
                grace: self.grace,
            };
            let mut signals = headpin::cli::signals::StopSignals::listen()?;
            let origin = tokio::select! {
                started = Origin::start(options, shutdown.clone()) => started?,
                () = signals.asked() => return Ok(()),
            };
            // Not before: who reads this may rely on it.
            writeln!(std::io::stdout(), "listening on http://{address}")?;
            let serving = origin.serve(listener);
            tokio::pin!(serving);
            tokio::select! {
                () = serving.as_mut() => {}
                () = signals.asked() => {
                    shutdown.cancel();
                    serving.await;
                }
            }
            Ok(())
        })
    }
}

fn parse_address(text: &str) -> Result<SocketAddr, String> {
    text.parse()
        .map_err(|_| format!("{text:?} is no address; accepted: IP:PORT, such as 127.0.0.1:9000 or [::1]:0"))
}
