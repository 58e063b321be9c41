//! Carries out on the worker what other threads ask for.

use std::os::fd::AsFd as _;
use std::rc::{Rc, Weak};

use super::arrivals::Arrivals;
use super::workers::Command;
use super::{rows, sweep};
use crate::worker::{Accepting, WorkerContext};

/// Does what another thread asks for. Returns at once.
pub(super) fn execute(worker: &Rc<WorkerContext>, arrivals: &mut Arrivals, command: Command) {
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
        Command::Listeners { reply } => {
            let listeners = worker.listeners.borrow();
            let open = listeners.iter().filter_map(Weak::upgrade);
            let _ = reply.send(open.map(|listener| listener.as_fd().try_clone_to_owned()).collect());
        }
        Command::HoldAccepts { reply } => {
            set_accepting(worker, Accepting::NotNow);
            let _ = reply.send(worker.registry.ids_end());
        }
        Command::Accept { after } => {
            worker.registry.skip_ids(after);
            set_accepting(worker, Accepting::Yes);
        }
        Command::GiveUpListeners => set_accepting(worker, Accepting::Never),
        Command::Depart { to } => worker.departures.begin(to),
        Command::Settled { reply } => {
            // A task of its own is behind all that wait for their turn.
            worker.tracker.spawn_local(async move {
                tokio::task::yield_now().await;
                let _ = reply.send(());
            });
        }
        Command::Leave { most, reply } => {
            let _ = reply.send(worker.registry.ask_to_leave(most));
        }
        Command::CountTunnels { reply } => {
            let _ = reply.send(worker.registry.tunnels());
        }
        Command::CountSockets { reply } => {
            let _ = reply.send(worker.registry.len() + worker.registry.tunnels());
        }
        Command::Stay { reply } => {
            let drains = worker.departures.take_back();
            worker.registry.for_each_tunnel(|tunnel| tunnel.mailbox.forget_leave());
            if !drains {
                set_accepting(worker, Accepting::Yes);
            }
            let _ = reply.send(());
        }
        Command::Arrive { handed, stay, reply } => {
            let results = handed.into_iter().map(|handed| arrivals.take(worker, handed, stay));
            let _ = reply.send(results.collect());
        }
        Command::Settle { ours: true } => arrivals.begin(worker),
        Command::Settle { ours: false } => arrivals.forget(),
    }
}

/// What becomes of new connections from now on, unless the drain has begun.
fn set_accepting(worker: &WorkerContext, accepting: Accepting) {
    worker.accepting.send_if_modified(|now| {
        let changes = *now != Accepting::Last && *now != accepting;
        if changes {
            *now = accepting;
        }
        changes
    });
}
