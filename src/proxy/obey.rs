//! What a worker does for other threads.

use super::census::WorkerCensus;
use super::control::Command;
use super::rows;
use super::worker::WorkerContext;
use crate::labels::HeadPolicy;

/// Does what another thread asks for. Returns at once.
pub fn obey(worker: &WorkerContext, command: Command) {
    match command {
        Command::SetPolicy { policy, done } => {
            worker.slabs.set_policy(policy);
            let released = match policy {
                HeadPolicy::Copy => worker.registry.release_heads(),
                HeadPolicy::Pin => 0,
            };
            // Whoever asked may have gone.
            let _ = done.send(released);
        }
        Command::Rows {
            after,
            most,
            details,
            reply,
        } => {
            let _ = reply.send(rows::page(worker, after, most, details));
        }
        Command::Census { reply } => {
            let _ = reply.send(WorkerCensus::of(worker));
        }
        Command::Ping { reply } => {
            let _ = reply.send(());
        }
    }
}
