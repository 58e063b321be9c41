//! The bodies of requests and responses on their way through.

use std::cell::Cell;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf, Bytes};
use http_body::{Body as HttpBody, Frame, SizeHint};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Empty, Full};
use tokio::time::Instant;
use tower::BoxError;

use super::head_io::IoState;
use super::lease::Lease;
use crate::upstream::ReadPace;

/// A streamed body, from either side.
pub(crate) type Body = UnsyncBoxBody<Bytes, BoxError>;

pub(crate) fn boxed<B>(body: B) -> Body
where
    B: HttpBody<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    body.map_err(Into::into).boxed_unsync()
}

pub(crate) fn empty() -> Body {
    boxed(Empty::new())
}

pub(crate) fn text(text: impl Into<Bytes>) -> Body {
    boxed(Full::new(text.into()))
}

/// A client that takes nothing for so long is slow: a round trip on most paths, and far more than a fast client that waits
/// for a core of its machine.
const SLOW: Duration = Duration::from_millis(100);

/// Bytes that prove that a client reads: more than the kernels between take for one that does not. Linux's send and receive
/// buffers grow to 4 and 6 MiB (`tcp_wmem`, `tcp_rmem`).
const PROOF: usize = 16 * 1024 * 1024;

/// How well the client of one connection takes what it is given.
#[derive(Debug, Default)]
pub(crate) struct Appetite {
    /// Bytes given to it since it was slow.
    given: Cell<usize>,
}

impl Appetite {
    fn is_proved(&self) -> bool {
        self.given.get() >= PROOF
    }
}

pin_project_lite::pin_project! {
    /// A response body that gives nothing more while the client does not take what it gave before.
    ///
    /// hyper asks a body for more until its own buffer is full, whether the client reads or not. Behind this a slow reader
    /// holds the rest of one piece in TLS, and the next piece on its way from the upstream.
    pub(crate) struct PacedBody<B> {
        #[pin]
        body: B,
        io: Rc<IoState>,
        appetite: Rc<Appetite>,
        pace: Option<ReadPace>,
        // Given back with the body, which is dropped when it has ended.
        lease: Option<Lease>,
        blocked_since: Option<Instant>,
    }

    impl<B> PinnedDrop for PacedBody<B> {
        fn drop(this: Pin<&mut Self>) {
            this.io.flow.response_done();
        }
    }
}

impl<B> PacedBody<B> {
    /// `body`, for the connection that `io` and `appetite` are of; `lease` is what it holds of its upstream.
    pub(crate) fn new(body: B, io: Rc<IoState>, appetite: Rc<Appetite>, mut lease: Option<Lease>) -> Self {
        Self::at_pace(body, io, appetite, lease.as_mut().and_then(Lease::pace), lease)
    }

    fn at_pace(body: B, io: Rc<IoState>, appetite: Rc<Appetite>, pace: Option<ReadPace>, lease: Option<Lease>) -> Self {
        if let Some(pace) = &pace {
            pace.set_large(appetite.is_proved());
        }
        Self {
            body,
            io,
            appetite,
            pace,
            lease,
            blocked_since: None,
        }
    }
}

impl<B: HttpBody> HttpBody for PacedBody<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        let this = self.project();
        if this.io.flow.poll_unblocked().is_pending() {
            this.blocked_since.get_or_insert_with(Instant::now);
            return Poll::Pending;
        }
        let given = &this.appetite.given;
        if this.blocked_since.take().is_some_and(|since| since.elapsed() >= SLOW) {
            given.set(0);
        }
        let frame = ready!(this.body.poll_frame(cx));
        if let (Some(Ok(frame)), Some(pace)) = (&frame, this.pace) {
            let bytes = frame.data_ref().map_or(0, Buf::remaining);
            given.set(given.get().saturating_add(bytes));
            pace.set_large(this.appetite.is_proved());
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use headpin_slab::{Meter, SlabReader, SlabSettings, WorkerSlabs};
    use http::{Request, Response};
    use hyper::body::Incoming;
    use hyper::server::conn::http1;
    use hyper::service::service_fn;
    use hyper_util::rt::TokioIo;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::task::{LocalSet, yield_now};

    use super::*;
    use crate::http::HeadIo;
    use crate::observe::labels::HeadPolicy;

    const PIECE: usize = 16 * 1024;
    const PIECES: usize = 40;
    /// What the client's side takes without reading.
    const WINDOW: usize = 4 * PIECE;

    /// Gives one piece a poll, as a body does that comes from an upstream, and counts them.
    struct Pieces {
        given: Rc<Cell<usize>>,
        waits: bool,
    }

    impl HttpBody for Pieces {
        type Data = Bytes;
        type Error = Infallible;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            cx: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
            self.waits = !self.waits;
            if self.waits {
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            let given = self.given.get();
            self.given.set(given + 1);
            Poll::Ready((given < PIECES).then(|| Ok(Frame::data(Bytes::from_static(&[b'x'; PIECE])))))
        }

        fn size_hint(&self) -> SizeHint {
            SizeHint::with_exact((PIECES * PIECE) as u64)
        }
    }

    #[test]
    fn reads_are_large_once_a_client_has_taken_much() {
        let pace = ReadPace::default();
        let appetite = Rc::new(Appetite::default());
        let piece = Bytes::from(vec![0; PROOF / 2]);
        let mut context = Context::from_waker(std::task::Waker::noop());
        let mut take = || {
            let body = http_body_util::Full::new(piece.clone());
            let mut body = PacedBody::at_pace(body, Rc::default(), Rc::clone(&appetite), Some(pace.clone()), None);
            assert!(Pin::new(&mut body).poll_frame(&mut context).is_ready());
            pace.is_large()
        };
        assert_eq!([take(), take()], [false, true]);
        appetite.given.set(0);
        assert!(!take(), "it was slow since");
    }

    #[tokio::test]
    async fn a_client_that_does_not_read_is_given_no_more() {
        let settings = SlabSettings {
            worker: 0,
            tls_capacity: 1 << 20,
            tcp_capacity: 1 << 20,
            spares: 0,
        };
        let meter: Rc<dyn Meter> = Rc::new(());
        let slabs = WorkerSlabs::new(&settings, HeadPolicy::Copy, &meter);
        let (mut client, server) = tokio::io::duplex(WINDOW);
        let io = HeadIo::new(SlabReader::new(server, slabs));
        let (state, given) = (io.state(), Rc::new(Cell::new(0)));
        let counted = Rc::clone(&given);
        let service = service_fn(move |_: Request<Incoming>| {
            let body = Pieces {
                given: Rc::clone(&counted),
                waits: false,
            };
            let body = PacedBody::new(body, Rc::clone(&state), Rc::default(), None);
            async { Ok::<_, Infallible>(Response::new(body)) }
        });
        let tasks = LocalSet::new();
        let connection = http1::Builder::new().serve_connection(TokioIo::new(io), service);
        let serving = tasks.spawn_local(connection);
        let reading = async {
            client.write_all(b"GET / HTTP/1.0\r\n\r\n").await.unwrap();
            // Nothing but these two runs here: after some turns the connection has come as far as it can.
            for _ in 0..1000 {
                yield_now().await;
            }
            // Four in the window, and one that was on its way. hyper's own buffer would hold 16 more.
            assert!((4..=6).contains(&given.get()), "{} pieces", given.get());
            let mut received = Vec::new();
            client.read_to_end(&mut received).await.unwrap();
            assert_eq!(received.iter().filter(|byte| **byte == b'x').count(), PIECES * PIECE);
        };
        tasks.run_until(reading).await;
        tasks.run_until(serving).await.unwrap().unwrap();
    }
}
