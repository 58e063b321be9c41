//! `headpin serve`: the proxy.

use std::convert::Infallible;
use std::future::pending;
use std::io::Write as _;
use std::path::PathBuf;
use std::pin::pin;
use std::sync::Arc;

use anyhow::bail;
use clap::Args;
use futures_util::FutureExt as _;
use tokio::runtime::Builder;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;

use super::demo_upstream::DemoUpstream;
use super::logging::Log;
use super::signals::StopSignals;
use super::succession::{self, HandOver, Succession};
use super::{lifeline, logging, manager, watchdog};
use crate::app::{self, Ended, Running};
use crate::config::Config;
use crate::config::UpstreamServer;
use crate::config::watch::{Contents, Watch};
use crate::control::{LifePhase, Workers};
use crate::handover::{self, HiddenDoor, Predecessor, Successor};
use crate::observe::labels::HeadPolicy;
use crate::observe::metrics::Metrics;
use crate::worker::Settings;

/// Runs the proxy
///
/// Without --config it runs on an embedded default: a certificate made now, a demo upstream that echoes (a process of its
/// own), https://localhost:8443, and the admin endpoints on http://127.0.0.1:9900.
///
/// SIGTERM or SIGINT begins the drain, a second one ends at once. SIGHUP reloads the config, and so does a change of the
/// file. SIGUSR2 starts a successor from the program on disk and hands everything over to it, see `headpin upgrade`.
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
    if handover::is_launcher() {
        return Ok(Successor::of_this_process()?.launch()?);
    }
    if until_stdin_closes {
        lifeline::end_with_standard_input()?;
    }
    // What is told of it later would be another path, once the program on disk is another.
    let successor = path.is_some().then(Successor::of_this_process).transpose()?;
    // Signals, reloads and hand-overs; the workers have threads and runtimes of their own.
    let runtime = Builder::new_current_thread().enable_all().build()?;
    let ended = runtime.block_on(async {
        // Before anybody hears that it listens: a signal must find its handler.
        let signals = Signals::listen()?;
        let spawner = handover::predecessor();
        // Before the config is read: who has started this process is told what is wrong with it.
        let mut predecessor = succession::meet(spawner.as_ref(), None).await?;
        match prepare(path, head_policy, &mut predecessor).await {
            Ok(prepared) => prepared.run(signals, predecessor, successor).await,
            Err(error) => {
                if let Some(predecessor) = predecessor {
                    predecessor.give_up(format!("{error:#}")).await;
                }
                Err(error)
            }
        }
    })?;
    if ended.panicked > 0 {
        bail!("{} threads panicked; the log says why", ended.panicked);
    }
    Ok(())
}

/// A proxy that listens, and has not taken anything over yet.
struct Prepared {
    running: Running,
    log: Log,
    /// Where a successor comes to.
    door: Option<HiddenDoor>,
    /// Runs as long as this.
    upstream: Option<DemoUpstream>,
}

/// Everything that can go wrong goes wrong here.
async fn prepare(
    path: Option<PathBuf>,
    head_policy: Option<HeadPolicy>,
    predecessor: &mut Option<Predecessor>,
) -> anyhow::Result<Prepared> {
    let mut config = path
        .as_ref()
        .map_or_else(|| Ok(Config::default()), |path| Settings::read(path))?;
    config.head_policy = head_policy.unwrap_or(config.head_policy);
    let log = logging::start(&config.log)?;
    let address = succession::address(&config.server.handover);
    if predecessor.is_none() {
        *predecessor = succession::meet(None, address.as_ref()).await?;
    }
    let door = address.map(HiddenDoor::new).transpose()?;
    let inherited = match predecessor {
        Some(predecessor) => Some(predecessor.listeners().await?),
        None => None,
    };
    let upstream = path.is_none().then(DemoUpstream::start).transpose()?;
    if let Some(DemoUpstream { address, .. }) = upstream {
        let url = format!("http://{address}").parse()?;
        config.upstream.servers.push(UpstreamServer::new(url));
    }
    let running = app::start(config, path, inherited)?;
    Ok(Prepared {
        running,
        log,
        door,
        upstream,
    })
}

