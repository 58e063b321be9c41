//! Sends messages that come back: a fixed number of them under way, or each at its time.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::{Instant, Interval, interval_at, timeout};

use super::fault::Fault;
use super::message::Message;
use super::plan::Work;
use super::seat::{Seat, Step};
use super::tunnel::{Late, Tunnel};
use super::verify::Expected;
use super::ws::Event;
use crate::pattern::Position;

/// Keeps one tunnel busy.
pub(super) async fn worker(mut seat: Seat) {
    let Work::Echo {
        connections,
        size,
        in_flight,
        rate,
        ..
    } = seat.shared.plan.work
    else {
        unreachable!("a run spawns this for echoes only")
    };
    let Some(mut tunnel) = seat.open(Box::pin(seat.shared.client.tunnel(seat.index, None))).await else {
        return;
    };
    seat.go().await;
    let mut talk = Talk::new(seat.index, size, in_flight, seat.shared.budget());
    talk.beat = rate.map(|rate| Beat::new(seat.index, connections, rate));
    let count = |took| {
        seat.shared
            .live
            .tally(seat.index)
            .count_unit(took, size as u64, size as u64)
    };
    let done = loop {
        let before = talk.received;
        let work = timeout(seat.shared.client.timeout, talk.run(&mut tunnel, Step::Work, &count));
        match seat.shared.finish.run_until_cancelled(work).await {
            None => break seat.in_time(talk.run(&mut tunnel, Step::Finish, &count)).await,
            Some(Ok(done)) => break done,
            Some(Err(_)) if talk.received > before || talk.sent == talk.received => {}
            Some(Err(_)) => break Err(Fault::Timeout("an echo")),
        }
    };
    let whole = done.is_ok();
    seat.rest(done).await;
    if whole {
        seat.close(tunnel, Late::Fault).await;
    }
}

/// A tunnel's messages: made up, sent, and verified.
#[derive(Debug)]
pub(super) struct Talk {
    index: u64,
    size: usize,
    window: u64,
    budget: u64,
    sent: u64,
    received: u64,
    /// When the messages under way were sent.
    sent_at: VecDeque<Instant>,
    expected: Expected,
    /// What gives messages their time, if it is not the answers.
    beat: Option<Beat>,
}

/// When one tunnel of several sends, so that all of them together keep a rate.
///
/// Timers are good to a millisecond, so messages go out in bursts of what is due. Latency is counted from that moment,
/// whether or not the socket takes them.
#[derive(Debug)]
struct Beat {
    ticks: Interval,
    /// When each message became due that was not sent yet.
    due: VecDeque<Instant>,
}

impl Beat {
    /// Of tunnel `index` of `connections`, which send at `rate` a second together, one after another.
    fn new(index: u64, connections: u64, rate: f64) -> Self {
        let period = Duration::from_secs_f64(connections as f64 / rate);
        let phase = period.mul_f64((index % connections) as f64 / connections as f64);
        Self {
            // Ticks that were missed are made up for.
            ticks: interval_at(Instant::now() + phase, period),
            due: VecDeque::new(),
        }
    }

    fn poll(&mut self, cx: &mut Context<'_>) {
        while self.ticks.poll_tick(cx).is_ready() {
            self.due.push_back(Instant::now());
        }
    }
}

impl Talk {
    pub(super) fn new(index: u64, size: usize, window: u64, budget: u64) -> Self {
        let expected = Expected::new(Position::of(index, 0), size as u64);
        Self {
            index,
            size,
            window,
            budget,
            sent: 0,
            received: 0,
            sent_at: VecDeque::new(),
            expected,
            beat: None,
        }
    }

    /// Tells `count` how long each message took. Sends and receives until the budget is used up, or with [`Step::Finish`] until nothing is under way.
    ///
    /// # Cancel safety
    /// It goes on where it was when it is called again.
    pub(super) async fn run(
        &mut self,
        tunnel: &mut Tunnel,
        step: Step,
        count: &impl Fn(Duration),
    ) -> Result<(), Fault> {
        if step == Step::Finish {
            self.budget = self.sent;
        }
        poll_fn(|cx| self.poll(cx, tunnel, count)).await
    }

    fn poll(
        &mut self,
        cx: &mut Context<'_>,
        tunnel: &mut Tunnel,
        count: &impl Fn(Duration),
    ) -> Poll<Result<(), Fault>> {
        loop {
            if let Some(beat) = &mut self.beat {
                beat.poll(cx);
            }
            // A blocked write must not keep us from reading: the target may wait for just that.
            if let Poll::Ready(sent) = tunnel.poll_send(cx, &mut |mask| self.next(mask)) {
                sent?;
            }
            if self.received == self.budget {
                return Poll::Ready(Ok(()));
            }
            match tunnel.poll_receive(cx, usize::MAX, &mut |event| self.take(&event, count)) {
                Poll::Ready(received) => received?,
                Poll::Pending => return Poll::Pending,
            };
        }
    }

    fn next(&mut self, mask: [u8; 4]) -> Option<Message> {
        if self.sent == self.budget {
            return None;
        }
        let begin = match &mut self.beat {
            Some(beat) => beat.due.pop_front()?,
            None if self.sent - self.received < self.window => Instant::now(),
            None => return None,
        };
        let message = Message::new(Position::of(self.index, self.sent), self.size, mask);
        self.sent += 1;
        self.sent_at.push_back(begin);
        Some(message)
    }

    fn take(&mut self, event: &Event<'_>, count: &impl Fn(Duration)) -> Result<(), Fault> {
        match event {
            Event::Data(_) if self.sent_at.is_empty() => {
                Err(Fault::WrongBytes(format!("tunnel {}: an echo of nothing", self.index)))
            }
            Event::Data(data) => self
                .expected
                .data(data, || format!("tunnel {} message {}", self.index, self.received)),
            Event::MessageEnd => {
                self.expected
                    .end(|| format!("tunnel {} message {}", self.index, self.received))?;
                let sent_at = self.sent_at.pop_front();
                let sent_at = sent_at.ok_or_else(|| Fault::WrongBytes("an echo of nothing".to_owned()))?;
                self.received += 1;
                self.expected = Expected::new(Position::of(self.index, self.received), self.size as u64);
                count(sent_at.elapsed());
                Ok(())
            }
            _ => Ok(()),
        }
    }
}
