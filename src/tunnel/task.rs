//! The tunnel: two relays in one small task.

use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use headpin_slab::Head;

use super::downstream::Downstream;
use super::frames::Content;
use super::relay::{CloseCode, Relay, RelayError};
use crate::observe::ACCESS_LOG;
use crate::observe::labels::{CloseReason, Direction};
use crate::observe::metrics::GaugeGuard;
use crate::upstream::UpstreamSlices;
use crate::worker::{Heads, ListedTunnel, Order, WorkerContext};

/// One side of a tunnel to be: its stream, and what it had sent before the tunnel began.
#[derive(Debug)]
pub struct Half<S> {
    /// Reads slices, and is written to.
    pub stream: S,
    /// Goes to the other side before anything else; under `pin` it is held from then on.
    pub head: Head,
}

/// What lives after the upgrade, as a task of its own.
///
/// A hand-written future: an async fn would hold what it is given twice. While idle it costs this struct, the TLS
/// session and the two sockets, and no buffer.
#[derive(Debug)]
pub struct Tunnel<D> {
    downstream: D,
    upstream: UpstreamSlices,
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
        if worker.draining.is_cancelled() {
            // Accepted before the drain, upgraded during it.
            record.mailbox.give(Order::Close(CloseReason::Drain));
        }
        let open = GaugeGuard::new(&worker.shared.metrics.tunnels_open);
        let open_of_route = record.target.with_route(|route| {
            let series = route.series.as_ref();
            series.map(|series| GaugeGuard::new(&series.tunnels))
        });
        Self {
            downstream: stream,
            upstream: upstream.stream,
            to_upstream,
            to_downstream,
            record,
            worker,
            cause: None,
            _open: open,
            _open_of_route: open_of_route,
        }
    }

    /// Polls both directions; ready with what began the end, when there is nothing more to do.
    fn poll_relays(&mut self, cx: &mut Context<'_>) -> Poll<CloseReason> {
        let Self {
            downstream,
            upstream,
            to_upstream,
            to_downstream,
            record,
            worker,
            cause,
            ..
        } = self;
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
        record.tls_buffered.set(bytes(self.downstream.buffered()));
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
        let polled = this.poll_relays(cx).map(|reason| this.cause = Some(reason));
        this.tell_what_waits();
        polled
    }
}

impl<D> Drop for Tunnel<D> {
    fn drop(&mut self) {
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
    const MOST_BYTES: usize = 1072;

    #[test]
    #[cfg(target_pointer_width = "64")]
    fn a_tunnel_has_not_grown() {
        let bytes = size_of::<Tunnel<Admitted<SlabStream<TcpStream>>>>();
        assert!(bytes <= MOST_BYTES, "{bytes} bytes");
    }
}
