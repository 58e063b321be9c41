//! Carries out on the worker what other threads ask for.

use super::workers::Command;
use super::{rows, sweep};
use crate::worker::WorkerContext;

/// Does what another thread asks for. Returns at once.
pub(super) fn execute(worker: &WorkerContext, command: Command) {
    match command {
        Command::SetPolicy { policy, done } => {
            // Whoever asked may have gone.
            let _ = done.send(sweep::set_policy(worker, policy));
        }
        Command::Rows {
            after,
            most,
            paths,
            reply,
        } => {
            let _ = reply.send(rows::page(worker, after, most, paths));
        }
        Command::Ping { reply } => {
            let _ = reply.send(());
        }
    }
}
