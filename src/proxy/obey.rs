//! What a worker does for other threads.

use super::census::WorkerCensus;
use super::control::Command;
use super::rows;
use super::worker::WorkerContext;

/// Does what another thread asks for. Returns at once.
pub fn obey(worker: &WorkerContext, command: Command) {
    match command {
        Command::SetPolicy { policy, done } => {
            // Whoever asked may have gone.
            let _ = done.send(worker.set_policy(policy));
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
