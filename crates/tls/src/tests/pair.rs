//! A client and a server with a scripted wire between them, moved by hand.

use std::io::{self, Read, Write};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use headpin_slab::{SlabSlice, SliceRead};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection};
use tokio::io::AsyncWrite;

use super::fixture::Fixture;
use super::wire::{Shape, Wire};
use crate::{HandshakeError, SlabStream, TlsBuffers};

/// More polls than any test here needs: who gets there hangs.
const PATIENCE: usize = 1_000_000;
pub(super) const DEADLINE: Duration = Duration::from_secs(10);

pub(super) struct Pair {
    pub(super) client: ClientConnection,
    pub(super) server: SlabStream<Wire>,
    pub(super) wire: Wire,
    pub(super) buffers: Rc<TlsBuffers>,
}

pub(super) fn poll_once<T>(poll: impl FnOnce(&mut Context<'_>) -> Poll<T>) -> Poll<T> {
    poll(&mut Context::from_waker(Waker::noop()))
}

pub(super) fn new_client(config: &Arc<ClientConfig>) -> ClientConnection {
    let name = ServerName::try_from("localhost").unwrap();
    let mut client = ClientConnection::new(Arc::clone(config), name).unwrap();
    client.set_buffer_limit(None);
    client
}

/// Everything that `client` has to send.
pub(super) fn flight(client: &mut ClientConnection) -> Vec<u8> {
    let mut bytes = Vec::new();
    while client.wants_write() {
        client.write_tls(&mut bytes).unwrap();
    }
    bytes
}

/// Lets `client` have `bytes`; the plaintext in them.
pub(super) fn feed(client: &mut ClientConnection, mut bytes: &[u8]) -> Result<Vec<u8>, rustls::Error> {
    let mut plaintext = Vec::new();
    while !bytes.is_empty() {
        client.read_tls(&mut bytes).unwrap();
        let state = client.process_new_packets()?;
        let start = plaintext.len();
        plaintext.resize(start + state.plaintext_bytes_to_read(), 0);
        client.reader().read_exact(&mut plaintext[start..]).unwrap();
    }
    Ok(plaintext)
}

impl Pair {
    /// Shakes hands over a wire of `shape`.
    pub(super) fn connect(fixture: &Fixture, config: &Arc<ClientConfig>, shape: Shape) -> Self {
        Self::connect_with(fixture, config, shape, &[])
    }

    /// Shakes hands; `early` goes in the same flight as the client's Finished.
    pub(super) fn connect_with(fixture: &Fixture, config: &Arc<ClientConfig>, shape: Shape, early: &[u8]) -> Self {
        let client = new_client(config);
        let (client, wire, result) = shake(fixture, client, shape, early);
        let mut pair = Self {
            client,
            server: result.unwrap(),
            wire,
            buffers: Rc::clone(&fixture.buffers),
        };
        assert_eq!(pair.client_reads(), b"", "nobody has written yet");
        pair
    }

    pub(super) fn client_writes(&mut self, bytes: &[u8]) {
        self.client_queues(bytes);
        self.client_flushes();
    }

    /// As [`Self::client_writes`], but the ciphertext stays with the client.
    pub(super) fn client_queues(&mut self, bytes: &[u8]) {
        self.client.writer().write_all(bytes).unwrap();
    }

    pub(super) fn client_flushes(&mut self) {
        self.wire.push(&flight(&mut self.client));
    }

    /// The plaintext that has arrived at the client.
    pub(super) fn client_reads(&mut self) -> Vec<u8> {
        feed(&mut self.client, &self.wire.take()).unwrap()
    }

    /// One slice as bytes, the end, or an error; `Pending` once the wire has nothing more.
    pub(super) fn read(&mut self) -> Poll<io::Result<Option<Vec<u8>>>> {
        let mut idle = 0;
        for _ in 0..PATIENCE {
            idle = if self.wire.is_drained() { idle + 1 } else { 0 };
            match self.polls_slice() {
                Poll::Ready(read) => return Poll::Ready(read.map(|slice| slice.map(|slice| slice.to_vec()))),
                // Once may be hesitation.
                Poll::Pending if idle > 2 => return Poll::Pending,
                Poll::Pending => {}
            }
        }
        panic!("the reader hangs");
    }

    /// Reads until there is no more on the wire, which must not be the end.
    pub(super) fn reads(&mut self) -> Vec<u8> {
        let mut bytes = Vec::new();
        while let Poll::Ready(read) = self.read() {
            bytes.extend(read.unwrap().expect("not the end"));
        }
        bytes
    }

    /// Reads to the end: what came, and the error it ended with, if so.
    pub(super) fn read_to_end(&mut self) -> (Vec<u8>, Option<io::Error>) {
        let mut bytes = Vec::new();
        loop {
            match self.read() {
                Poll::Ready(Ok(Some(slice))) => bytes.extend(slice),
                Poll::Ready(end) => return (bytes, end.err()),
                Poll::Pending => panic!("no end"),
            }
        }
    }

    /// Writes and flushes; what the client got meanwhile.
    pub(super) fn writes(&mut self, mut bytes: &[u8]) -> Vec<u8> {
        let mut arrived = Vec::new();
        for _ in 0..PATIENCE {
            if bytes.is_empty() {
                if poll_once(|cx| Pin::new(&mut self.server).poll_flush(cx)).is_ready() {
                    arrived.extend(self.client_reads());
                    return arrived;
                }
            } else if let Poll::Ready(taken) = self.try_write(bytes) {
                bytes = &bytes[taken.unwrap()..];
            }
            arrived.extend(self.client_reads());
        }
        panic!("the writer hangs");
    }

    /// As if another process went on, if one could.
    pub(super) fn hands_over(&mut self) {
        let Some(state) = self.server.state() else { return };
        let sent = postcard::to_allocvec(&state).unwrap();
        let state = postcard::from_bytes(&sent).unwrap();
        self.server = SlabStream::resume(self.wire.clone(), &state, Rc::clone(&self.buffers)).unwrap();
    }

    pub(super) fn try_write(&mut self, bytes: &[u8]) -> Poll<io::Result<usize>> {
        poll_once(|cx| Pin::new(&mut self.server).poll_write(cx, bytes))
    }

    pub(super) fn polls_slice(&mut self) -> Poll<io::Result<Option<SlabSlice>>> {
        poll_once(|cx| self.server.poll_read_slice(cx, usize::MAX))
    }

    pub(super) fn polls_shutdown(&mut self) -> Poll<io::Result<()>> {
        poll_once(|cx| Pin::new(&mut self.server).poll_shutdown(cx))
    }

    pub(super) fn shuts_down(&mut self) -> io::Result<()> {
        for _ in 0..PATIENCE {
            if let Poll::Ready(done) = self.polls_shutdown() {
                return done;
            }
        }
        panic!("shutting down hangs");
    }
}

/// Moves a handshake until the server has made up its mind; `early` goes in the same flight as the client's Finished.
pub(super) fn shake(
    fixture: &Fixture,
    mut client: ClientConnection,
    shape: Shape,
    early: &[u8],
) -> (ClientConnection, Wire, Result<SlabStream<Wire>, HandshakeError>) {
    // Before the handshake is done, rustls keeps it back until the flight with Finished.
    client.writer().write_all(early).unwrap();
    shake_with(fixture, client, shape, |_, flight| flight)
}

/// As [`shake`], with the client's flights as `change` makes them.
pub(super) fn shake_with(
    fixture: &Fixture,
    mut client: ClientConnection,
    shape: Shape,
    mut change: impl FnMut(&ClientConnection, Vec<u8>) -> Vec<u8>,
) -> (ClientConnection, Wire, Result<SlabStream<Wire>, HandshakeError>) {
    let wire = Wire::new(shape);
    let config = Arc::clone(&fixture.server);
    let _clock = fixture.clock();
    let mut accept = pin!(SlabStream::accept(
        wire.clone(),
        config,
        Rc::clone(&fixture.buffers),
        DEADLINE
    ));
    for _ in 0..PATIENCE {
        let flight = flight(&mut client);
        wire.push(&change(&client, flight));
        if let Poll::Ready(result) = poll_once(|cx| accept.as_mut().poll(cx)) {
            return (client, wire, result);
        }
        // Of a client that is told why it is refused.
        if wire.is_shut_down() {
            wire.end();
            continue;
        }
        let _ = feed(&mut client, &wire.take());
    }
    panic!("the handshake hangs");
}
