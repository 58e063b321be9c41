//! Asks for a large body and reads it slowly.

use std::future::poll_fn;
use std::task::Poll;
use std::time::Duration;

use tokio::time::{Instant, MissedTickBehavior, interval};

use super::download::Source;
use super::fault::Fault;
use super::plan::Carrier;
use super::seat::Seat;
use super::verify::Expected;

/// How often a slow reader reads.
const EVERY: Duration = Duration::from_millis(100);

/// Reads one body at `read_rate` bytes a second, until it is complete or the run ends.
pub(super) async fn worker(mut seat: Seat, size: u64, read_rate: u64, over: Carrier) {
    // Asking is part of the work: while connections are opened nothing is to flow.
    let Some(mut source) = seat.open(Box::pin(Source::open(&seat, over))).await else {
        return;
    };
    seat.go().await;
    let begin = Instant::now();
    let work = async {
        let mut body = source.ask(&seat.shared.client, size).await?;
        read(&seat, &mut source, &mut body, read_rate).await?;
        seat.shared.live.tally(seat.index).count_unit(begin.elapsed(), 0, 0);
        Ok(())
    };
    let done = seat.shared.finish.run_until_cancelled(work).await;
    seat.rest(done.unwrap_or(Ok(()))).await;
    // A slow reader leaves in the middle of the body, without a word.
}

async fn read(seat: &Seat, source: &mut Source, body: &mut Expected, read_rate: u64) -> Result<(), Fault> {
    let mut ticks = interval(EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let share = read_rate as f64 * EVERY.as_secs_f64();
    let mut allowance = 0.0;
    while !body.is_complete() {
        ticks.tick().await;
        allowance += share;
        while allowance >= 1.0 && !body.is_complete() {
            let before = body.left();
            let max = (allowance as usize).max(1);
            let received = poll_fn(|cx| Poll::Ready(source.poll_receive(cx, max, body))).await;
            let Poll::Ready(received) = received else {
                // Nothing there: what was not read now is not made up for later.
                allowance = 0.0;
                break;
            };
            received?;
            let came = before - body.left();
            seat.shared.live.tally(seat.index).bytes_received += came;
            // What came may be the middle of a record that is not complete yet: it was read all the same.
            allowance -= (came as f64).max(max as f64);
        }
    }
    Ok(())
}
