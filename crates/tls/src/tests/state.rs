//! A stream in the form that another process goes on with.

use std::rc::Rc;
use std::sync::Arc;

use headpin_slab::HeadPolicy;
use rustls::version::{TLS12, TLS13};

use super::fixture::{Fixture, client_config, pattern};
use super::pair::Pair;
use super::wire::Shape;
use crate::{Client, SlabStream, StreamState};

fn connected(fixture: &Fixture) -> Pair {
    let config = Arc::new(client_config(&TLS13));
    Pair::connect(fixture, &config, Shape::WIDE)
}

fn state(pair: &Pair) -> StreamState {
    pair.server.state().expect("in TLS 1.3")
}

#[test]
fn only_who_has_the_keys_can_hand_them_over() {
    let fixture = Fixture::new(HeadPolicy::Copy);
    let old = Pair::connect(&fixture, &Arc::new(client_config(&TLS12)), Shape::WIDE);
    assert!(old.server.state().is_none(), "in TLS 1.2 rustls has them");

    let mut broken = connected(&fixture);
    broken
        .wire
        .push(&[23, 3, 3, 0, 17, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    assert!(broken.read_to_end().1.is_some());
    assert!(broken.server.state().is_none(), "what has failed goes nowhere");
}

#[test]
fn bytes_that_are_put_back_come_first() {
    let fixture = Fixture::new(HeadPolicy::Copy);
    let mut pair = connected(&fixture);
    pair.client_writes(b"third");
    let mut state = state(&pair);
    state.put_back(b"second ");
    state.put_back(b"first ");
    pair.server = SlabStream::resume(pair.wire.clone(), &state, Rc::clone(&pair.buffers)).unwrap();
    assert_eq!(pair.reads(), b"first second third");
}

/// What was put back may be longer than a read, and than a slab.
#[test]
fn many_bytes_come_in_reads_of_the_usual_size() {
    let fixture = Fixture::new(HeadPolicy::Copy);
    let pair = connected(&fixture);
    let mut state = state(&pair);
    let all = pattern(300_000);
    state.put_back(&all);
    let mut server: SlabStream<_> = SlabStream::resume(pair.wire.clone(), &state, Rc::clone(&pair.buffers)).unwrap();
    let mut read = Vec::new();
    while read.len() < all.len() {
        let slice = super::pair::poll_once(|cx| headpin_slab::SliceRead::poll_read_slice(&mut server, cx, 1000));
        let std::task::Poll::Ready(Ok(Some(slice))) = slice else {
            panic!("{slice:?} after {} bytes", read.len())
        };
        assert!(slice.len() <= 1000);
        read.extend_from_slice(&slice);
    }
    assert!(read == all);
}

#[test]
fn what_cannot_be_of_a_session_is_refused() {
    let fixture = Fixture::new(HeadPolicy::Copy);
    let pair = connected(&fixture);
    let resumes = |state: &StreamState| {
        SlabStream::<_>::resume(pair.wire.clone(), state, Rc::clone(&pair.buffers))
            .map(drop)
            .map_err(|error| error.to_string())
    };
    let wrong = |change: &dyn Fn(&mut StreamState)| {
        let mut state = state(&pair);
        change(&mut state);
        resumes(&state).expect_err("it is wrong")
    };
    assert_eq!(resumes(&state(&pair)), Ok(()));
    assert!(wrong(&|state| state.session.records.suite = 0xc02f).contains("no record layer"));
    // One of the suites with another hash.
    let other = |suite| if suite == 0x1302 { 0x1301 } else { 0x1302 };
    assert!(wrong(&|state| state.session.records.suite = other(state.session.records.suite)).contains("length"));
    assert!(wrong(&|state| state.session.records.message_len = 5).contains("KeyUpdate"));
    assert!(wrong(&|state| state.session.records.message = vec![4]).contains("in part"));
    assert!(wrong(&|state| state.session.partial = vec![0; 20_000]).contains("record"));

    // A server's ticket in part, at a client.
    let mut ticket = state(&pair);
    ticket.session.records.message = vec![4, 0, 0];
    let client = SlabStream::<_, Client>::resume(pair.wire.clone(), &ticket, Rc::clone(&pair.buffers));
    assert_eq!(client.unwrap().state().unwrap().session.records.message, [4, 0, 0]);
    ticket.session.records.message = vec![11];
    assert!(SlabStream::<_, Client>::resume(pair.wire.clone(), &ticket, Rc::clone(&pair.buffers)).is_err());
}

#[test]
fn a_state_that_is_printed_shows_no_secret() {
    let fixture = Fixture::new(HeadPolicy::Copy);
    let pair = connected(&fixture);
    let state = state(&pair);
    let sent = postcard::to_allocvec(&state).unwrap();
    let printed = format!("{state:?}");
    assert!(!printed.contains("secret"), "{printed}");
    assert!(sent.len() < 140, "{} bytes go to the other process", sent.len());
}
