//! The tunnel: two relays in one small task.

use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use headpin_slab::{Head, HeldHead};

use super::downstream::Downstream;
use super::frames::Content;
use super::relay::{CloseCode, Relay, RelayError};
use crate::handed::{self, Departure, EndState, Handed, RelayState, State, Stays, TunnelState};
use crate::observe::ACCESS_LOG;
use crate::observe::labels::{CloseReason, Direction};
use crate::observe::metrics::GaugeGuard;
use crate::upstream::UpstreamSlices;
use crate::worker::{Going, Heads, ListedTunnel, Order, WorkerContext};

/// One side of a tunnel to be: its stream, and what it had sent before the tunnel began.
#[derive(Debug)]
pub struct Half<S> {
    /// Reads slices, and is written to.
    pub stream: S,
    /// Goes to the other side before anything else; under `pin` it is held from then on.
    pub head: Head,
}

/// Both ends of a tunnel.
#[derive(Debug)]
struct Ends<D> {
    downstream: D,
    upstream: UpstreamSlices,
}

/// No tunnel is as it says: another process sent what it should not have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("no tunnel is ever in the state that was handed over")]
pub struct NotATunnel;

/// What lives after the upgrade, as a task of its own.
///
/// A hand-written future: an async fn would hold what it is given twice. While idle it costs this struct, the TLS
/// session and the two sockets, and no buffer.
#[derive(Debug)]
pub struct Tunnel<D> {
    /// `None` once it has left for another process.
    ends: Option<Ends<D>>,
    to_upstream: Relay,
    to_downstream: Relay,
    record: ListedTunnel,
    worker: Rc<WorkerContext>,
    /// What began the end.
    cause: Option<CloseReason>,
    _open: GaugeGuard,
    _open_of_route: Option<GaugeGuard>,
}

impl<D: Downstream> Tunnel<D> {
    /// Bytes of this struct that are neither TLS nor relay.
    pub const OWN_BYTES: usize = size_of::<Self>() - D::CLAIMED_BYTES - 2 * size_of::<Relay>();

    /// Joins both halves, for `content` to pass.
    #[must_use]
    pub fn new(
        content: Content,
        downstream: Half<D>,
        upstream: Half<UpstreamSlices>,
        record: ListedTunnel,
        worker: Rc<WorkerContext>,
    ) -> Self {
        let mut stream = downstream.stream;
        stream.begin_tunnel();
        let (downstream_head, downstream_held) = downstream.head.into_parts();
        let (upstream_head, upstream_held) = upstream.head.into_parts();
        let to_upstream = Relay::new(Direction::ToUpstream, content, downstream_head, &worker, &record);
        let to_downstream = Relay::new(Direction::ToDownstream, content, upstream_head, &worker, &record);
        record.hold(Heads {
            downstream: downstream_held,
            upstream: upstream_held,
        });
        record.active.set(worker.tick());
        match worker.departures.going() {
            Going::Stays => {}
            // Accepted before that, upgraded since.
            Going::Ends => record.mailbox.give(Order::Close(CloseReason::Drain)),
            Going::Leaves => drop(record.mailbox.ask_to_leave()),
        }
        let ends = Ends {
            downstream: stream,
            upstream: upstream.stream,
        };
        Self::begin(ends, [to_upstream, to_downstream], record, worker)
    }

    fn begin(ends: Ends<D>, relays: [Relay; 2], record: ListedTunnel, worker: Rc<WorkerContext>) -> Self {
        let open = GaugeGuard::new(&worker.shared.metrics.tunnels_open);
        let open_of_route = record.target.with_route(|route| {
            let series = route.series.as_ref();
            series.map(|series| GaugeGuard::new(&series.tunnels))
        });
        let [to_upstream, to_downstream] = relays;
        Self {
            ends: Some(ends),
            to_upstream,
            to_downstream,
            record,
            worker,
            cause: None,
            _open: open,
            _open_of_route: open_of_route,
        }
    }

