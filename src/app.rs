//! The one place where everything is put together: a [`Config`] becomes bound sockets and running threads.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::AsFd as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread::JoinHandle;

use arc_swap::ArcSwap;
use headpin_ledger::Ledgers;
use headpin_tls::{TicketKeys, TlsAcceptor};
use prometheus::Registry;
use tokio::sync::{Semaphore, watch};

use crate::admin::{self, AdminState, Dumps, Presence};
use crate::config::Config;
use crate::config::watch::{Contents, Watch, WatchError, watch};
use crate::control::{self, Life, LifePhase, PolicySwitch, ReloadError, Reloaded, Reloader, UpstreamMonitor, Workers};
use crate::control::{WorkerSettings, WorkerThread};
use crate::handover::{Estate, Inherited};
use crate::observe::memory::{self, Trend};
use crate::observe::metrics::Metrics;
use crate::sockets;
use crate::worker::{LoadError, Settings, Shared};

/// File descriptors that are not for connections: listeners, event queues, logs, admin clients, config files.
const RESERVED_FILES: u64 = 200;
/// Each connection has a socket to the client and one to the upstream.
const FILES_PER_CONNECTION: u64 = 2;

/// Why the proxy cannot start. The operator's fault.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// An address cannot be listened on.
    #[error("cannot listen on {address} (set {key} to another address, or end what listens there)")]
    Listen {
        /// Which address.
        address: SocketAddr,
        /// The config key it comes from.
        key: &'static str,
        /// What the kernel says.
        #[source]
        source: io::Error,
    },
    /// The config names something that cannot be used.
    #[error(transparent)]
    Settings(#[from] LoadError),
    /// No randomness for ticket keys.
    #[error("TLS cannot be set up")]
    Tls(#[from] rustls::Error),
    /// A series has a name twice: the registry was used before.
    #[error("metrics cannot be registered")]
    Metrics(#[from] prometheus::Error),
    /// No thread or event queue.
    #[error("a thread cannot be started")]
    Thread(#[source] io::Error),
    /// The limit on open files is too low for a single connection.
    #[error("the limit on open files is {limit}, too low; raise it (ulimit -n) to at least {}", RESERVED_FILES * 2)]
    Files {
        /// The hard limit.
        limit: u64,
    },
    /// The limit on open files is too low for what the predecessor has.
    #[error(
        "the limit on open files is {limit}, too low for the connections of the headpin that runs; raise it (ulimit -n) to at \
         least {needed}"
    )]
    TooManyComing {
        /// The hard limit.
        limit: u64,
        /// What they take.
        needed: u64,
    },
}

/// A running proxy.
#[derive(Debug)]
pub struct Running {
    /// Where clients connect.
    pub proxy_address: SocketAddr,
    /// Where the admin endpoints are.
    pub admin_address: SocketAddr,
    /// Every series.
    pub metrics: Arc<Metrics>,
    /// Asked for slabs and connections.
    pub workers: Workers,
    /// The policy in force.
    pub policy: Arc<PolicySwitch>,
    reloader: Arc<Reloader>,
    life: Life,
    threads: Vec<WorkerThread>,
    admin: JoinHandle<()>,
    /// What tickets are sealed with, unless the config has that.
    tickets: Arc<TicketKeys>,
    /// Whether the admin endpoints are here.
    presence: watch::Sender<Presence>,
    admin_socket: TcpListener,
    /// Where the config has both addresses.
    configured: (SocketAddr, SocketAddr),
}

/// How a proxy ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ended {
    /// Connections that were still open at the end of the grace.
    pub abandoned: usize,
    /// Workers that panicked.
    pub panicked: usize,
}

