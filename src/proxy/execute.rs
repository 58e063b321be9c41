//! Carries out on the worker what other threads ask for.

use super::census::CensusPage;
use super::control::Command;
use super::rows;
use super::worker::WorkerContext;

/// Does what another thread asks for. Returns at once.
pub fn execute(worker: &WorkerContext, command: Command) {
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
        Command::Census { after, most, reply } => {
            let _ = reply.send(CensusPage::of(worker, after, most));
        }
        Command::Ping { reply } => {
            let _ = reply.send(());
        }
    }
}
