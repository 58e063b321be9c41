//! Sends bodies, and checks that as many bytes arrived.

use std::future::poll_fn;
use std::time::Duration;

use tokio::time::{Instant, timeout};

use super::client::Client;
use super::fault::Fault;
use super::http::{self, Head};
use super::kept_alive::KeptAlive;
use super::message::Message;
use super::plan::Carrier;
use super::seat::{Seat, Shared};
use super::stream::Stream;
use super::tunnel::{Late, Tunnel};
use super::ws::Event;
use crate::pattern::Position;

/// Plaintext of one write: one full TLS record.
const PIECE: u64 = 16 << 10;
/// Bytes of one message, where a body travels in messages.
const MESSAGE: u64 = 64 << 10;
/// A body that travels more slowly than this has stalled.
const SLOWEST_BYTES_PER_SECOND: f64 = (1 << 20) as f64;
/// How long to look for the reason when the target stops reading.
const REASON_PATIENCE: Duration = Duration::from_secs(1);
/// The longest answer to an upload.
const ANSWER_MAX: usize = 1 << 10;

/// Sends one body after another on one connection.
pub(super) async fn worker(mut seat: Seat, size: u64, over: Carrier) {
    let Some(mut sink) = seat.open(Box::pin(Sink::open(&seat, size, over))).await else {
        return;
    };
    seat.go().await;
    let done = repeat(&seat, &mut sink, size).await;
    let whole = done.is_ok();
    seat.rest(done).await;
    if let (true, Sink::Tunnel(tunnel)) = (whole, sink) {
        seat.close(tunnel, Late::Fault).await;
    }
}

async fn repeat(seat: &Seat, sink: &mut Sink, size: u64) -> Result<(), Fault> {
    let patience = transfer_patience(&seat.shared, size);
    let mut done = 0;
    while seat.shared.goes_on(done) {
        let begin = Instant::now();
        timeout(patience, sink.fill(&seat.shared.client, size))
            .await
            .unwrap_or(Err(Fault::Timeout("an upload")))?;
        seat.shared.live.tally(seat.index).count_unit(begin.elapsed(), size, 0);
        done += 1;
    }
    Ok(())
}

/// Where a body goes.
#[derive(Debug)]
enum Sink {
    Http { kept: KeptAlive, request: String },
    Tunnel(Box<Tunnel>),
}

impl Sink {
    async fn open(seat: &Seat, size: u64, over: Carrier) -> Result<Self, Fault> {
        let client = &seat.shared.client;
        Ok(match over {
            Carrier::Http => {
                let request = format!("{}Content-Length: {size}\r\n\r\n", client.request("POST", seat.index));
                Self::Http {
                    kept: KeptAlive::connect(client, seat.index).await?,
                    request,
                }
            }
            Carrier::Websocket => Self::Tunnel(client.tunnel(seat.index, None).await?),
        })
    }

    async fn fill(&mut self, client: &Client, size: u64) -> Result<(), Fault> {
        match self {
            Self::Http { kept, request } => {
                let head = request_once(kept.stream(client).await?, request, size).await?;
                kept.answered(&head);
                Ok(())
            }
            Self::Tunnel(tunnel) => messages_once(tunnel, size).await,
        }
    }
}

/// How long one body may travel.
pub(super) fn transfer_patience(shared: &Shared, size: u64) -> Duration {
    shared.client.timeout + Duration::from_secs_f64(size as f64 / SLOWEST_BYTES_PER_SECOND)
}

async fn request_once(stream: &mut Stream, request: &str, size: u64) -> Result<Head, Fault> {
    if let Err(fault) = send_body(stream, request, size).await {
        // Whoever refuses a body answers and stops reading it.
        let reason = timeout(REASON_PATIENCE, http::read_head(stream)).await;
        return Err(if let Ok(Ok(head)) = reason {
            head.refusal("the upload")
        } else {
            fault
        });
    }
    let head = http::read_head(stream).await?;
    if head.status != 200 {
        return Err(head.refusal("the upload"));
    }
    let mut answer = Vec::new();
    http::read_body(stream, &head, &mut |piece| gather(&mut answer, piece)).await?;
    check(&answer, size)?;
    Ok(head)
}

async fn send_body(stream: &mut Stream, request: &str, size: u64) -> Result<(), Fault> {
    let mut piece = request.as_bytes().to_vec();
    let (mut position, mut left) = (Position::start(), size);
    loop {
        let now = left.min(PIECE.saturating_sub(piece.len() as u64));
        position.write(now as usize, &mut piece);
        left -= now;
        http::send(stream, &piece).await?;
        if left == 0 {
            return Ok(());
        }
        piece.clear();
    }
}

async fn messages_once(tunnel: &mut Tunnel, size: u64) -> Result<(), Fault> {
    let (mut left, mut position) = (size, Position::start());
    let mut answer = Vec::new();
    let mut answered = false;
    let mut asked = false;
    poll_fn(|cx| {
        loop {
            let sent = tunnel.poll_send(cx, &mut |mask| {
                let now = left.min(MESSAGE);
                left -= now;
                let message = Message::new(position, now as usize, mask);
                position = position.after(now);
                (now > 0).then_some(message)
            })?;
            if sent.is_ready() && !std::mem::replace(&mut asked, true) {
                tunnel.queue_text("end");
                continue;
            }
            let received = tunnel.poll_receive(cx, usize::MAX, &mut |event| match event {
                Event::Data(data) => gather(&mut answer, data),
                Event::MessageEnd => {
                    answered = true;
                    Ok(())
                }
                _ => Ok(()),
            })?;
            if answered {
                return std::task::Poll::Ready(check(&answer, size));
            }
            std::task::ready!(received);
        }
    })
    .await
}

fn gather(answer: &mut Vec<u8>, piece: &[u8]) -> Result<(), Fault> {
    answer.extend_from_slice(piece);
    if answer.len() > ANSWER_MAX {
        Err(Fault::Protocol("a long answer to an upload"))
    } else {
        Ok(())
    }
}

/// `{"bytes": n}`, as `headpin upstream` says.
fn check(answer: &[u8], size: u64) -> Result<(), Fault> {
    #[derive(serde::Deserialize)]
    struct Counted {
        bytes: u64,
    }
    match serde_json::from_slice::<Counted>(answer) {
        Ok(Counted { bytes }) if bytes == size => Ok(()),
        Ok(Counted { bytes }) => Err(Fault::WrongBytes(format!("{bytes} of {size} bytes arrived"))),
        Err(_) => Err(Fault::Protocol(
            "an answer to an upload that does not say {\"bytes\": n}",
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_answer_must_count_every_byte() {
        assert!(check(b"{\"bytes\": 10}\n", 10).is_ok());
        assert!(
            check(b"{\"bytes\": 9}", 10)
                .unwrap_err()
                .to_string()
                .contains("9 of 10")
        );
        assert!(check(b"OK", 10).is_err());
    }
}