/// Binds both addresses and starts all threads. `path` is the file that `config` came from, for reloads.
///
/// # Errors
/// [`StartError`]; then nothing runs.
///
/// What is `inherited` from another process is listened on instead, where the config says the same. Then nothing is accepted before
/// the workers are told to.
pub fn start(config: Config, path: Option<PathBuf>, inherited: Option<Inherited>) -> Result<Running, StartError> {
    let registry = Registry::new();
    let metrics = Metrics::register(&registry)?;
    let trend = Arc::new(Trend::default());
    let ledgers = Arc::new(Ledgers::default());
    memory::give_back_soon();
    let acceptor = TlsAcceptor::new()?;
    if let Some(keys) = inherited.as_ref().and_then(|inherited| inherited.tickets.as_ref()) {
        acceptor.tickets().adopt(keys)?;
    }
    let tickets = Arc::clone(acceptor.tickets());
    let life = Life::default();
    let connections = connections(&config, inherited.as_ref().map_or(0, |inherited| inherited.sockets))?;
    let (workers, policy) = (config.server.workers.get(), config.head_policy);
    let requests = config.http.max_requests.get();
    let dump_timeout = config.admin.dump_timeout;

    let accepts = inherited.is_none();
    let mut inherited = inherited.unwrap_or_default();
    let proxy_listen = config.server.listen;
    let (address, listeners) = listeners(proxy_listen, workers, inherited.proxy(proxy_listen))?;
    let admin_listen = config.admin.listen;
    let hosts = config.admin.hosts.as_slice().into();
    let listen_error = |source| StartError::Listen {
        address: admin_listen,
        key: "admin.listen",
        source,
    };
    let admin_listener = match inherited.admin(admin_listen) {
        Some((_, listener)) => listener,
        None => sockets::listen_alone(admin_listen).map_err(listen_error)?,
    };
    let admin_address = admin_listener.local_addr().map_err(listen_error)?;
    let admin_socket = admin_listener.try_clone().map_err(listen_error)?;

    let settings = Settings::load(config, 0, &acceptor, &metrics, None)?;
    let shared = Arc::new(Shared {
        settings: ArcSwap::from_pointee(settings),
        metrics: Arc::clone(&metrics),
        connections: Arc::new(Semaphore::new(connections)),
        requests: Arc::new(Semaphore::new(requests)),
    });
    let monitor = UpstreamMonitor::default();
    control::put_in_force(&shared, None, &monitor);
    metrics.set_head_policy(policy);
    let mut threads = Vec::with_capacity(workers);
    for (index, listeners) in listeners.into_iter().enumerate() {
        let settings = WorkerSettings {
            index,
            workers,
            listeners,
            accepts,
            policy,
            shared: Arc::clone(&shared),
            trend: Arc::clone(&trend),
            ledgers: Arc::clone(&ledgers),
            life: life.clone(),
        };
        threads.push(WorkerThread::start(settings).map_err(StartError::Thread)?);
    }
    let workers = Workers::new(threads.iter().map(WorkerThread::handle).collect());
    let policy = Arc::new(PolicySwitch::new(policy, workers.clone(), Arc::clone(&metrics)));
    let reloader = Reloader::new(path, acceptor, Arc::clone(&shared), Arc::clone(&policy), monitor);
    let reloader = Arc::new(reloader);
    let state = AdminState {
        registry,
        metrics: Arc::clone(&metrics),
        trend,
        ledgers,
        workers: workers.clone(),
        policy: Arc::clone(&policy),
        reloader: Arc::clone(&reloader),
        shared,
        life: life.clone(),
        hosts,
        asking_for_sockets: Arc::default(),
        dumps: Dumps::new(dump_timeout, &metrics),
    };
    let presence = watch::Sender::new(Presence::Here);
    let admin = admin::start(admin_listener, state, presence.subscribe()).map_err(StartError::Thread)?;
    tracing::info!(role = "proxy", %address, "listening");
    tracing::info!(role = "admin", address = %admin_address, "listening");
    Ok(Running {
        proxy_address: address,
        admin_address,
        metrics,
        workers,
        policy,
        reloader,
        life,
        threads,
        admin,
        tickets,
        presence,
        admin_socket,
        configured: (proxy_listen, admin_listen),
    })
}

/// The listeners of each of `workers` workers at `address`, which is returned as it is bound. Those that are `inherited` are all
/// used: to close one is to reset who waits in its backlog.
fn listeners(
    address: SocketAddr,
    workers: usize,
    inherited: Option<(SocketAddr, Vec<TcpListener>)>,
) -> Result<(SocketAddr, Vec<Vec<TcpListener>>), StartError> {
    let (mut address, inherited) = inherited.unwrap_or((address, Vec::new()));
    let mut all: Vec<_> = (0..workers).map(|_| Vec::new()).collect();
    for (index, listener) in inherited.into_iter().enumerate() {
        all[index % workers].push(listener);
    }
    for of_worker in all.iter_mut().filter(|listeners| listeners.is_empty()) {
        let listener = sockets::listen_shared(address);
        let bound = listener.and_then(|listener| listener.local_addr().map(|address| (listener, address)));
        let (listener, bound) = bound.map_err(|source| StartError::Listen {
            address,
            key: "server.listen",
            source,
        })?;
        // Port 0 is chosen once; the others share it.
        address = bound;
        of_worker.push(listener);
    }
    Ok((address, all))
}

