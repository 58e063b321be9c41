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
use crate::observe::labels::{CloseReason, HeadPolicy};
use crate::observe::metrics::GaugeGuard;
use crate::tunnel::Tunnel;
use crate::upstream::UpstreamSlices;
use crate::worker::{
    Admission, Admitted, Going, Heads, Identity, ListedConnection, Order, TunnelRecord, TunnelTarget, WorkerContext,
};

type Client = Admitted<SlabStream<TcpStream>>;

/// What a worker has taken, and does not run before its former process knows that it is not its own any more.
#[derive(Debug, Default)]
pub(super) struct Arrivals {
    waiting: Vec<Arrived>,
}

/// Ready to go on.
#[derive(Debug)]
enum Arrived {
    Tunnel(Box<Tunnel<Client>>, Rc<TunnelRecord>),
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
                Arrived::Tunnel(tunnel, record) => {
                    // From its box into its task.
                    let (_, taken) = ledger::measure(|| drop(worker.tracker.spawn_local(*tunnel)));
                    record.claim(taken);
                    // From a process before the one before: it goes on to the next.
                    match worker.departures.going() {
                        Going::Stays => {}
                        Going::Leaves => drop(record.mailbox.ask_to_leave()),
                        Going::Ends => record.mailbox.give(Order::Close(CloseReason::Drain)),
                    }
                }
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
                Arrived::Tunnel(tunnel, _) => tunnel.forget(),
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
            let identity = Identity::resume(&state.identity);
            let (client, taken) = ledger::measure(|| client(worker, socket()?, &state.stream, identity));
            let (client, listed) = client?;
            // Of what it took, the session is claimed as TLS, and the record claims itself.
            listed.claim(taken);
            Ok(Arrived::Connection(Box::new((client, *state, listed))))
        }
        State::Tunnel(state) => {
            let (downstream, upstream) = (socket()?, socket()?);
            let (tunnel, taken) = ledger::measure(|| {
                let (tunnel, record) = tunnel(worker, &state, downstream, upstream)?;
                io::Result::Ok((Box::new(tunnel), record))
            });
            let (tunnel, listed) = tunnel?;
            if stay {
                listed.mailbox.stay();
            }
            listed.claim(taken - SlabStream::<TcpStream>::INLINE_BYTES);
            Ok(Arrived::Tunnel(tunnel, listed))
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
) -> io::Result<(Tunnel<Client>, Rc<TunnelRecord>)> {
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

/// What comes of `state`, which another process has sent. Its sockets are those of this test.
#[cfg(any(test, feature = "fuzzing"))]
async fn arrives(state: State) {
    use crate::worker::Shared;

    let shared = Arc::new(Shared::for_test(4, 4));
    let worker = WorkerContext::new(0, 1, HeadPolicy::Pin, shared);
    let mut sockets = Vec::new();
    let mut peers = Vec::new();
    for _ in 0..state.sockets() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a listener");
        let near = std::net::TcpStream::connect(listener.local_addr().expect("it is bound")).expect("it listens");
        near.set_nonblocking(true).expect("a socket");
        peers.push(listener.accept().expect("a connection").0);
        sockets.push(near.into());
    }
    let left = crate::handed::now();
    let mut arrivals = Arrivals::default();
    let handed = Handed { state, sockets, left };
    if arrivals.take(&worker, handed, false).is_ok() {
        arrivals.begin(&worker);
        // Its first polls: what waits is written, and the peers say nothing.
        for _ in 0..3 {
            tokio::task::yield_now().await;
        }
        drop(peers);
        worker.registry.for_each_tunnel(|tunnel| {
            tunnel.mailbox.give(Order::End(CloseReason::Abandoned));
        });
        tokio::task::yield_now().await;
    }
}

/// Plays `bytes` as what another process sends. Whatever that is, nothing panics.
///
/// # Panics
/// If something does.
#[cfg(feature = "fuzzing")]
pub fn fuzz_arrival(bytes: &[u8]) {
    let Ok(state) = postcard::from_bytes::<State>(bytes) else {
        return;
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build_local(tokio::runtime::LocalOptions::default());
    runtime.expect("a runtime").block_on(arrives(state));
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn sent() -> Vec<u8> {
        let digits: Vec<u8> = include_str!("../handed/version_1.hex")
            .bytes()
            .filter(u8::is_ascii_hexdigit)
            .collect();
        let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
        digits.chunks(2).map(byte).collect()
    }

    fn arrives_or_not(bytes: &[u8]) -> bool {
        let Ok(state) = postcard::from_bytes::<State>(bytes) else {
            return false;
        };
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build_local(tokio::runtime::LocalOptions::default());
        runtime.unwrap().block_on(arrives(state));
        true
    }

    #[test]
    fn what_version_1_has_written_arrives() {
        assert!(arrives_or_not(&sent()));
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

        /// It is of the same user, but a fault in it must not take all others along.
        #[test]
        fn what_is_garbled_panics_nowhere(
            changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
            cut in prop::option::weighted(0.1, any::<prop::sample::Index>()),
        ) {
            let mut bytes = sent();
            for (at, byte) in changes {
                let at = at.index(bytes.len());
                bytes[at] = byte;
            }
            if let Some(cut) = cut {
                bytes.truncate(cut.index(bytes.len()));
            }
            arrives_or_not(&bytes);
        }
    }
}
