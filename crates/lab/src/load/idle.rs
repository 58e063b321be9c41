//! Opens tunnels and holds them.

use super::seat::Seat;
use super::tunnel::Late;
use super::ws::Event;

/// Holds one tunnel; counts the messages that are pushed to it. A tunnel that ends is a fault.
pub(super) async fn worker(mut seat: Seat) {
    let opening = seat.shared.client.tunnel(seat.index, None);
    let Some(mut tunnel) = seat.open(Box::pin(opening)).await else {
        return;
    };
    seat.go().await;
    let mut count = |event: Event<'_>| {
        let mut tally = seat.shared.live.tally(seat.index);
        match event {
            Event::Data(data) => tally.bytes_received += data.len() as u64,
            Event::MessageEnd => tally.units += 1,
            _ => {}
        }
        Ok(())
    };
    let ended = seat.shared.finish.run_until_cancelled(tunnel.idle(&mut count)).await;
    seat.rest(ended.map_or(Ok(()), Err)).await;
    seat.close(tunnel, Late::Ignored).await;
}

#[cfg(test)]
mod tests {
    use super::*;

    fn size_of_future<F: Future>(_: impl Fn(Seat) -> F) -> usize {
        size_of::<F>()
    }

    #[test]
    fn a_held_tunnel_is_a_small_task() {
        let size = size_of_future(worker);
        assert!(size <= 512, "{size} bytes");
    }
}
