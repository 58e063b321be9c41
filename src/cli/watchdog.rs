//! Proof that the workers are alive: each must answer a question, not merely a timer run out.

use std::convert::Infallible;
use std::time::Duration;

use tokio::time::{MissedTickBehavior, interval, timeout};

use crate::control::{Life, LifePhase, Workers};

/// How often the proof is given during a drain, unless it is wanted more often still: the manager's patience with a stop
/// is shorter than with a service that runs.
pub(super) const DRAIN_PERIOD: Duration = Duration::from_secs(2);

/// Calls `alive` every `period`, if there is one, and at least every [`DRAIN_PERIOD`] once the proxy drains, as systemd's
/// watchdog watches a stop too: each time after all workers have answered. As long as one does not answer, nothing is called and nothing more is asked; nor is it called
/// when one has ended before its time.
///
/// # Cancel safety
/// Safe: it only looks.
pub(super) async fn follow(
    workers: &Workers,
    life: &Life,
    period: Option<Duration>,
    mut alive: impl FnMut(LifePhase),
) -> Infallible {
    match period {
        Some(period) => {
            tokio::select! {
                never = prove(workers, life, period, &mut alive) => match never {},
                () = life.entered(LifePhase::Draining) => {}
            }
        }
        None => life.entered(LifePhase::Draining).await,
    }
    let period = period.map_or(DRAIN_PERIOD, |period| period.min(DRAIN_PERIOD));
    prove(workers, life, period, &mut alive).await
}

async fn prove(workers: &Workers, life: &Life, period: Duration, alive: &mut impl FnMut(LifePhase)) -> Infallible {
    let mut ticks = interval(period);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let ended = answers(workers, period).await;
        let phase = life.phase();
        if ended == 0 || phase > LifePhase::Running {
            alive(phase);
        } else {
            tracing::error!(ended, "workers have ended before their time");
        }
    }
}

/// As [`Workers::ping`]; says so if that takes longer than half a `period`, which is before the manager acts: it waits
/// for two from the last answer.
async fn answers(workers: &Workers, period: Duration) -> usize {
    let asking = workers.ping();
    tokio::pin!(asking);
    let patience = period / 2;
    if let Ok(ended) = timeout(patience, &mut asking).await {
        return ended;
    }
    tracing::error!(?patience, "a worker does not answer");
    let ended = asking.await;
    tracing::warn!("the workers answer again");
    ended
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use tokio::sync::mpsc::{self, UnboundedReceiver};
    use tokio::time::{advance, sleep};

    use super::*;
    use crate::control::Command;

    const PERIOD: Duration = Duration::from_secs(15);

    /// The ends of the channels that workers read.
    fn workers<const N: usize>() -> (Workers, [UnboundedReceiver<Command>; N]) {
        let mut handles = Vec::new();
        let questions = [(); N].map(|()| {
            let (handle, questions) = mpsc::unbounded_channel();
            handles.push(handle);
            questions
        });
        (Workers::new(handles), questions)
    }

    /// What a worker does that is alive.
    async fn answer(mut questions: UnboundedReceiver<Command>) {
        while let Some(Command::Ping { reply }) = questions.recv().await {
            // At the beginning of a drain whoever asked may have gone.
            let _ = reply.send(());
        }
    }

    /// Counts calls, phase by phase, while `meanwhile` runs.
    async fn count(workers: &Workers, life: &Life, period: Option<Duration>, meanwhile: impl Future) -> (usize, usize) {
        let running = Arc::new(AtomicUsize::new(0));
        let draining = Arc::new(AtomicUsize::new(0));
        let alive = |phase| {
            let calls = if phase == LifePhase::Running {
                &running
            } else {
                &draining
            };
            calls.fetch_add(1, Ordering::Relaxed);
        };
        tokio::select! {
            never = follow(workers, life, period, alive) => match never {},
            _ = meanwhile => {}
        }
        (running.load(Ordering::Relaxed), draining.load(Ordering::Relaxed))
    }

    #[tokio::test(start_paused = true)]
    async fn workers_that_answer_are_alive_every_period() {
        let (workers, [a, b]) = workers();
        let life = Life::default();
        let time = sleep(PERIOD * 3 + PERIOD / 2);
        let meanwhile = async {
            tokio::select! { () = answer(a) => {}, () = answer(b) => {}, () = time => {} }
        };
        assert_eq!(count(&workers, &life, Some(PERIOD), meanwhile).await, (4, 0));
    }

    #[tokio::test(start_paused = true)]
    async fn one_worker_that_hangs_silences_the_watchdog_until_it_answers() {
        let (workers, [a, mut hangs]) = workers();
        let life = Life::default();
        let meanwhile = async {
            tokio::select! { () = answer(a) => {}, () = sleep(PERIOD * 100) => {} }
        };
        assert_eq!(count(&workers, &life, Some(PERIOD), meanwhile).await, (0, 0));
        let mut asked = 0;
        while hangs.try_recv().is_ok() {
            asked += 1;
        }
        assert_eq!(asked, 1, "questions do not pile up");
    }

    #[tokio::test(start_paused = true)]
    async fn a_worker_that_has_ended_is_a_failure_only_while_the_proxy_runs() {
        let (workers, [a, ended]) = workers();
        drop(ended);
        let life = Life::default();
        let meanwhile = async {
            let drained = async {
                sleep(PERIOD * 2 + PERIOD / 2).await;
                life.enter(LifePhase::Draining);
                sleep(DRAIN_PERIOD * 2 + DRAIN_PERIOD / 2).await;
            };
            tokio::select! { () = answer(a) => {}, () = drained => {} }
        };
        assert_eq!(count(&workers, &life, Some(PERIOD), meanwhile).await, (0, 3));
    }

    #[tokio::test(start_paused = true)]
    async fn a_watchdog_that_is_in_a_hurry_is_so_during_a_drain_too() {
        let (workers, [a]) = workers();
        let life = Life::default();
        life.enter(LifePhase::Draining);
        let time = sleep(DRAIN_PERIOD);
        let meanwhile = async {
            tokio::select! { () = answer(a) => {}, () = time => {} }
        };
        let (running, draining) = count(&workers, &life, Some(DRAIN_PERIOD / 10), meanwhile).await;
        assert!(running <= 1 && draining >= 10, "{running}, {draining}");
    }

    #[tokio::test(start_paused = true)]
    async fn without_a_watchdog_only_a_drain_is_followed() {
        let (workers, [a]) = workers();
        let life = Life::default();
        let meanwhile = async {
            let drained = async {
                advance(PERIOD * 10).await;
                life.enter(LifePhase::Draining);
                sleep(DRAIN_PERIOD / 2).await;
            };
            tokio::select! { () = answer(a) => {}, () = drained => {} }
        };
        assert_eq!(count(&workers, &life, None, meanwhile).await, (0, 1));
    }
}
