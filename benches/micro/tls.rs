//! The TLS stream over slabs: headpin's record layer in TLS 1.3, and rustls's connection, which is what TLS 1.2 has.

use std::io::Write as _;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use headpin::certificates::CertificateTable;
use headpin::observe::labels::HeadPolicy;
use headpin_slab::SliceRead as _;
use headpin_tls::{SlabStream, TlsAcceptor, TlsBuffers};
use rustls::pki_types::{PrivateKeyDer, ServerName};
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, ClientConnection, RootCertStore, SupportedProtocolVersion};
use tokio::io::AsyncWrite as _;
use tokio::runtime::Builder;

use super::paths::{Meter, worker_slabs};
use super::wire::Wire;

/// Most that a relay reads at once, by default.
const MOST: usize = 64 * 1024;

pub(crate) fn paths(meter: &mut impl Meter) {
    for (version, name) in [(&TLS13, "tls13"), (&TLS12, "tls12")] {
        for (bytes, size) in [(128, "128B"), (16 * 1024, "16KiB")] {
            meter.path(&format!("{name}_read_{size}"), || {
                let Pair {
                    mut client,
                    mut server,
                    wire,
                } = Pair::connect(version);
                let text = vec![7; bytes];
                let prepare = move || {
                    client.writer().write_all(&text).expect("it fits");
                    flight(&mut client)
                };
                let run = move |record: &mut Vec<u8>| {
                    wire.arrive(record);
                    match server.poll_read_slice(&mut Context::from_waker(Waker::noop()), MOST) {
                        Poll::Ready(Ok(Some(slice))) => assert_eq!(slice.len(), bytes),
                        other => panic!("{other:?}"),
                    }
                };
                (prepare, run)
            });
            meter.path(&format!("{name}_write_{size}"), || {
                let Pair { mut server, wire, .. } = Pair::connect(version);
                wire.discard();
                let text = vec![7; bytes];
                let run = move |(): &mut ()| {
                    let written = Pin::new(&mut server).poll_write(&mut Context::from_waker(Waker::noop()), &text);
                    assert!(matches!(written, Poll::Ready(Ok(taken)) if taken == text.len()));
                };
                (|| (), run)
            });
        }
    }
}

/// A client and a server that have shaken hands.
struct Pair {
    client: ClientConnection,
    server: SlabStream<Wire>,
    wire: Wire,
}

impl Pair {
    fn connect(version: &'static SupportedProtocolVersion) -> Self {
        let (mut client, config) = configured(version);
        let buffers = TlsBuffers::new(worker_slabs(HeadPolicy::Copy), MOST);
        let wire = Wire::default();
        // For the deadline of the handshake.
        let runtime = Builder::new_current_thread().enable_time().build().expect("a runtime");
        let clock = runtime.enter();
        let mut accepting = pin!(SlabStream::accept(
            wire.clone(),
            config,
            buffers,
            Duration::from_secs(10)
        ));
        let mut cx = Context::from_waker(Waker::noop());
        let server = loop {
            wire.arrive(&mut flight(&mut client));
            let accepted = accepting.as_mut().poll(&mut cx);
            feed(&mut client, &wire.take());
            if let Poll::Ready(accepted) = accepted {
                break accepted.expect("a handshake");
            }
        };
        drop(clock);
        Self { client, server, wire }
    }
}

fn configured(version: &'static SupportedProtocolVersion) -> (ClientConnection, Arc<rustls::ServerConfig>) {
    let acceptor = TlsAcceptor::new().expect("randomness");
    let provider = Arc::clone(acceptor.provider());
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
    let key = PrivateKeyDer::Pkcs8(made.signing_key.serialize_der().into());
    let mut roots = RootCertStore::empty();
    roots.add(made.cert.der().clone()).expect("it is its own root");
    let chain = vec![made.cert.der().clone()];
    let certificates = CertificateTable::single(chain, key, &provider).expect("they go together");
    let config = acceptor.server_config(&[&TLS13, &TLS12], Arc::new(certificates), None);
    let client = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[version])
        .expect("a version it has")
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = ServerName::try_from("localhost").expect("a name");
    let client = ClientConnection::new(Arc::new(client), name).expect("a client");
    (client, config)
}

/// Everything that `client` has to send.
fn flight(client: &mut ClientConnection) -> Vec<u8> {
    let mut bytes = Vec::new();
    while client.wants_write() {
        client.write_tls(&mut bytes).expect("memory takes it");
    }
    bytes
}

fn feed(client: &mut ClientConnection, mut bytes: &[u8]) {
    while !bytes.is_empty() {
        client.read_tls(&mut bytes).expect("memory has it");
        client.process_new_packets().expect("what a server says");
    }
}