    /// Goes on where another process was, with the ends that it had. What of `state` is not the tunnel's own, such as where it
    /// leads, is in `record` already.
    ///
    /// # Errors
    /// When no tunnel is ever as `state` says.
    pub fn resume(
        state: &TunnelState,
        downstream: D,
        upstream: UpstreamSlices,
        record: ListedTunnel,
        worker: Rc<WorkerContext>,
    ) -> Result<Self, NotATunnel> {
        let resume = |direction, relay: &RelayState| {
            let traffic = record.traffic(direction);
            traffic.bytes.set(relay.bytes);
            traffic.frames.set(relay.frames);
            Relay::resume(direction, relay, worker.relay_policy).ok_or(NotATunnel)
        };
        let [to_upstream, to_downstream] = &state.relays;
        let to_upstream = resume(Direction::ToUpstream, to_upstream)?;
        let to_downstream = resume(Direction::ToDownstream, to_downstream)?;
        record.active.set(worker.tick_before(state.idle));
        if let Some(order) = &state.order {
            // A reason that this version does not know is one to go.
            let reason = order.reason.parse().unwrap_or(CloseReason::Drain);
            record.mailbox.give(match order.at_once {
                true => Order::End(reason),
                false => Order::Close(reason),
            });
        }
        let ends = Ends { downstream, upstream };
        let mut tunnel = Self::begin(ends, [to_upstream, to_downstream], record, worker);
        tunnel.cause = state.cause.as_ref().and_then(|cause| cause.parse().ok());
        Ok(tunnel)
    }

    /// It is another process's after all, and ends here without a word.
    pub fn forget(mut self) {
        self.ends = None;
    }

    /// Apart from what happens for each message. Leaves for another process, if it can; then there is nothing left to do.
    #[cold]
    #[inline(never)]
    fn leave(&mut self) -> Poll<()> {
        let state = self.state();
        let departure = match (state, self.ends.take()) {
            (Some(state), Some(Ends { downstream, upstream })) => {
                let sockets = downstream
                    .into_socket()
                    .and_then(|client| Ok(vec![client, upstream.into_socket()?]));
                match sockets {
                    Ok(sockets) => Departure::Leaves(Handed {
                        state: State::Tunnel(Box::new(state)),
                        sockets,
                        left: handed::now(),
                    }),
                    // The runtime has lost it: it has ended.
                    Err(_) => return Poll::Ready(()),
                }
            }
            (_, ends) => {
                self.ends = ends;
                self.record.mailbox.stay();
                Departure::Stays(Stays::Tls12)
            }
        };
        let _ = self.worker.departures.send(departure);
        match self.ends {
            Some(_) => Poll::Pending,
            None => Poll::Ready(()),
        }
    }

    /// All of it but its sockets; `None` if it cannot leave.
    fn state(&self) -> Option<TunnelState> {
        let Self { ends, record, .. } = self;
        let Ends { downstream, upstream } = ends.as_ref()?;
        let (target, heads) = (&record.target, record.heads.borrow());
        let held = |head: &Option<HeldHead>| head.as_ref().map(|head| head.bytes().to_vec());
        let end = |order| match order {
            Order::Close(reason) => (reason, false),
            Order::End(reason) => (reason, true),
        };
        let upstream_name = target.with_route(|route| route.upstream().map(|upstream| upstream.name.to_string()));
        let server = target.server();
        Some(TunnelState {
            identity: record.identity.state(),
            path: target.path.to_string(),
            route: target.with_route(|route| route.name.clone()),
            upstream_name: upstream_name.unwrap_or_default(),
            server: (server.url.to_string(), server.tag.clone()),
            downstream: downstream.state()?,
            upstream: upstream.state()?,
            relays: [self.to_upstream.state(record), self.to_downstream.state(record)],
            idle: self.worker.since(record.active.get()),
            order: record.mailbox.order().map(end).map(|(reason, at_once)| EndState {
                reason: reason.to_string(),
                at_once,
            }),
            cause: self.cause.map(|cause| cause.to_string()),
            heads: match &*heads {
                Some(heads) => [held(&heads.downstream), held(&heads.upstream)],
                None => [None, None],
            },
        })
    }

    /// Polls both directions; ready with what began the end, when there is nothing more to do.
    fn poll_relays(&mut self, cx: &mut Context<'_>) -> Poll<CloseReason> {
        let Self {
            ends,
            to_upstream,
            to_downstream,
            record,
            worker,
            cause,
            ..
        } = self;
        let Some(Ends { downstream, upstream }) = ends else {
            return Poll::Pending;
        };
        loop {
            match record.mailbox.order() {
                Some(Order::End(reason)) => return Poll::Ready(reason),
                Some(Order::Close(reason)) => {
                    cause.get_or_insert(reason);
                    let code = CloseCode::of(reason);
                    to_upstream.close(code);
                    to_downstream.close(code);
                }
                None => {}
            }
            let up = to_upstream.poll(cx, downstream, upstream, worker, record);
            note(cause, to_upstream, CloseReason::ClientClose, CloseReason::ClientEnd);
            let down = to_downstream.poll(cx, upstream, downstream, worker, record);
            note(
                cause,
                to_downstream,
                CloseReason::UpstreamClose,
                CloseReason::UpstreamEnd,
            );
            match (up, down) {
                (Poll::Ready(Ok(())), Poll::Ready(Ok(()))) => {
                    return Poll::Ready(cause.unwrap_or(CloseReason::ClientEnd));
                }
                (Poll::Ready(Err(error)), _) => {
                    return Poll::Ready(cause.unwrap_or(failed(Direction::ToUpstream, &error)));
                }
                (_, Poll::Ready(Err(error))) => {
                    return Poll::Ready(cause.unwrap_or(failed(Direction::ToDownstream, &error)));
                }
                _ => {
                    // Both have said goodbye: there is nothing more to relay, whether they hang up or not.
                    let both_closed = to_upstream.has_seen_close() && to_downstream.has_seen_close();
                    let order = Order::Close(cause.unwrap_or(CloseReason::ClientClose));
                    if !both_closed || !record.mailbox.set_order(order) {
                        return Poll::Pending;
                    }
                }
            }
        }
    }