/// How many open files the proxy needs to have so many connections at once.
#[must_use]
pub const fn files_for(connections: u64) -> u64 {
    RESERVED_FILES.saturating_add(connections.saturating_mul(FILES_PER_CONNECTION))
}

/// How many connections may be open at once.
/// `coming` sockets come from another process.
fn connections(config: &Config, coming: u64) -> Result<usize, StartError> {
    let limit = rlimit::increase_nofile_limit(u64::MAX).unwrap_or(1024);
    let needed = RESERVED_FILES.saturating_add(coming);
    if needed > limit {
        return Err(StartError::TooManyComing { limit, needed });
    }
    let possible = limit.saturating_sub(RESERVED_FILES) / FILES_PER_CONNECTION;
    if possible == 0 {
        return Err(StartError::Files { limit });
    }
    let possible = usize::try_from(possible)
        .unwrap_or(Semaphore::MAX_PERMITS)
        .min(Semaphore::MAX_PERMITS);
    let wanted = config
        .server
        .max_connections
        .map_or(possible, std::num::NonZeroUsize::get);
    if wanted > possible {
        tracing::warn!(
            wanted,
            possible,
            "the limit on open files allows fewer than server.max_connections"
        );
    }
    Ok(wanted.min(possible))
}

impl Running {
    /// Reads the config file again; see [`Reloader::reload`].
    ///
    /// # Errors
    /// [`ReloadError`]; then nothing has changed.
    ///
    /// # Cancel safety
    /// As [`Reloader::reload`].
    pub async fn reload(&self) -> Result<Reloaded, ReloadError> {
        self.reloader.reload().await
    }

    /// The content of the config file, and of those that it names.
    #[must_use]
    pub fn look_at_files(&self) -> Contents {
        Contents::look(&self.reloader.files())
    }

    /// Calls `on_change` when the config file, or one that it names, has changed since `seen`; until the result is dropped.
    ///
    /// # Errors
    /// When a folder cannot be watched.
    pub fn watch(&self, seen: Contents, on_change: impl Fn() + Send + 'static) -> Result<Watch, WatchError> {
        watch(&self.reloader.files(), seen, on_change)
    }

    /// What a successor takes over.
    #[must_use]
    pub fn estate(&self) -> Estate<'_> {
        let (proxy, admin) = self.configured;
        Estate {
            workers: &self.workers,
            proxy: (proxy, self.proxy_address),
            admin: (admin, self.admin_address, self.admin_socket.as_fd()),
            tickets: &self.tickets,
            presence: &self.presence,
        }
    }

    /// Begins the drain.
    pub fn drain(&self) {
        self.life.enter(LifePhase::Draining);
        self.metrics.draining.set(1);
    }

    /// Ends now what is still open.
    pub fn end(&self) {
        self.life.enter(LifePhase::Ending);
    }

    /// Waits until the drain has begun, by [`Self::drain`] or by the admin endpoint.
    ///
    /// # Cancel safety
    /// Safe: it only looks.
    pub async fn draining(&self) {
        self.life.entered(LifePhase::Draining).await;
    }

    /// A handle that can begin the drain and the end while [`Self::ended`] is waited for.
    #[must_use]
    pub fn life(&self) -> Life {
        self.life.clone()
    }

    /// Waits for the end of all workers, then ends the admin endpoints.
    ///
    /// # Cancel safety
    /// Dropped, the proxy goes on without anybody to wait for it.
    pub async fn ended(self) -> Ended {
        let mut ended = Ended {
            abandoned: 0,
            panicked: 0,
        };
        for thread in self.threads {
            match thread.ended().await {
                Some(abandoned) => ended.abandoned += abandoned,
                None => ended.panicked += 1,
            }
        }
        self.life.enter(LifePhase::Ended);
        if self.admin.join().is_err() {
            ended.panicked += 1;
        }
        ended
    }
}
