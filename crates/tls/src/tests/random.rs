//! No peer makes the server panic, admitted or not, whatever it thinks of.

use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;

use headpin_slab::HeadPolicy;
use proptest::prelude::*;
use rustls::ContentType;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::failures::PIPE;
use super::fixture::{Fixture, VERSIONS, client_config, pattern};
use super::forge::{self, Forge, KEY_UPDATE_REQUESTED, in_clear};
use super::hostile::an_honest_client_is_served;
use super::pair::{DEADLINE, Pair, feed, flight, new_client};
use super::wire::Shape;
use crate::SlabStream;

/// What a hostile client may do next.
#[derive(Debug, Clone)]
enum Step {
    Data(usize),
    /// The next bytes of a row of key updates, and maybe the first ones of another.
    PartOfUpdate(usize),
    Handshake(Vec<u8>),
    Alert(Vec<u8>),
    Other(u8, Vec<u8>),
    /// Bytes that belong to no record.
    Garbage(Vec<u8>),
    Corrupted,
    ServerReads,
    ServerWrites(usize),
    Window(Option<usize>),
    Cut(usize),
    End,
}

fn step() -> impl Strategy<Value = Step> {
    let bytes = || prop::collection::vec(any::<u8>(), 0..40);
    prop_oneof![
        8 => (0..400_usize).prop_map(Step::Data),
        8 => (0..8_usize).prop_map(Step::PartOfUpdate),
        2 => bytes().prop_map(Step::Handshake),
        1 => prop_oneof![Just(vec![1, 0]), Just(vec![1, 90]), Just(vec![2, 40]), bytes()].prop_map(Step::Alert),
        1 => (any::<u8>(), bytes()).prop_map(|(typ, bytes)| Step::Other(typ, bytes)),
        1 => bytes().prop_map(Step::Garbage),
        1 => Just(Step::Corrupted),
        8 => Just(Step::ServerReads),
        8 => (0..20_000_usize).prop_map(Step::ServerWrites),
        2 => prop::option::of(0..1000_usize).prop_map(Step::Window),
        2 => (1..100_usize).prop_map(Step::Cut),
        1 => Just(Step::End),
    ]
}

/// Plays `steps` to the end of the connection, or theirs.
fn play(fixture: &Fixture, steps: Vec<Step>) {
    let (config, secrets) = forge::client_13();
    let mut pair = Pair::connect(fixture, &config, Shape::WIDE);
    let mut forge = Forge::new(&secrets);
    let mut updated = 0;
    for step in steps {
        match step {
            Step::Data(len) => pair.wire.push(&forge.data(&pattern(len))),
            Step::PartOfUpdate(len) => {
                let part: Vec<u8> = (updated..updated + len).map(|i| KEY_UPDATE_REQUESTED[i % 5]).collect();
                pair.wire.push(&forge.handshake(&part));
                updated += len;
                if len > 0 && updated % 5 == 0 {
                    forge.update_keys();
                }
            }
            Step::Handshake(bytes) => pair.wire.push(&forge.handshake(&bytes)),
            Step::Alert(bytes) => pair.wire.push(&forge.record(ContentType::Alert, &bytes)),
            Step::Other(typ, bytes) => pair.wire.push(&forge.record(ContentType::from(typ), &bytes)),
            Step::Garbage(bytes) => pair.wire.push(&bytes),
            Step::Corrupted => {
                let mut record = forge.data(b"corrupted");
                record[7] ^= 1;
                pair.wire.push(&record);
            }
            Step::ServerReads => while let Poll::Ready(Ok(Some(_))) = pair.read() {},
            Step::ServerWrites(len) => drop(pair.try_write(&pattern(len))),
            Step::Window(bytes) => pair.wire.open_window(bytes),
            Step::Cut(read) => pair.wire.reshape(Shape { read, ..Shape::WIDE }),
            Step::End => pair.wire.end(),
        }
        assert!(pair.server.buffered() < 200_000);
    }
    while let Poll::Ready(Ok(Some(_))) = pair.read() {}
    pair.wire.open_window(None);
    drop(pair.polls_shutdown());
    drop(pair);
    fixture.assert_clean();
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn nothing_that_an_admitted_client_sends_makes_the_server_panic(
        steps in prop::collection::vec(step(), 1..40),
        which in 0..4_usize,
    ) {
        let fixture = Fixture::all().nth(which).unwrap();
        play(&fixture, steps);
        an_honest_client_is_served(&fixture);
    }
}

/// A fault in a flight of the client.
#[derive(Debug, Clone)]
enum Fault {
    Flip(prop::sample::Index, u8),
    Insert(prop::sample::Index, Vec<u8>),
    Cut(prop::sample::Index),
    /// Content of the first record in records of this size.
    Fragment(usize),
}

fn fault() -> impl Strategy<Value = Fault> {
    let index = any::<prop::sample::Index>;
    prop_oneof![
        4 => (index(), 1..=255_u8).prop_map(|(at, by)| Fault::Flip(at, by)),
        1 => (index(), prop::collection::vec(any::<u8>(), 1..20)).prop_map(|(at, what)| Fault::Insert(at, what)),
        1 => index().prop_map(Fault::Cut),
        2 => (1..200_usize).prop_map(Fault::Fragment),
    ]
}

fn apply(fault: &Fault, flight: &mut Vec<u8>) {
    match fault {
        _ if flight.len() < 6 => {}
        Fault::Flip(at, by) => {
            let at = at.index(flight.len());
            flight[at] ^= by;
        }
        Fault::Insert(at, what) => {
            let at = at.index(flight.len());
            flight.splice(at..at, what.iter().copied());
        }
        Fault::Cut(at) => flight.truncate(at.index(flight.len())),
        Fault::Fragment(size) => {
            let end = (5 + usize::from(u16::from_be_bytes([flight[3], flight[4]]))).min(flight.len());
            let typ = ContentType::from(flight[0]);
            let parts: Vec<u8> = flight[5..end]
                .chunks(*size)
                .flat_map(|part| in_clear(typ, part))
                .collect();
            flight.splice(..end, parts);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn nothing_that_a_stranger_sends_makes_the_server_panic(
        faults in prop::collection::vec(fault(), 1..6),
        version in prop::sample::select(&VERSIONS[..]),
        second in any::<bool>(),
    ) {
        let fixture = Fixture::new(HeadPolicy::Copy);
        let (ours, mut io) = tokio::io::duplex(PIPE);
        let accept = SlabStream::accept(ours, Arc::clone(&fixture.server), Rc::clone(&fixture.buffers), DEADLINE);
        let client = async {
            let mut client = new_client(&Arc::new(client_config(version)));
            let mut bytes = flight(&mut client);
            if second {
                io.write_all(&bytes).await.unwrap();
                while !client.wants_write() {
                    let mut answer = [0; 4096];
                    let read = io.read(&mut answer).await.unwrap();
                    feed(&mut client, &answer[..read]).unwrap();
                }
                bytes = flight(&mut client);
            }
            for fault in &faults {
                apply(fault, &mut bytes);
            }
            // The server may be gone before all is said.
            let _ = io.write_all(&bytes).await;
            let _ = io.shutdown().await;
            let _ = io.read_to_end(&mut Vec::new()).await;
        };
        // Some faults are none.
        let accept = async { drop(accept.await) };
        fixture.run(async { tokio::join!(accept, client) });
        fixture.assert_clean();
    }
}