    /// For the census, which does not reach into tasks.
    fn tell_what_waits(&self) {
        let record = &self.record;
        let bytes = |held: usize| u32::try_from(held).unwrap_or(u32::MAX);
        record.pending[0].set(bytes(self.to_upstream.held()));
        record.pending[1].set(bytes(self.to_downstream.held()));
        let buffered = self.ends.as_ref().map_or(0, |ends| ends.downstream.buffered());
        record.tls_buffered.set(bytes(buffered));
    }
}

/// The first of the two sides that closes or ends is the cause.
fn note(cause: &mut Option<CloseReason>, relay: &Relay, close: CloseReason, end: CloseReason) {
    if cause.is_none() {
        *cause = match (relay.has_seen_close(), relay.has_ended()) {
            (true, _) => Some(close),
            (false, true) => Some(end),
            (false, false) => None,
        };
    }
}

fn failed(direction: Direction, error: &RelayError) -> CloseReason {
    let (reason, error) = match (direction, error) {
        (Direction::ToUpstream, RelayError::Read(error)) | (Direction::ToDownstream, RelayError::Write(error)) => {
            (CloseReason::ClientError, error)
        }
        (Direction::ToUpstream, RelayError::Write(error)) | (Direction::ToDownstream, RelayError::Read(error)) => {
            (CloseReason::UpstreamError, error)
        }
    };
    tracing::debug!(error = error as &dyn std::error::Error, %reason, "a tunnel broke");
    reason
}

impl<D: Downstream> Future for Tunnel<D> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = &mut *self;
        this.record.mailbox.watch(cx);
        if this.record.mailbox.is_leaving() && this.leave().is_ready() {
            return Poll::Ready(());
        }
        let polled = this.poll_relays(cx).map(|reason| this.cause = Some(reason));
        this.tell_what_waits();
        polled
    }
}

impl<D> Drop for Tunnel<D> {
    fn drop(&mut self) {
        if self.ends.is_none() {
            // It lives on elsewhere, and so do its counts.
            return;
        }
        if self.record.mailbox.is_leaving() {
            let _ = self.worker.departures.send(Departure::Ended);
        }
        // Dropped without an end of its own: the worker's runtime goes down.
        let reason = self.cause.unwrap_or(CloseReason::Abandoned);
        let record = &self.record;
        let metrics = &self.worker.shared.metrics;
        let seconds = record.identity.since.elapsed().as_secs_f64();
        metrics.tunnels_closed_total[reason].inc();
        metrics.tunnel_seconds.observe(seconds);
        tracing::info!(
            target: ACCESS_LOG,
            connection = record.identity.id,
            peer = %record.identity.peer,
            path = %record.target.path,
            route = record.target.with_route(|route| route.name.clone()),
            upstream = record.target.with_route(|route| route.upstream().map(|upstream| upstream.name.to_string())),
            to_upstream_bytes = record.traffic(Direction::ToUpstream).bytes.get(),
            to_downstream_bytes = record.traffic(Direction::ToDownstream).bytes.get(),
            seconds,
            %reason,
            "tunnel"
        );
    }
}

#[cfg(test)]
mod tests {
    use headpin_tls::SlabStream;
    use tokio::net::TcpStream;

    use super::*;
    use crate::worker::Admitted;

    /// Of this there is one for every tunnel, for as long as it lives. Mend what made it grow, or say why it must.
    const MOST_BYTES: usize = 664;

    #[test]
    #[cfg(target_pointer_width = "64")]
    fn a_tunnel_has_not_grown() {
        let bytes = size_of::<Tunnel<Admitted<SlabStream<TcpStream>>>>();
        assert!(bytes <= MOST_BYTES, "{bytes} bytes");
    }
}
