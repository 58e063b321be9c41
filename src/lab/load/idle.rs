//! Opens tunnels and holds them.

use super::seat::Seat;

/// Holds one tunnel. A tunnel that ends is a fault; whatever it says is, too.
pub(super) async fn worker(mut seat: Seat) {
    let Some(mut tunnel) = seat.open(Box::pin(seat.shared.client.tunnel(seat.index, None))).await else {
        return;
    };
    seat.go().await;
    let ended = seat.shared.finish.run_until_cancelled(tunnel.idle()).await;
    seat.rest(ended.map_or(Ok(()), Err)).await;
    seat.close(tunnel).await;
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
