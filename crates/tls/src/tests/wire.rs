//! A transport whose every read and write is scripted.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use headpin_slab::Readable;

/// What the wire gives and takes at a time.
#[derive(Debug, Clone, Copy)]
pub(super) struct Shape {
    /// Bytes that one read gives at most.
    pub(super) read: usize,
    /// Bytes that one write takes at most.
    pub(super) write: usize,
    /// Whether each read and each write is `Pending` once before it is ready.
    pub(super) hesitates: bool,
}

impl Shape {
    pub(super) const WIDE: Self = Self {
        read: usize::MAX,
        write: usize::MAX,
        hesitates: false,
    };
}

/// The server's end of the wire; a clone is the test's.
#[derive(Debug, Clone)]
pub(super) struct Wire(Rc<RefCell<State>>);

#[derive(Debug)]
struct State {
    shape: Shape,
    to_server: VecDeque<u8>,
    from_server: Vec<u8>,
    reads: usize,
    writes: usize,
    /// Bytes that are taken before writes are `Pending`; `None` for no end.
    window: Option<usize>,
    ended: bool,
    shut_down: bool,
}

impl Wire {
    pub(super) fn new(shape: Shape) -> Self {
        Self(Rc::new(RefCell::new(State {
            shape,
            to_server: VecDeque::new(),
            from_server: Vec::new(),
            reads: 0,
            writes: 0,
            window: None,
            ended: false,
            shut_down: false,
        })))
    }

    pub(super) fn reshape(&self, shape: Shape) {
        self.0.borrow_mut().shape = shape;
    }

    pub(super) fn push(&self, bytes: &[u8]) {
        self.0.borrow_mut().to_server.extend(bytes);
    }

    /// What the server wrote since the last call.
    pub(super) fn take(&self) -> Vec<u8> {
        std::mem::take(&mut self.0.borrow_mut().from_server)
    }

    /// Whether the server has read all there is.
    pub(super) fn is_drained(&self) -> bool {
        self.0.borrow().to_server.is_empty()
    }

    /// Takes at most `bytes` more from the server, or all.
    pub(super) fn open_window(&self, bytes: Option<usize>) {
        self.0.borrow_mut().window = bytes;
    }

    /// No more will be pushed.
    pub(super) fn end(&self) {
        self.0.borrow_mut().ended = true;
    }

    pub(super) fn is_shut_down(&self) -> bool {
        self.0.borrow().shut_down
    }
}

/// `Pending` at every other call, if `hesitates`.
fn hesitates(hesitates: bool, calls: &mut usize, cx: &Context<'_>) -> bool {
    *calls += 1;
    let hesitate = hesitates && *calls % 2 == 1;
    if hesitate {
        cx.waker().wake_by_ref();
    }
    hesitate
}

impl AsyncRead for Wire {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        assert!(into.remaining() > 0, "a read without room looks like the end");
        let state = &mut *self.0.borrow_mut();
        if hesitates(state.shape.hesitates, &mut state.reads, cx) {
            return Poll::Pending;
        }
        let len = state.to_server.len().min(state.shape.read).min(into.remaining());
        if len == 0 && !state.ended {
            return Poll::Pending;
        }
        let bytes: Vec<u8> = state.to_server.drain(..len).collect();
        into.put_slice(&bytes);
        Poll::Ready(Ok(()))
    }
}

impl Readable for Wire {}

impl AsyncWrite for Wire {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        assert!(!bytes.is_empty(), "nothing to write");
        let state = &mut *self.0.borrow_mut();
        if state.shut_down {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        if hesitates(state.shape.hesitates, &mut state.writes, cx) || state.window == Some(0) {
            return Poll::Pending;
        }
        let len = bytes
            .len()
            .min(state.shape.write)
            .min(state.window.unwrap_or(usize::MAX));
        state.window = state.window.map(|window| window - len);
        state.from_server.extend(&bytes[..len]);
        Poll::Ready(Ok(len))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0.borrow_mut().shut_down = true;
        Poll::Ready(Ok(()))
    }
}

/// Lengths of the records in `ciphertext`, without their headers.
pub(super) fn record_lens(mut ciphertext: &[u8]) -> Vec<usize> {
    let mut lens = Vec::new();
    while let [_, _, _, high, low, rest @ ..] = ciphertext {
        let len = usize::from(u16::from_be_bytes([*high, *low]));
        lens.push(len);
        ciphertext = &rest[len..];
    }
    lens
}

/// What a record of TLS 1.3 adds: content type and tag.
pub(super) const SEALED: usize = 17;
