//! Ends: with close_notify and without, of one side and of both.

use std::io::{ErrorKind, Read};
use std::sync::Arc;
use std::task::Poll;

use super::fixture::{Fixture, VERSIONS, client_config, pattern};
use super::pair::Pair;
use super::wire::Shape;

/// Calls `test` for each policy, layer and version, over a wire that is wide and over one that cuts.
fn for_each(mut test: impl FnMut(&mut Pair)) {
    let narrow = Shape {
        read: 7,
        write: 7,
        hesitates: true,
    };
    for fixture in Fixture::all() {
        for version in VERSIONS {
            for shape in [Shape::WIDE, narrow] {
                let config = Arc::new(client_config(version));
                let mut pair = Pair::connect(&fixture, &config, shape);
                test(&mut pair);
                fixture.assert_clean();
            }
        }
    }
}

fn client_says_goodbye(pair: &mut Pair) {
    pair.client.send_close_notify();
    pair.client_flushes();
}

fn is_end(pair: &mut Pair) -> bool {
    matches!(pair.read(), Poll::Ready(Ok(None)))
}

/// Whether the client has got close_notify.
fn client_sees_end(pair: &mut Pair) -> bool {
    matches!(pair.client.reader().read(&mut [0]), Ok(0))
}

#[test]
fn close_notify_is_the_end_and_stays_it() {
    for_each(|pair| {
        pair.client_writes(b"last words");
        client_says_goodbye(pair);
        pair.wire.end();
        let mut read = Vec::new();
        while let Poll::Ready(Ok(Some(bytes))) = pair.read() {
            read.extend(bytes);
        }
        assert_eq!(read, b"last words");
        assert!(is_end(pair) && is_end(pair));
        assert_eq!(pair.server.buffered(), 0);
    });
}

#[test]
fn what_follows_close_notify_is_not_looked_at() {
    for_each(|pair| {
        client_says_goodbye(pair);
        pair.wire.push(b"\x17\x03\x03\x00\x02no, this is no record");
        assert!(is_end(pair));
        assert_eq!(pair.writes(b"still there"), b"still there");
        assert!(is_end(pair));
        assert_eq!(pair.server.buffered(), 0);
    });
}

#[test]
fn an_end_without_close_notify_is_unexpected_and_stays_it() {
    for_each(|pair| {
        pair.client_writes(b"cut off");
        pair.wire.end();
        let mut read = Vec::new();
        let error = loop {
            match pair.read() {
                Poll::Ready(Ok(Some(bytes))) => read.extend(bytes),
                Poll::Ready(Err(error)) => break error,
                other => panic!("{other:?}"),
            }
        };
        assert_eq!((&read[..], error.kind()), (&b"cut off"[..], ErrorKind::UnexpectedEof));
        let Poll::Ready(Err(again)) = pair.read() else {
            panic!("an end stays one");
        };
        assert_eq!(again.kind(), ErrorKind::UnexpectedEof);
    });
}

#[test]
fn an_end_within_a_record_is_unexpected() {
    for_each(|pair| {
        pair.wire.push(b"\x17\x03\x03\x01\x00half a record");
        pair.wire.end();
        let Poll::Ready(Err(error)) = pair.read() else {
            panic!("not whole");
        };
        assert_eq!(error.kind(), ErrorKind::UnexpectedEof);
    });
}

#[test]
fn our_shutdown_sends_close_notify_once_and_reading_goes_on() {
    for_each(|pair| {
        assert_eq!(pair.writes(b"all I have to say"), b"all I have to say");
        assert!(!client_sees_end(pair));
        pair.shuts_down().unwrap();
        pair.shuts_down().unwrap();
        assert_eq!(pair.client_reads(), b"");
        assert!(client_sees_end(pair) && pair.wire.is_shut_down());

        let Poll::Ready(Err(error)) = pair.try_write(b"too late") else {
            panic!("closed");
        };
        assert_eq!(error.kind(), ErrorKind::BrokenPipe);

        let sent = pattern(20_000);
        pair.client_writes(&sent);
        assert!(pair.reads() == sent);
        client_says_goodbye(pair);
        assert!(is_end(pair));
        assert_eq!(pair.server.buffered(), 0);
    });
}

#[test]
fn writing_goes_on_after_the_client_has_ended() {
    for_each(|pair| {
        client_says_goodbye(pair);
        assert!(is_end(pair));
        let answer = pattern(20_000);
        assert!(pair.writes(&answer) == answer);
        pair.shuts_down().unwrap();
        assert_eq!(pair.client_reads(), b"");
        assert!(client_sees_end(pair));
        assert!(is_end(pair));
    });
}

#[test]
fn a_shutdown_waits_for_what_is_blocked() {
    for_each(|pair| {
        pair.wire.open_window(Some(100));
        let sent = pattern(1000);
        while pair.try_write(&sent).is_pending() {}
        assert!(pair.server.buffered() > 900);
        assert!(pair.polls_shutdown().is_pending() && !pair.wire.is_shut_down());
        pair.wire.open_window(None);
        pair.shuts_down().unwrap();
        assert!(pair.client_reads() == sent && client_sees_end(pair));
        assert_eq!(pair.server.buffered(), 0);
    });
}
