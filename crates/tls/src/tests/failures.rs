//! Handshakes that fail: what the client is told, and that nothing stays behind.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use headpin_slab::HeadPolicy;
use rustls::version::{TLS12, TLS13};
use rustls::{AlertDescription, ClientConnection, ContentType, Error};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::time::Instant;

use super::fixture::{Fixture, VERSIONS, client_config, server_config};
use super::forge::{self, Forge, in_clear};
use super::pair::{DEADLINE, Pair, feed, flight, new_client};
use super::wire::Shape;
use crate::{HandshakeError, SlabStream};

/// More than a socket's buffers in neither direction.
pub(super) const PIPE: usize = 256 * 1024;

/// Serves one client, which must fail; then an honest one. Gives why it failed and what the client has seen.
fn refused<T>(fixture: &Fixture, client: impl AsyncFnOnce(DuplexStream) -> T) -> (HandshakeError, T) {
    refused_over(fixture, PIPE, client)
}

fn refused_over<T>(fixture: &Fixture, pipe: usize, client: impl AsyncFnOnce(DuplexStream) -> T) -> (HandshakeError, T) {
    let (ours, theirs) = tokio::io::duplex(pipe);
    let config = Arc::clone(&fixture.server);
    let accept = SlabStream::accept(ours, config, Rc::clone(&fixture.buffers), DEADLINE);
    let (accepted, seen) = fixture.run(async { tokio::join!(accept, client(theirs)) });
    let error = accepted.expect_err("the handshake fails");
    fixture.assert_clean();

    let mut honest = Pair::connect(fixture, &Arc::new(client_config(&TLS13)), Shape::WIDE);
    honest.client_writes(b"fine");
    assert_eq!(honest.reads(), b"fine");
    (error, seen)
}

/// Goes on with a handshake to its end, good or bad.
async fn shake_hands(client: &mut ClientConnection, io: &mut DuplexStream) -> Result<(), Error> {
    let mut bytes = [0; 4096];
    loop {
        io.write_all(&flight(client)).await.unwrap();
        let read = io.read(&mut bytes).await.unwrap();
        if read == 0 {
            return Ok(());
        }
        feed(client, &bytes[..read])?;
    }
}

/// Says `bytes` and hears what comes back, to the end.
async fn says(bytes: &[u8], mut io: DuplexStream) -> Vec<u8> {
    io.write_all(bytes).await.unwrap();
    let mut heard = Vec::new();
    io.read_to_end(&mut heard).await.unwrap();
    heard
}

/// The alert that is all of `heard`, in clear.
fn alert_in_clear(heard: &[u8]) -> AlertDescription {
    match heard {
        [21, 3, 1..=3, 0, 2, 2, alert] => AlertDescription::from(*alert),
        other => panic!("no fatal alert, but {other:?}"),
    }
}

#[test]
fn a_client_without_a_common_version_is_told_so() {
    let mut fixture = Fixture::new(HeadPolicy::Copy);
    fixture.server = server_config(&[&TLS13]);
    let (error, seen) = refused(&fixture, async |mut io| {
        let mut client = new_client(&Arc::new(client_config(&TLS12)));
        shake_hands(&mut client, &mut io).await
    });
    assert!(matches!(error, HandshakeError::Tls(_)), "{error:?}");
    assert_eq!(seen, Err(Error::AlertReceived(AlertDescription::ProtocolVersion)));
}

#[test]
fn a_client_that_speaks_other_protocols_is_told_so() {
    for version in VERSIONS {
        let fixture = Fixture::new(HeadPolicy::Copy);
        let mut config = client_config(version);
        config.alpn_protocols = vec![b"imap".to_vec()];
        let (_, seen) = refused(&fixture, async |mut io| {
            shake_hands(&mut new_client(&Arc::new(config)), &mut io).await
        });
        assert_eq!(seen, Err(Error::AlertReceived(AlertDescription::NoApplicationProtocol)));
    }
}

#[test]
fn garbage_gets_an_alert() {
    let fixture = Fixture::new(HeadPolicy::Copy);
    for garbage in [
        &b"\x00\x01\x02\x03 and so on"[..],
        b"\x80\x2e\x01\x03\x01 as of SSL 2",
        b"\xff\xff\xff\xff\xff",
        b"\x16\x03\x01\x00\x00 an empty record",
        b"\x16\x03\x01\xff\xff a long one",
        b"lower case, as in no method of HTTP",
    ] {
        let (error, heard) = refused(&fixture, async |io| says(garbage, io).await);
        assert!(matches!(error, HandshakeError::Tls(_)), "{error:?}");
        assert_eq!(alert_in_clear(&heard), AlertDescription::DecodeError);
    }
}

