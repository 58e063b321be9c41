//! Receives bodies, and verifies them.

use std::future::poll_fn;
use std::task::{Context, Poll, ready};

use tokio::time::{Instant, timeout};

use super::client::Client;
use super::fault::Fault;
use super::http::{self, Head};
use super::kept_alive::KeptAlive;
use super::plan::Carrier;
use super::seat::Seat;
use super::stream::Received;
use super::tunnel::{Late, Tunnel};
use super::upload::transfer_patience;
use super::verify::Expected;
use super::ws::Event;
use crate::pattern::Position;

/// Receives one body after another on one connection.
pub(super) async fn worker(mut seat: Seat, size: u64, over: Carrier) {
    let Some(mut source) = seat.open(Box::pin(Source::open(&seat, over))).await else {
        return;
    };
    seat.go().await;
    let done = repeat(&seat, &mut source, size).await;
    let whole = done.is_ok();
    seat.rest(done).await;
    if let (true, Source::Tunnel(tunnel)) = (whole, source) {
        seat.close(tunnel, Late::Fault).await;
    }
}

async fn repeat(seat: &Seat, source: &mut Source, size: u64) -> Result<(), Fault> {
    let patience = transfer_patience(&seat.shared, size);
    let mut done = 0;
    while seat.shared.goes_on(done) {
        let begin = Instant::now();
        let once = async {
            let mut body = source.ask(&seat.shared.client, size).await?;
            while !body.is_complete() {
                poll_fn(|cx| source.poll_receive(cx, usize::MAX, &mut body)).await?;
            }
            source.end_body();
            Ok(())
        };
        timeout(patience, once)
            .await
            .unwrap_or(Err(Fault::Timeout("a download")))?;
        seat.shared.live.tally(seat.index).count_unit(begin.elapsed(), 0, size);
        done += 1;
    }
    Ok(())
}

/// Where a body comes from.
#[derive(Debug)]
pub(super) enum Source {
    Http {
        kept: KeptAlive,
        request: String,
        head: Option<Head>,
    },
    Tunnel(Box<Tunnel>),
}

impl Source {
    pub(super) async fn open(seat: &Seat, over: Carrier) -> Result<Self, Fault> {
        let client = &seat.shared.client;
        Ok(match over {
            Carrier::Http => {
                let request = client.request("GET", seat.index) + "\r\n";
                Self::Http {
                    kept: KeptAlive::connect(client, seat.index).await?,
                    request,
                    head: None,
                }
            }
            Carrier::Websocket => Self::Tunnel(client.tunnel(seat.index, None).await?),
        })
    }

    /// Asks for a body of `size` bytes; what comes with the answer's head is verified.
    pub(super) async fn ask(&mut self, client: &Client, size: u64) -> Result<Expected, Fault> {
        let mut body = Expected::new(Position::start(), size);
        match self {
            Self::Http { kept, request, head } => {
                let stream = kept.stream(client).await?;
                http::send(stream, request.as_bytes()).await?;
                let answer = http::read_head(stream).await?;
                if answer.status != 200 {
                    return Err(answer.refusal("the download"));
                }
                if answer.content_length()? != size {
                    return Err(Fault::Protocol("a download of another length than was asked for"));
                }
                body.data(&answer.rest, name)?;
                *head = Some(answer);
            }
            Self::Tunnel(tunnel) => {
                tunnel.queue_text(&size.to_string());
                poll_fn(|cx| tunnel.poll_send(cx, &mut |_| None)).await?;
            }
        }
        Ok(body)
    }

    /// The body has been read to its end.
    fn end_body(&mut self) {
        if let Self::Http { kept, head, .. } = self
            && let Some(head) = head.take()
        {
            kept.answered(&head);
        }
    }

    /// Reads once, at most `max` bytes from the socket.
    pub(super) fn poll_receive(
        &mut self,
        cx: &mut Context<'_>,
        max: usize,
        body: &mut Expected,
    ) -> Poll<Result<(), Fault>> {
        let received = match self {
            Self::Http { kept, .. } => {
                let stream = kept.current().ok_or(Fault::Ended)?;
                ready!(stream.poll_receive(cx, max, &mut |piece| body.data(piece, name)))?
            }
            Self::Tunnel(tunnel) => {
                // Pings are answered when the way is free; a body that comes slowly must not wait for that.
                _ = tunnel.poll_send(cx, &mut |_| None)?;
                ready!(tunnel.poll_receive(cx, max, &mut |event| match event {
                    Event::Data(piece) => body.data(piece, name),
                    _ => Ok(()),
                }))?
            }
        };
        Poll::Ready(if received == Received::End && !body.is_complete() {
            Err(Fault::Ended)
        } else {
            Ok(())
        })
    }
}

fn name() -> String {
    "the download".to_owned()
}