impl Prepared {
    /// Serves until the end.
    async fn run(
        self,
        signals: Signals,
        mut predecessor: Option<Predecessor>,
        successor: Option<Successor>,
    ) -> anyhow::Result<Ended> {
        let Self {
            running,
            log,
            door,
            upstream,
        } = self;
        if upstream.is_some() {
            say_what_to_try(&running);
        }
        if let Some(predecessor) = &mut predecessor
            && !succession::take_over(predecessor, &running).await?
        {
            // The predecessor lives, and has taken back what it could.
            running.drain();
        }
        let succession = Succession::new(door, successor);
        let (workers, life) = (running.workers.clone(), running.life());
        let metrics = Arc::clone(&running.metrics);
        tokio::select! {
            ended = attend(running, signals, succession, predecessor) => ended,
            never = watchdog::follow(&workers, &life, manager::watchdog_period(), |phase| match phase {
                LifePhase::Running => manager::alive(),
                _ => manager::still_stopping(metrics.downstream_connections_open.get()),
            }) => match never {},
            never = log.count_dropped(&metrics.log_lines_dropped_total) => match never {},
        }
    }
}

/// What the process is told from outside.
struct Signals {
    stop: StopSignals,
    hangups: Signal,
    upgrades: Signal,
}

impl Signals {
    fn listen() -> std::io::Result<Self> {
        Ok(Self {
            stop: StopSignals::listen()?,
            hangups: signal(SignalKind::hangup())?,
            upgrades: signal(SignalKind::user_defined2())?,
        })
    }
}

/// Follows signals, file changes and successors until the proxy has ended.
async fn attend(
    running: Running,
    signals: Signals,
    mut succession: Succession,
    predecessor: Option<Predecessor>,
) -> anyhow::Result<Ended> {
    let Signals {
        mut stop,
        mut hangups,
        mut upgrades,
    } = signals;
    let workers = running.workers.clone();
    let metrics = Arc::clone(&running.metrics);
    let mut following = pin!(follow(predecessor, &workers, &metrics).fuse());
    let (changed, mut changes) = mpsc::channel(1);
    let mut watching = watch(&running, Contents::default(), &changed);
    let serving = format!(
        "serving on {}, admin on {}",
        running.proxy_address, running.admin_address
    );
    // Not before signals are listened to: the manager may send one at once.
    manager::ready(&serving);
    let mut given = None;
    loop {
        let by_signal = tokio::select! {
            () = stop.asked() => break,
            () = running.draining() => break,
            _ = hangups.recv() => true,
            _ = changes.recv() => false,
            () = &mut following => {
                // The manager hears this process from now on.
                manager::ready(&serving);
                continue;
            }
            caller = async { tokio::select! {
                caller = succession.caller() => Some(caller),
                _ = upgrades.recv() => None,
            } } => {
                manager::reloading();
                match succession.hand_over(&running, caller, &mut stop).await {
                    HandOver::Given(done) => given = Some(done),
                    HandOver::Stopped => {}
                    HandOver::Failed => {
                        manager::ready(&serving);
                        continue;
                    }
                }
                break;
            }
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
    if given.is_some() {
        tracing::info!("ending what is in a request, and what could not be handed over; a signal ends at once");
    } else {
        manager::stopping();
        tracing::info!("draining: no new connections, tunnels are closed with 1001; a second signal ends at once");
    }
    running.drain();
    let life = running.life();
    let stopped = async {
        stop.asked().await;
        life.enter(LifePhase::Ending);
        // Its end is waited for all the same.
        pending::<Infallible>().await
    };
    let leaving = async {
        if let Some(given) = &mut given {
            given.follow().await;
        }
    };
    let ended = tokio::select! {
        (ended, ()) = async { tokio::join!(running.ended(), leaving) } => ended,
        never = async { tokio::join!(stopped, following) } => match never.0 { },
    };
    tracing::info!(abandoned = ended.abandoned, "ended");
    Ok(ended)
}

/// Goes on with what the predecessor still sends, until it has ended. Never ready without one.
async fn follow(predecessor: Option<Predecessor>, workers: &Workers, metrics: &Metrics) {
    match predecessor {
        Some(mut predecessor) => {
            predecessor.follow(workers).await;
            succession::show(metrics, &mut predecessor);
            let summary = predecessor.summary();
            tracing::info!(
                predecessor = predecessor.pid,
                tunnels = summary.tunnels,
                connections = summary.connections,
                "the predecessor has ended"
            );
        }
        None => pending().await,
    }
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
