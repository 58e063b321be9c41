//! Connections and tunnels that come from another process.

use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::sync::Arc;
use std::{io, mem};

use headpin_ledger as ledger;
use headpin_slab::{Head, HeldHead, SlabClass};
use headpin_tls::{SlabStream, StreamState};
use tokio::net::TcpStream;

use crate::handed::{ConnectionState, Handed, State, TunnelState};
use crate::http::resume_connection;
use crate::observe::labels::HeadPolicy;
use crate::observe::metrics::GaugeGuard;
use crate::tunnel::Tunnel;
use crate::upstream::UpstreamSlices;
use crate::worker::{Admission, Admitted, Heads, Identity, ListedConnection, TunnelTarget, WorkerContext};

type Client = Admitted<SlabStream<TcpStream>>;

/// What a worker has taken, and does not run before its former process knows that it is not its own any more.
#[derive(Debug, Default)]
pub(super) struct Arrivals {
    waiting: Vec<Arrived>,
}

/// Ready to go on.
#[derive(Debug)]
enum Arrived {
    Tunnel(Box<Tunnel<Client>>),
    Connection(Box<(Client, ConnectionState, ListedConnection)>),
}

impl Arrivals {
    /// Makes `handed` ready to go on; why it cannot, otherwise.
    pub(super) fn take(&mut self, worker: &Rc<WorkerContext>, handed: Handed, stay: bool) -> Result<(), String> {
        let arrived = arrive(worker, handed, stay).map_err(|error| error.to_string())?;
        self.waiting.push(arrived);
        Ok(())
    }

    /// What waits is ours: it goes on.
    pub(super) fn begin(&mut self, worker: &Rc<WorkerContext>) {
        for arrived in mem::take(&mut self.waiting) {
            match arrived {
                Arrived::Tunnel(tunnel) => drop(worker.tracker.spawn_local(*tunnel)),
                Arrived::Connection(connection) => {
                    let (stream, state, listed) = *connection;
                    resume_connection(worker, stream, &state, listed);
                }
            }
        }
    }

    /// What waits is not ours after all: it is forgotten, and its former process goes on with it.
    pub(super) fn forget(&mut self) {
        for arrived in mem::take(&mut self.waiting) {
            match arrived {
                Arrived::Tunnel(tunnel) => tunnel.forget(),
                Arrived::Connection(connection) => drop(connection),
            }
        }
    }
}

fn arrive(worker: &Rc<WorkerContext>, handed: Handed, stay: bool) -> io::Result<Arrived> {
    let Handed { state, sockets, .. } = handed;
    let mut sockets = sockets.into_iter();
    let mut socket = || sockets.next().ok_or_else(|| io::Error::other("a socket is missing"));
    match state {
        State::Connection(state) => {
            let (client, listed) = client(worker, socket()?, &state.stream, Identity::resume(&state.identity))?;
            Ok(Arrived::Connection(Box::new((client, *state, listed))))
        }
        State::Tunnel(state) => {
            let (downstream, upstream) = (socket()?, socket()?);
            let (tunnel, taken) = ledger::measure(|| tunnel(worker, &state, downstream, upstream));
            let (tunnel, listed) = tunnel?;
            if stay {
                listed.mailbox.stay();
            }
            listed.claim(taken - SlabStream::<TcpStream>::INLINE_BYTES);
            Ok(Arrived::Tunnel(Box::new(tunnel)))
        }
    }
}

/// The client's side.
fn client(
    worker: &Rc<WorkerContext>,
    socket: OwnedFd,
    state: &StreamState,
    identity: Identity,
) -> io::Result<(Client, ListedConnection)> {
    let socket = TcpStream::from_std(socket.into())?;
    let stream = SlabStream::resume(socket, state, Rc::clone(&worker.tls_buffers)).map_err(io::Error::other)?;
    let open = GaugeGuard::new(&worker.shared.metrics.downstream_connections_open);
    // Past the limit it is still taken: it was let in before.
    let permit = Arc::clone(&worker.shared.connections).try_acquire_owned().ok();
    let admission = Admission::new(open, permit);
    Ok((Admitted { stream, admission }, worker.registry.adopt(identity)))
}

fn tunnel(
    worker: &Rc<WorkerContext>,
    state: &TunnelState,
    downstream: OwnedFd,
    upstream: OwnedFd,
) -> io::Result<(Tunnel<Client>, Rc<crate::worker::TunnelRecord>)> {
    let (client, listed) = client(worker, downstream, &state.downstream, Identity::resume(&state.identity))?;
    let open = GaugeGuard::new(&worker.shared.metrics.upstream_connections_open);
    let upstream = UpstreamSlices::resume(upstream, &state.upstream, &worker.slabs, &worker.tls_buffers, open)?;
    let (url, tag) = &state.server;
    let settings = worker.shared.settings.load();
    let (route, place) = settings.routes.place_of(&state.route, &state.upstream_name, (url, tag));
    let listed = listed.into_tunnel(TunnelTarget::new(state.path.as_str().into(), route, place));
    let policy = listed.target.head_policy().unwrap_or_else(|| worker.slabs.policy());
    if policy == HeadPolicy::Pin {
        let [of_client, of_upstream] = &state.heads;
        listed.hold(Heads {
            downstream: hold(worker, of_client.as_deref(), SlabClass::Tls),
            upstream: hold(worker, of_upstream.as_deref(), SlabClass::Tcp),
        });
    }
    let record = Rc::clone(listed.record());
    let tunnel = Tunnel::resume(state, client, upstream, listed, Rc::clone(worker)).map_err(io::Error::other)?;
    Ok((tunnel, record))
}

/// A head that was held is held here, in a slab of this process. That of the other is free.
fn hold(worker: &WorkerContext, head: Option<&[u8]>, class: SlabClass) -> Option<HeldHead> {
    let (_, held) = Head::carve_anew(head?.into(), &worker.slabs, class).into_parts();
    held
}
