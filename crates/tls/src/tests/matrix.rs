//! Bytes arrive once and in order, however the wire cuts them.

use std::io::IoSlice;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;

use headpin_slab::HeadPolicy;
use headpin_slab::SliceRead;
use rustls::ProtocolVersion;
use rustls::version::TLS13;
use tokio::io::AsyncWrite;

use super::fixture::{Fixture, VERSIONS, client_config, pattern};
use super::pair::{Pair, feed, flight, poll_once};
use super::wire::{SEALED, Shape, record_lens};
use crate::records::{INITIAL_WINDOW, ONE_PACKET};

const CUTS: [usize; 14] = [1, 2, 3, 5, 7, 13, 64, 255, 256, 1000, 4096, 16_384, 16_385, 65_536];
/// The largest content of a record.
const RECORD: usize = 16 * 1024;

/// Calls `test` for each policy, layer and version.
fn for_each(mut test: impl FnMut(&Fixture, &Arc<rustls::ClientConfig>)) {
    for fixture in Fixture::all() {
        for version in VERSIONS {
            test(&fixture, &Arc::new(client_config(version)));
            fixture.assert_clean();
        }
    }
}

/// Whether records are ours and not those of rustls.
fn is_ours(pair: &Pair, fixture: &Fixture) -> bool {
    pair.client.protocol_version() == Some(ProtocolVersion::TLSv1_3) && fixture.server.enable_secret_extraction
}

/// Some records of the client, the sum of them, and an answer, over a wire of `shape`.
fn talk(fixture: &Fixture, config: &Arc<rustls::ClientConfig>, shape: Shape, len: usize) {
    let mut pair = Pair::connect(fixture, config, shape);
    let sent = pattern(len);
    for record in [&sent[..1], &sent[1..len / 7], &sent[len / 7..]] {
        pair.client_writes(record);
    }
    assert!(pair.reads() == sent, "{shape:?}");
    let answer: Vec<u8> = sent.iter().rev().copied().collect();
    assert!(pair.writes(&answer) == answer, "{shape:?}");
    assert_eq!(pair.server.buffered(), 0, "{shape:?}");
}

#[test]
fn everything_arrives_over_a_wire_that_cuts_at_any_size() {
    for_each(|fixture, config| {
        for cut in CUTS {
            for hesitates in [false, true] {
                let shape = Shape {
                    read: cut,
                    write: cut,
                    hesitates,
                };
                // Each byte that is read alone copies the record it belongs to.
                let len = if cut < 64 { 20_000 } else { 200_000 };
                talk(fixture, config, shape, len);
            }
        }
    });
}

#[test]
fn everything_arrives_when_the_directions_are_cut_differently() {
    for_each(|fixture, config| {
        for (read, write) in [(1, 65_536), (65_536, 1), (7, 16_385), (16_385, 7)] {
            let shape = Shape {
                read,
                write,
                hesitates: true,
            };
            talk(fixture, config, shape, 20_000);
        }
    });
}

#[test]
fn everything_arrives_whatever_is_read_and_written_in_one_go() {
    for policy in HeadPolicy::ALL {
        for version in VERSIONS {
            for chunk in [1, 2, 100, RECORD, RECORD + 1] {
                let fixture = Fixture::with_chunk(policy, chunk);
                let config = Arc::new(client_config(version));
                talk(&fixture, &config, Shape::WIDE, 5000);
                fixture.assert_clean();
            }
        }
    }
}

/// One record of `len` bytes, its ciphertext in two reads that are cut at `cut`.
fn cut_in_two(pair: &mut Pair, record: &[u8], cut: usize) {
    pair.client_queues(record);
    let ciphertext = flight(&mut pair.client);
    let cut = cut.min(ciphertext.len());
    pair.wire.push(&ciphertext[..cut]);
    let before = pair.reads();
    assert_eq!(pair.server.buffered(), if cut == ciphertext.len() { 0 } else { cut });
    pair.wire.push(&ciphertext[cut..]);
    let after = pair.reads();
    let whole = if cut == ciphertext.len() { &before } else { &after };
    assert!(
        whole == record && before.len() + after.len() == record.len(),
        "cut at {cut}"
    );
    assert_eq!(pair.server.buffered(), 0);
}

#[test]
fn a_record_may_be_cut_at_every_byte() {
    for_each(|fixture, config| {
        let mut pair = Pair::connect(fixture, config, Shape::WIDE);
        for cut in 0..=330 {
            cut_in_two(&mut pair, &pattern(300), cut);
        }
    });
}

#[test]
fn a_record_of_16_kib_may_be_cut_at_every_byte() {
    for_each(|fixture, config| {
        let mut pair = Pair::connect(fixture, config, Shape::WIDE);
        let record = pattern(RECORD);
        let ends = (0..64).chain(RECORD - 64..RECORD + 64);
        for cut in ends.chain((64..RECORD - 64).step_by(37)) {
            cut_in_two(&mut pair, &record, cut);
        }
    });
}

#[test]
fn a_handshake_may_be_cut_at_every_byte() {
    for_each(|fixture, config| {
        for cut in 1..1000 {
            let shape = Shape {
                read: cut,
                write: usize::MAX,
                hesitates: false,
            };
            // Sizes up to that of a hello cut every flight at every place.
            if cut < 100 || cut % 9 == 0 {
                Pair::connect(fixture, config, shape);
            }
        }
    });
}

