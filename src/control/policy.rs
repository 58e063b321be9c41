//! The head policy in force, for the whole proxy.

use std::sync::Arc;

use tokio::sync::Mutex;

use super::workers::{NoWorkers, Workers};
use crate::observe::labels::HeadPolicy;
use crate::observe::metrics::Metrics;

/// Flips the policy on all workers.
#[derive(Debug)]
pub struct PolicySwitch {
    current: Mutex<HeadPolicy>,
    workers: Workers,
    metrics: Arc<Metrics>,
}

impl PolicySwitch {
    /// The workers were started with `current`.
    #[must_use]
    pub fn new(current: HeadPolicy, workers: Workers, metrics: Arc<Metrics>) -> Self {
        Self {
            current: Mutex::new(current),
            workers,
            metrics,
        }
    }

    /// The policy in force.
    ///
    /// # Cancel safety
    /// Safe: it only looks.
    pub async fn get(&self) -> HeadPolicy {
        *self.current.lock().await
    }

    /// Puts `policy` in force and returns how many held heads that released, once all workers have done so.
    ///
    /// # Errors
    /// [`NoWorkers`] during the end of the process.
    ///
    /// # Cancel safety
    /// Dropped half-way, the workers still change; asking again repairs what is shown.
    pub async fn set(&self, policy: HeadPolicy) -> Result<usize, NoWorkers> {
        let mut current = self.current.lock().await;
        let released = self.workers.set_policy(policy).await?;
        if *current != policy {
            tracing::info!(%policy, released, "head policy changed");
        }
        *current = policy;
        self.metrics.set_head_policy(policy);
        Ok(released)
    }
}
