//! Connects, upgrades, echoes one message, closes, and again.

use rustls::HandshakeKind;
use tokio::time::{Instant, timeout};

use super::echo::Talk;
use super::fault::Fault;
use super::seat::{Seat, Shared, Step};
use super::tunnel::Late;

/// Makes one connection after another, with its share of a count that all workers have together.
pub(super) async fn worker(mut seat: Seat, size: usize) {
    seat.go().await;
    while let Some(number) = seat.shared.begin_one().await {
        let cycle = timeout(
            seat.shared.client.timeout,
            cycle(&seat.shared, seat.index, number, size),
        );
        if let Err(fault) = cycle.await.unwrap_or(Err(Fault::Timeout("one connection's cycle"))) {
            seat.count_fault(fault);
        }
    }
    seat.rest(Ok(())).await;
}

async fn cycle(shared: &Shared, index: u64, number: u64, size: usize) -> Result<(), Fault> {
    let begin = Instant::now();
    let mut tunnel = shared.client.tunnel(number, None).await?;
    let resumed = tunnel.stream().handshake_kind() == Some(HandshakeKind::Resumed);
    shared.live.tally(index).count_opening(begin.elapsed(), resumed);
    // The echo is part of the cycle and not counted for itself.
    Talk::new(number, size, 1, 1)
        .run(&mut tunnel, Step::Work, &|_| ())
        .await?;
    tunnel.close(Late::Fault).await?;
    shared
        .live
        .tally(index)
        .count_unit(begin.elapsed(), size as u64, size as u64);
    Ok(())
}