#[test]
fn plain_http_gets_an_answer_in_plain_http() {
    let fixture = Fixture::new(HeadPolicy::Copy);
    for request in [
        &b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"[..],
        b"POST /x HTTP/1.0\r\nContent-Length: 3\r\n\r\nabc",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"G",
    ] {
        let (error, heard) = refused(&fixture, async |io| says(request, io).await);
        assert!(matches!(error, HandshakeError::PlainHttp), "{error:?}");
        assert!(matches!(error, HandshakeError::PlainHttp), "{error:?}");
        let heard = String::from_utf8(heard).unwrap();
        let (head, body) = heard.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with("HTTP/1.1 400 Bad Request\r\n"), "{head}");
        assert!(head.contains(&format!("\r\nContent-Length: {}", body.len())), "{head}");
    }
}

#[test]
fn http_in_the_middle_of_a_handshake_is_garbage() {
    let fixture = Fixture::new(HeadPolicy::Copy);
    let (error, heard) = refused(&fixture, async |mut io| {
        let mut client = new_client(&Arc::new(client_config(&TLS12)));
        io.write_all(&flight(&mut client)).await.unwrap();
        let mut bytes = [0; 4096];
        let read = io.read(&mut bytes).await.unwrap();
        feed(&mut client, &bytes[..read]).unwrap();
        says(b"GET / HTTP/1.1\r\n\r\n", io).await
    });
    assert!(matches!(error, HandshakeError::Tls(_)), "{error:?}");
    assert_eq!(alert_in_clear(&heard), AlertDescription::DecodeError);
}

#[test]
fn a_silent_client_is_cut_at_the_deadline() {
    let fixture = Fixture::new(HeadPolicy::Copy);
    let hello = flight(&mut new_client(&Arc::new(client_config(&TLS13))));
    for said in [0, 1, hello.len() / 2, hello.len()] {
        let begun = fixture.run(async { Instant::now() });
        let (error, _) = refused(&fixture, async |io| says(&hello[..said], io).await);
        assert!(matches!(error, HandshakeError::Timeout), "{error:?}");
        assert!(matches!(error, HandshakeError::Timeout), "{error:?}");
        let took = fixture.run(async { begun.elapsed() });
        assert!(
            (DEADLINE..DEADLINE + Duration::from_millis(10)).contains(&took),
            "{took:?}"
        );
    }
}

#[test]
fn a_client_that_says_a_byte_a_second_is_cut_at_the_deadline() {
    let fixture = Fixture::new(HeadPolicy::Pin);
    let (error, said) = refused(&fixture, async |mut io| {
        let mut said = 0;
        for byte in flight(&mut new_client(&Arc::new(client_config(&TLS13)))) {
            if io.write_all(&[byte]).await.is_err() {
                break;
            }
            said += 1;
            tokio::time::advance(Duration::from_secs(1)).await;
        }
        said
    });
    assert!(matches!(error, HandshakeError::Timeout), "{error:?}");
    assert!((9..=12).contains(&said), "{said}");
}

#[test]
fn a_client_that_never_reads_is_cut_at_the_deadline() {
    for version in VERSIONS {
        let fixture = Fixture::new(HeadPolicy::Copy);
        let (error, ()) = refused_over(&fixture, 64, async |mut io| {
            let hello = flight(&mut new_client(&Arc::new(client_config(version))));
            io.write_all(&hello).await.unwrap();
            // From the first byte of its answer the server waits for room, and reads no more.
            io.read_u8().await.unwrap();
            assert!(io.write_all(&[0; 1000]).await.is_err());
        });
        assert!(matches!(error, HandshakeError::Timeout), "{error:?}");
    }
}

#[test]
fn a_client_that_leaves_is_told_nothing() {
    let fixture = Fixture::new(HeadPolicy::Copy);
    for version in VERSIONS {
        let hello = flight(&mut new_client(&Arc::new(client_config(version))));
        for said in [0, 1, 5, hello.len() / 2, hello.len() - 1] {
            let (error, heard) = refused(&fixture, async |mut io| {
                io.write_all(&hello[..said]).await.unwrap();
                io.shutdown().await.unwrap();
                says(b"", io).await
            });
            assert!(matches!(error, HandshakeError::Closed), "{error:?}");
            assert!(
                matches!(error, HandshakeError::Closed | HandshakeError::Io(_)),
                "{error:?}"
            );
            assert_eq!(heard, b"");
        }
        let (error, ()) = refused(&fixture, async |mut io| {
            io.write_all(&hello).await.unwrap();
            // Not before the server has answered.
            io.read_u8().await.unwrap();
        });
        assert!(
            matches!(error, HandshakeError::Closed | HandshakeError::Io(_)),
            "{error:?}"
        );
        assert!(
            matches!(error, HandshakeError::Closed | HandshakeError::Io(_)),
            "{error:?}"
        );
    }
}

#[test]
fn a_hello_that_never_becomes_whole_is_given_up_at_48_kib() {
    let fixture = Fixture::new(HeadPolicy::Copy);
    let (error, heard) = refused(&fixture, async |io| {
        let mut hello = in_clear(ContentType::Handshake, &[1, 0, 0xff, 0xff]);
        for _ in 0..4 {
            hello.extend(in_clear(ContentType::Handshake, &[0; 16_000]));
        }
        says(&hello, io).await
    });
    assert!(matches!(error, HandshakeError::Tls(_)), "{error:?}");
    assert_eq!(alert_in_clear(&heard), AlertDescription::DecodeError);
}

