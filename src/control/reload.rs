//! Putting another configuration in force, without dropping a connection.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use headpin_tls::TlsAcceptor;
use tokio::sync::Mutex;

use super::monitor::UpstreamMonitor;
use super::policy::PolicySwitch;
use super::workers::NoWorkers;
use crate::config::{ConfigError, UpstreamConfig};
use crate::observe::labels::ReloadResult;
use crate::worker::{LoadError, Settings, Shared};

/// Why a configuration cannot be put in force. The operator's fault; nothing has changed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReloadError {
    /// The file is faulty.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// A file that it names cannot be used.
    #[error(transparent)]
    Settings(#[from] LoadError),
    /// The proxy runs without a file.
    #[error("there is no config file to reload: headpin was started without --config")]
    NoFile,
    /// The proxy is ending.
    #[error(transparent)]
    NoWorkers(#[from] NoWorkers),
}

/// What a reload did.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Reloaded {
    /// Keys whose new values need a restart; everything else is in force.
    pub needs_restart: Vec<String>,
    /// Heads that a change of policy released.
    pub released_heads: usize,
}

/// Reloads the configuration from its file.
#[derive(Debug)]
pub struct Reloader {
    path: Option<PathBuf>,
    acceptor: TlsAcceptor,
    shared: Arc<Shared>,
    policy: Arc<PolicySwitch>,
    monitor: UpstreamMonitor,
    /// One reload at a time.
    running: Mutex<()>,
}

impl Reloader {
    /// For the file at `path`, which the settings in force came from.
    #[must_use]
    pub fn new(
        path: Option<PathBuf>,
        acceptor: TlsAcceptor,
        shared: Arc<Shared>,
        policy: Arc<PolicySwitch>,
        monitor: UpstreamMonitor,
    ) -> Self {
        Self {
            monitor,
            path,
            acceptor,
            shared,
            policy,
            running: Mutex::new(()),
        }
    }

    /// The file, and those it names: what to watch.
    #[must_use]
    pub fn files(&self) -> Vec<PathBuf> {
        let settings = self.shared.settings.load();
        let certificates = settings.config.tls.certificates.iter();
        let named = certificates.flat_map(|files| [files.cert.clone(), files.key.clone()]);
        self.path
            .iter()
            .cloned()
            .chain(named)
            .chain(settings.config.tls.ticket_keys.clone())
            .chain(settings.config.all_upstreams().flat_map(|(_, upstream)| {
                let UpstreamConfig {
                    ca,
                    client_cert,
                    client_key,
                    ..
                } = upstream;
                [ca, client_cert, client_key].into_iter().flatten().cloned()
            }))
            .collect()
    }

    /// Reads the file again and puts it in force. A faulty file changes nothing; that is logged and counted.
    ///
    /// # Errors
    /// [`ReloadError`].
    ///
    /// # Cancel safety
    /// Dropped half-way, either nothing or everything but the head policy has changed.
    pub async fn reload(&self) -> Result<Reloaded, ReloadError> {
        let _one_at_a_time = self.running.lock().await;
        let result = self.try_reload().await;
        let metrics = &self.shared.metrics;
        let reloads = &metrics.config_reloads_total;
        match &result {
            Ok(Reloaded { needs_restart, .. }) => {
                reloads[ReloadResult::Applied].inc();
                if needs_restart.is_empty() {
                    tracing::info!("config reloaded");
                } else {
                    tracing::warn!(
                        keys = needs_restart.join(", "),
                        "config reloaded, but these keys need a restart"
                    );
                }
            }
            Err(error) => {
                reloads[ReloadResult::Refused].inc();
                metrics.config_last_reload_successful.set(0);
                tracing::error!(
                    error = error as &dyn std::error::Error,
                    "config not reloaded, nothing has changed"
                );
            }
        }
        result
    }

    async fn try_reload(&self) -> Result<Reloaded, ReloadError> {
        let path = self.path.as_ref().ok_or(ReloadError::NoFile)?;
        let config = Settings::read(path)?;
        let current = self.shared.settings.load_full();
        let needs_restart = current.config.needs_restart(&config);
        let policy = config.head_policy;
        let (generation, metrics) = (current.generation + 1, &self.shared.metrics);
        let settings = Settings::load(config, generation, &self.acceptor, metrics, Some(&current))?;
        self.shared.settings.store(Arc::new(settings));
        put_in_force(&self.shared, Some(&current), &self.monitor);
        let released_heads = self.policy.set(policy).await?;
        Ok(Reloaded {
            needs_restart,
            released_heads,
        })
    }
}

/// Shows the settings of `shared` in the metrics as those in force, in the place of `previous`, and has their upstreams looked
/// after.
pub fn put_in_force(shared: &Shared, previous: Option<&Settings>, monitor: &UpstreamMonitor) {
    let settings = shared.settings.load();
    settings.routes.put_in_force(previous.map(|previous| &previous.routes));
    monitor.follow(settings.routes.upstreams());
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let metrics = &shared.metrics;
    metrics.config_last_applied_timestamp_seconds.set(now.as_secs_f64());
    metrics.config_last_reload_successful.set(1);
    metrics
        .certificate_expiry_timestamp_seconds
        .set(settings.first_expiry as f64);
}
