//! `headpin serve`: the proxy.

use std::io::Write as _;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::bail;
use clap::Args;
use tokio::runtime::Builder;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;

use super::demo_upstream::DemoUpstream;
use super::signals::StopSignals;
use super::{lifeline, logging, manager, watchdog};
use crate::app::{self, Ended, Running};
use crate::config::Config;
use crate::config::UpstreamServer;
use crate::config::watch::{Contents, Watch};
use crate::control::LifePhase;
use crate::observe::labels::HeadPolicy;
use crate::worker::Settings;

/// Runs the proxy
///
/// Without --config it runs on an embedded default: a certificate made now, a demo upstream that echoes (a process of its
/// own), https://localhost:8443, and the admin endpoints on http://127.0.0.1:9900.
///
/// SIGTERM or SIGINT begins the drain, a second one ends at once. SIGHUP reloads the config, and so does a change of the
/// file.
#[derive(Debug, Args)]
pub(super) struct ServeCommand {
    /// The config file
    #[arg(short, long, value_name = "FILE", env = "HEADPIN_CONFIG")]
    config: Option<PathBuf>,
    /// The policy to start with, instead of the config's
    #[arg(long, value_name = "POLICY")]
    head_policy: Option<HeadPolicy>,
    /// End at once when standard input closes: whoever holds its other end is gone
    #[arg(long, hide = true)]
    until_stdin_closes: bool,
}

impl ServeCommand {
    pub(super) fn run(self) -> anyhow::Result<()> {
        serve(self)
    }
}

fn serve(command: ServeCommand) -> anyhow::Result<()> {
    let ServeCommand {
        config: path,
        head_policy,
        until_stdin_closes,
    } = command;
    if until_stdin_closes {
        lifeline::end_with_standard_input()?;
    }
    let mut config = path
        .as_ref()
        .map_or_else(|| Ok(Config::default()), |path| Settings::read(path))?;
    config.head_policy = head_policy.unwrap_or(config.head_policy);
    let log = logging::start(&config.log)?;

    let embedded = path.is_none();
    // Runs until this function returns.
    let upstream = embedded.then(DemoUpstream::start).transpose()?;
    if let Some(DemoUpstream { address, .. }) = upstream {
        let url = format!("http://{address}").parse()?;
        config.upstream.servers.push(UpstreamServer::new(url));
    }
    // Signals and reloads; the workers have threads and runtimes of their own.
    let runtime = Builder::new_current_thread().enable_all().build()?;
    let ended = runtime.block_on(async {
        // Before anybody hears that it listens: a signal must find its handler.
        let signals = Signals::listen()?;
        let running = app::start(config, path)?;
        if embedded {
            say_what_to_try(&running);
        }
        let (workers, life) = (running.workers.clone(), running.life());
        let metrics = Arc::clone(&running.metrics);
        tokio::select! {
            ended = attend(running, signals) => ended,
            never = watchdog::follow(&workers, &life, manager::watchdog_period(), |phase| match phase {
                LifePhase::Running => manager::alive(),
                _ => manager::still_stopping(metrics.downstream_connections_open.get()),
            }) => match never {},
            never = log.count_dropped(&metrics.log_lines_dropped_total) => match never {},
        }
    })?;
    if ended.panicked > 0 {
        bail!("{} threads panicked; the log says why", ended.panicked);
    }
    Ok(())
}

/// What the process is told from outside.
struct Signals {
    stop: StopSignals,
    hangups: Signal,
}

impl Signals {
    fn listen() -> std::io::Result<Self> {
        Ok(Self {
            stop: StopSignals::listen()?,
            hangups: signal(SignalKind::hangup())?,
        })
    }
}

/// Follows signals and file changes until the proxy has ended.
async fn attend(running: Running, signals: Signals) -> anyhow::Result<Ended> {
    let Signals { mut stop, mut hangups } = signals;
    let (changed, mut changes) = mpsc::channel(1);
    let mut watching = watch(&running, Contents::default(), &changed);
    let serving = format!(
        "serving on {}, admin on {}",
        running.proxy_address, running.admin_address
    );
    // Not before signals are listened to: the manager may send one at once.
    manager::ready(&serving);
    loop {
        let by_signal = tokio::select! {
            () = stop.asked() => break,
            () = running.draining() => break,
            _ = hangups.recv() => true,
            _ = changes.recv() => false,
        };
        tracing::info!(
            by = if by_signal { "SIGHUP" } else { "a change of the file" },
            "reloading the config"
        );
        manager::reloading();
        // Before it is read: what changes from now on makes another reload.
        let seen = running.look_at_files();
        match running.reload().await {
            Ok(reloaded) => {
                // It may name other files now.
                drop(watching);
                watching = watch(&running, seen, &changed);
                manager::ready(&match reloaded.needs_restart.as_slice() {
                    [] => serving.clone(),
                    keys => format!("{serving}; a restart is needed for {}", keys.join(", ")),
                });
            }
            Err(error) => manager::ready(&format!(
                "{serving}; the last reload failed, nothing has changed: {error}"
            )),
        }
    }
    running.drain();
    manager::stopping();
    tracing::info!("draining: no new connections, tunnels are closed with 1001; a second signal ends at once");
    let life = running.life();
    let ended = running.ended();
    tokio::pin!(ended);
    let ended = tokio::select! {
        ended = &mut ended => ended,
        () = stop.asked() => {
            life.enter(LifePhase::Ending);
            ended.await
        }
    };
    tracing::info!(abandoned = ended.abandoned, "ended");
    Ok(ended)
}

fn watch(running: &Running, seen: Contents, changed: &mpsc::Sender<()>) -> Option<Watch> {
    let changed = changed.clone();
    // A full channel means that a reload is about to happen anyway.
    let watching = running.watch(seen, move || {
        let _ = changed.try_send(());
    });
    watching
        .inspect_err(|error| {
            tracing::warn!(
                error = error as &dyn std::error::Error,
                "the config is not watched; reload it by SIGHUP"
            );
        })
        .ok()
}

fn say_what_to_try(running: &Running) {
    let (proxy, admin) = (running.proxy_address, running.admin_address);
    let port = proxy.port();
    // Whoever does not read this is not told, and that is all.
    let _ = writeln!(
        std::io::stdout(),
        "\nheadpin runs on an embedded default, with a certificate made just now and a demo upstream that echoes.\n\
         Try, in another terminal:\n\n  \
         curl -k https://localhost:{port}/\n  \
         curl -s http://{admin}/metrics | grep headpin_slab\n  \
         curl -s http://{admin}/api/slabs\n  \
         curl -X PUT http://{admin}/api/head_policy -d '{{\"head_policy\": \"pin\"}}'\n\n\
         WebSocket echo: wss://localhost:{port}/echo. Ctrl-C drains and ends. A config of your own: --config FILE.\n"
    );
}