#[test]
fn records_that_arrive_together_come_out_as_one_slice() {
    for_each(|fixture, config| {
        let mut pair = Pair::connect(fixture, config, Shape::WIDE);
        let bytes = pattern(1000);
        for record in bytes.chunks(100) {
            pair.client_writes(record);
        }
        let Poll::Ready(Ok(Some(slice))) = pair.read() else {
            panic!("there is data");
        };
        assert_eq!(slice, bytes);
        assert!(pair.read().is_pending());
    });
}

#[test]
fn data_in_the_flight_of_finished_comes_first_and_once() {
    for fixture in Fixture::all() {
        for cut in [1, 100, 1000, usize::MAX] {
            let config = Arc::new(client_config(&TLS13));
            let shape = Shape {
                read: cut,
                write: usize::MAX,
                hesitates: false,
            };
            let early = pattern(30_000);
            let mut pair = Pair::connect_with(&fixture, &config, shape, &early);
            pair.client_writes(b" and more");
            let read = pair.reads();
            assert!(read.starts_with(&early), "cut at {cut}");
            assert_eq!(&read[early.len()..], b" and more");
            assert_eq!(pair.server.buffered(), 0);
            fixture.assert_clean();
        }
    }
}

#[test]
fn a_client_that_has_to_offer_another_key_share_is_served() {
    let mut provider = rustls::crypto::aws_lc_rs::default_provider();
    provider.kx_groups = vec![rustls::crypto::aws_lc_rs::kx_group::SECP384R1];
    let mut fixture = Fixture::new(HeadPolicy::Copy);
    fixture.use_provider(provider);
    for read in [1, 64, usize::MAX] {
        let config = Arc::new(client_config(&TLS13));
        let shape = Shape { read, ..Shape::WIDE };
        let pair = Pair::connect(&fixture, &config, shape);
        let kind = pair.client.handshake_kind();
        assert_eq!(kind, Some(rustls::HandshakeKind::FullWithHelloRetryRequest));
    }
}

#[test]
fn under_pin_a_full_slab_retires_and_goes_with_its_last_slice() {
    let fixture = Fixture::new(HeadPolicy::Pin);
    let config = Arc::new(client_config(&TLS13));
    let mut pair = Pair::connect(&fixture, &config, Shape::WIDE);
    pair.client_writes(b"held");
    let Poll::Ready(Ok(Some(held))) = pair.polls_slice() else {
        panic!("there is data");
    };
    for _ in 0..20 {
        pair.client_writes(&pattern(RECORD));
        pair.reads();
    }
    assert_eq!(&held[..], b"held");
    assert!(pair.server.slabs().census().len() > 1);
    drop(held);
    fixture.assert_clean();
}

#[test]
fn what_lies_in_pieces_arrives_in_full_records() {
    for_each(|fixture, config| {
        let mut pair = Pair::connect(fixture, config, Shape::WIDE);
        let sent = pattern(100 + 2 * RECORD);
        let (head, body) = sent.split_at(100);
        let (body, trailer) = body.split_at(RECORD + 7);
        let mut slices = [head, &[], body, trailer].map(IoSlice::new);
        let mut slices = &mut slices[..];
        let mut writes = 0;
        while !slices.is_empty() {
            let Poll::Ready(taken) = poll_once(|cx| Pin::new(&mut pair.server).poll_write_vectored(cx, slices)) else {
                panic!("nothing blocks");
            };
            IoSlice::advance_slices(&mut slices, taken.unwrap());
            writes += 1;
        }
        let written = pair.wire.take();
        let records = record_lens(&written).len();
        if is_ours(&pair, fixture) {
            assert_eq!((writes, records), (1, 3));
        }
        assert!(feed(&mut pair.client, &written).unwrap() == sent);
    });
}

#[test]
fn an_answer_begins_in_records_of_one_packet_until_there_are_no_answers() {
    for_each(|fixture, config| {
        let mut pair = Pair::connect(fixture, config, Shape::WIDE);
        if !is_ours(&pair, fixture) {
            return;
        }
        let window = usize::from(INITIAL_WINDOW);
        let sent = pattern(window * ONE_PACKET + RECORD + 1);
        for (ends, packets) in [(false, window), (false, window), (true, 0)] {
            if ends {
                pair.server.end_answers();
            }
            pair.client_writes(b"question");
            assert_eq!(pair.reads(), b"question");
            let Poll::Ready(Ok(taken)) = pair.try_write(&sent) else {
                panic!("nothing blocks");
            };
            assert_eq!(taken, sent.len());
            let written = pair.wire.take();
            let lens: Vec<_> = record_lens(&written).iter().map(|len| len - SEALED).collect();
            let (small, full) = lens.split_at(packets);
            assert!(small.iter().all(|len| *len == ONE_PACKET), "{lens:?}");
            let (last, full) = full.split_last().unwrap();
            assert!(full.iter().all(|len| *len == RECORD) && *last <= RECORD, "{lens:?}");
            assert!(feed(&mut pair.client, &written).unwrap() == sent);
        }
    });
}