#[test]
fn a_hello_that_says_it_is_larger_than_64_kib_is_refused_at_once() {
    let fixture = Fixture::new(HeadPolicy::Copy);
    let (error, heard) = refused(&fixture, async |io| {
        says(&in_clear(ContentType::Handshake, &[1, 1, 0, 0, 3, 3]), io).await
    });
    assert!(matches!(error, HandshakeError::Tls(_)), "{error:?}");
    assert_eq!(alert_in_clear(&heard), AlertDescription::DecodeError);
}

#[test]
fn a_hello_in_the_smallest_records_is_understood() {
    let fixture = Fixture::new(HeadPolicy::Copy);
    for version in VERSIONS {
        let (ours, mut theirs) = tokio::io::duplex(PIPE);
        let config = Arc::clone(&fixture.server);
        let accept = SlabStream::accept(ours, config, Rc::clone(&fixture.buffers), DEADLINE);
        let client = async {
            let mut client = new_client(&Arc::new(client_config(version)));
            let hello = flight(&mut client);
            for byte in &hello[5..] {
                let record = in_clear(ContentType::Handshake, &[*byte]);
                theirs.write_all(&record).await.unwrap();
            }
            let mut bytes = [0; 4096];
            while client.is_handshaking() {
                let read = theirs.read(&mut bytes).await.unwrap();
                feed(&mut client, &bytes[..read]).unwrap();
                theirs.write_all(&flight(&mut client)).await.unwrap();
            }
            theirs
        };
        let (accepted, _theirs) = fixture.run(async { tokio::join!(accept, client) });
        assert_eq!(accepted.unwrap().buffered(), 0);
    }
}

#[test]
fn data_before_hello_is_unexpected() {
    let fixture = Fixture::new(HeadPolicy::Copy);
    let (error, heard) = refused(&fixture, async |io| {
        says(&in_clear(ContentType::ApplicationData, b"hello?"), io).await
    });
    assert!(matches!(error, HandshakeError::Tls(_)), "{error:?}");
    assert_eq!(alert_in_clear(&heard), AlertDescription::UnexpectedMessage);
}

/// Lets `forged` say something in place of the client's second flight of TLS 1.3; what the client is told.
fn instead_of_finished(forged: impl FnOnce(&mut Forge, Vec<u8>) -> Vec<u8>) -> AlertDescription {
    let fixture = Fixture::new(HeadPolicy::Copy);
    let (error, seen) = refused(&fixture, async |mut io| {
        let (config, secrets) = forge::client_13();
        let mut client = new_client(&config);
        io.write_all(&flight(&mut client)).await.unwrap();
        let mut bytes = [0; 4096];
        while client.is_handshaking() {
            let read = io.read(&mut bytes).await.unwrap();
            feed(&mut client, &bytes[..read]).unwrap();
        }
        let finished = flight(&mut client);
        let mut forge = Forge::in_handshake(&secrets);
        io.write_all(&forged(&mut forge, finished)).await.unwrap();
        shake_hands(&mut client, &mut io).await
    });
    assert!(matches!(error, HandshakeError::Tls(_)), "{error:?}");
    match seen {
        Err(Error::AlertReceived(alert)) => alert,
        other => panic!("no alert, but {other:?}"),
    }
}

#[test]
fn data_before_finished_is_unexpected() {
    let alert = instead_of_finished(|forge, finished| [forge.data(b"too early"), finished].concat());
    assert_eq!(alert, AlertDescription::UnexpectedMessage);
}

#[test]
fn data_in_clear_before_finished_is_no_record() {
    let clear = in_clear(ContentType::ApplicationData, b"GET / HTTP/1.1\r\n\r\n");
    let alert = instead_of_finished(|_, finished| [clear, finished].concat());
    assert_eq!(alert, AlertDescription::BadRecordMac);
}

#[test]
fn a_wrong_finished_is_told_so() {
    let finished = [&[20, 0, 0, 32][..], &[7; 32]].concat();
    let alert = instead_of_finished(|forge, _| forge.handshake(&finished));
    assert_eq!(alert, AlertDescription::DecryptError);
}

#[test]
fn a_client_that_got_an_alert_may_linger_for_a_second() {
    let fixture = Fixture::new(HeadPolicy::Copy);
    let begun = fixture.run(async { Instant::now() });
    let (error, ()) = refused(&fixture, async |mut io| {
        io.write_all(b"\x00garbage").await.unwrap();
        // Reads the alert and never closes.
        let mut heard = Vec::new();
        io.read_to_end(&mut heard).await.unwrap();
        assert_eq!(alert_in_clear(&heard), AlertDescription::DecodeError);
        while io.write_all(b"and more").await.is_ok() {
            tokio::time::advance(Duration::from_millis(100)).await;
        }
    });
    assert!(matches!(error, HandshakeError::Tls(_)), "{error:?}");
    let took = fixture.run(async { begun.elapsed() });
    assert!(took <= Duration::from_millis(1200), "{took:?}");
}
