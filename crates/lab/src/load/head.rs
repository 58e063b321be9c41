//! Sends bytes in the same write as the upgrade request, and verifies that they come back once and in order.
//!
//! ```text
//!   ► upgrade request ┬ head     (one write)
//!   ◄ 101 ┬ greeting             (one write of the origin's, with --greet)
//!   ◄ head's echo
//!   ► marker                     a head delivered twice would come back before it
//!   ◄ marker's echo
//! ```

use std::collections::VecDeque;
use std::future::poll_fn;
use std::task::ready;

use tokio::time::Instant;

use super::fault::Fault;
use super::message::Message;
use super::plan::Greet;
use super::seat::Seat;
use super::tunnel::{Late, Tunnel};
use super::verify::Expected;
use super::ws::Event;
use crate::pattern::Position;
use crate::upstream::GREETING;

/// Bytes of the message after the head's echo.
const MARKER: usize = 32;

/// Opens a tunnel with a head, and holds it.
pub(super) async fn worker(mut seat: Seat, size: Option<usize>, greet: Greet) {
    let begin = Instant::now();
    let opening = async {
        let head = size.map(|size| Message::new(Position::of(seat.index, 0), size, [0x5A, 0xA5, 0x3C, 0xC3]));
        let mut tunnel = seat.shared.client.tunnel(seat.index, head).await?;
        let early = greet != Greet::None && tunnel.has_early_bytes();
        verify(&mut tunnel, seat.index, size, greet).await?;
        Ok((tunnel, early))
    };
    let Some((mut tunnel, early)) = seat.open(Box::pin(opening)).await else {
        return;
    };
    {
        let bytes = (size.unwrap_or(0) + MARKER) as u64;
        let mut tally = seat.shared.live.tally(seat.index);
        tally.early_greetings += u64::from(early);
        tally.count_unit(begin.elapsed(), bytes, bytes);
    }
    let index = seat.index;
    let mut surplus = |event: Event<'_>| match event {
        Event::Data(_) => Err(Fault::WrongBytes(format!("tunnel {index}: more than was sent"))),
        _ => Ok(()),
    };
    seat.go().await;
    let ended = seat.shared.finish.run_until_cancelled(tunnel.idle(&mut surplus)).await;
    seat.rest(ended.map_or(Ok(()), Err)).await;
    seat.close(tunnel, Late::Fault).await;
}

async fn verify(tunnel: &mut Tunnel, index: u64, size: Option<usize>, greet: Greet) -> Result<(), Fault> {
    let greeting = match greet {
        Greet::None => None,
        Greet::Text => Some(Expected::text(GREETING.as_bytes())),
        Greet::Bytes(bytes) => Some(Expected::new(Position::start(), bytes as u64)),
    };
    let head = size.map(|size| Expected::new(Position::of(index, 0), size as u64));
    let mut owed: VecDeque<(&str, Expected)> = VecDeque::new();
    owed.extend(greeting.map(|greeting| ("the greeting", greeting)));
    owed.extend(head.map(|head| ("the head's echo", head)));
    converse(tunnel, index, &mut owed, None).await?;

    let position = Position::of(index, 1);
    owed.push_back(("the marker's echo", Expected::new(position, MARKER as u64)));
    let marker = Message::new(position, MARKER, tunnel.mask());
    converse(tunnel, index, &mut owed, Some(marker)).await
}

/// Sends `message` and receives what is owed, exactly that and in order.
async fn converse(
    tunnel: &mut Tunnel,
    index: u64,
    owed: &mut VecDeque<(&str, Expected)>,
    mut message: Option<Message>,
) -> Result<(), Fault> {
    poll_fn(|cx| {
        while message.is_some() || !owed.is_empty() {
            if let std::task::Poll::Ready(sent) = tunnel.poll_send(cx, &mut |_| message.take()) {
                sent?;
            }
            ready!(tunnel.poll_receive(cx, usize::MAX, &mut |event| {
                let Some((what, expected)) = owed.front_mut() else {
                    return Err(Fault::WrongBytes(format!("tunnel {index}: more than was sent")));
                };
                let name = || format!("tunnel {index}: {what}");
                match event {
                    Event::Data(data) => expected.data(data, name)?,
                    Event::MessageEnd => {
                        expected.end(name)?;
                        owed.pop_front();
                    }
                    _ => {}
                }
                Ok(())
            }))?;
        }
        std::task::Poll::Ready(Ok(()))
    })
    .await
}
