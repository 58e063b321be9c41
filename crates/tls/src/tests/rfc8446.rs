//! What RFC 8446 asks of a record layer, clause by clause; each test names its section.

use std::io::ErrorKind;
use std::task::Poll;

use rustls::{AlertDescription, ContentType, Error};

use super::fixture::pattern;
use super::forge::{Forge, KEY_UPDATE, KEY_UPDATE_REQUESTED, in_clear};
use super::hostile::{alert, for_each_13, is_finished, no_alert, read_error};
use super::pair::Pair;

/// The largest content of a record.
const MOST: usize = 1 << 14;

/// What `forged` sends is an error that is told as `expected`, also behind data.
fn refuses(expected: AlertDescription, forged: impl Fn(&mut Forge) -> Vec<u8>) {
    for before in [&b""[..], b"before"] {
        for_each_13(|pair, forge| {
            let mut bytes = if before.is_empty() {
                Vec::new()
            } else {
                forge.data(before)
            };
            bytes.extend(forged(forge));
            pair.wire.push(&bytes);
            let mut read = Vec::new();
            while read.len() < before.len() {
                let Poll::Ready(Ok(Some(slice))) = pair.read() else {
                    panic!("what came before is lost")
                };
                read.extend(slice);
            }
            assert_eq!(read, before);
            read_error(pair);
            assert_eq!(alert(pair), expected);
            is_finished(pair);
        });
    }
}

fn is_end(pair: &mut Pair) -> bool {
    matches!(pair.read(), Poll::Ready(Ok(None)))
}

#[test]
fn section_5_change_cipher_spec_after_finished_is_unexpected() {
    refuses(AlertDescription::UnexpectedMessage, |_| {
        in_clear(ContentType::ChangeCipherSpec, &[1])
    });
    refuses(AlertDescription::UnexpectedMessage, |forge| {
        forge.record(ContentType::ChangeCipherSpec, &[1])
    });
}

#[test]
fn section_5_types_that_have_no_place_are_unexpected() {
    for typ in [0, 19, 20, 21, 22, 24, 99, 255] {
        refuses(AlertDescription::UnexpectedMessage, |_| {
            in_clear(ContentType::from(typ), &[2, 40])
        });
    }
    for typ in [19, 20, 24, 99, 255] {
        refuses(AlertDescription::UnexpectedMessage, |forge| {
            forge.record(ContentType::from(typ), &[2, 40])
        });
    }
}

#[test]
fn section_5_1_nothing_comes_between_the_parts_of_a_message() {
    for len in 1..KEY_UPDATE.len() {
        for typ in [ContentType::ApplicationData, ContentType::Alert] {
            refuses(AlertDescription::UnexpectedMessage, |forge| {
                [forge.handshake(&KEY_UPDATE[..len]), forge.record(typ, &[1, 0])].concat()
            });
        }
    }
}

#[test]
fn section_5_1_a_message_does_not_span_a_change_of_keys() {
    for rest in 1..=KEY_UPDATE.len() {
        refuses(AlertDescription::UnexpectedMessage, |forge| {
            forge.handshake(&[&KEY_UPDATE, &KEY_UPDATE[..rest]].concat())
        });
    }
}

#[test]
fn section_5_1_alerts_are_neither_in_parts_nor_together() {
    for content in [&[1][..], &[1, 0, 0], &[1, 0, 1, 0]] {
        refuses(AlertDescription::DecodeError, |forge| {
            forge.record(ContentType::Alert, content)
        });
    }
}

#[test]
fn sections_5_1_and_5_4_only_data_may_be_empty() {
    for_each_13(|pair, forge| {
        for zeros in [0, 1, 100, MOST] {
            pair.wire.push(&forge.padded(ContentType::ApplicationData, b"", zeros));
            pair.wire.push(&forge.data(b"."));
        }
        assert_eq!(pair.reads(), b"....");
    });
    for typ in [ContentType::Handshake, ContentType::Alert] {
        for zeros in [0, 1, 100] {
            refuses(AlertDescription::UnexpectedMessage, |forge| {
                forge.padded(typ, b"", zeros)
            });
        }
    }
}

#[test]
fn section_5_2_a_record_that_is_too_long_is_an_overflow() {
    let header = |len: usize| [&[23, 3, 3], &(len as u16).to_be_bytes()[..]].concat();
    for len in [MOST + 257, 0x5000, 0xffff] {
        refuses(AlertDescription::RecordOverflow, |_| header(len));
    }
    // As long as can be, but not sealed; and sealed, but longer than content and its type may be.
    refuses(AlertDescription::BadRecordMac, |_| {
        [header(MOST + 256), vec![0; MOST + 256]].concat()
    });
    for zeros in [1, 2, 200] {
        refuses(AlertDescription::RecordOverflow, |forge| {
            forge.padded(ContentType::ApplicationData, &pattern(MOST), zeros)
        });
    }
    for_each_13(|pair, forge| {
        pair.wire.push(&forge.data(&pattern(MOST)));
        assert!(pair.reads() == pattern(MOST));
    });
}

#[test]
fn section_5_2_what_cannot_be_opened_is_a_bad_record() {
    for len in [0, 1, 15, 16, 17] {
        refuses(AlertDescription::BadRecordMac, |_| {
            in_clear(ContentType::ApplicationData, &vec![7; len])
        });
    }
    // The version is authenticated, whatever it says.
    refuses(AlertDescription::BadRecordMac, |forge| {
        let mut record = forge.data(b"data");
        record[2] = 1;
        record
    });
}

#[test]
fn section_5_3_a_record_again_or_left_out_is_a_bad_record() {
    refuses(AlertDescription::BadRecordMac, |forge| {
        let record = forge.handshake(&KEY_UPDATE[..1]);
        [record.clone(), record].concat()
    });
    refuses(AlertDescription::BadRecordMac, |forge| {
        forge.data(b"left out");
        forge.data(b"next")
    });
}

#[test]
fn section_5_4_zeros_behind_the_content_are_taken_off() {
    for_each_13(|pair, forge| {
        for len in [1, 2, 1000, MOST - 1] {
            for zeros in [1, 2, 255, MOST - len] {
                let zeros = zeros.min(MOST - len);
                // Content may end in zeros of its own.
                let content = [&pattern(len - 1)[..], &[0]].concat();
                pair.wire
                    .push(&forge.padded(ContentType::ApplicationData, &content, zeros));
                assert!(pair.reads() == content);
            }
        }
        pair.wire.push(&forge.padded(ContentType::Handshake, &KEY_UPDATE, 100));
        forge.update_keys();
        pair.wire.push(&forge.padded(ContentType::Alert, &[1, 0], 100));
        assert!(is_end(pair));
    });
}

#[test]
fn section_5_4_nothing_but_zeros_is_unexpected() {
    for len in [0, 1, 100, MOST] {
        refuses(AlertDescription::UnexpectedMessage, |forge| {
            forge.record(ContentType::from(0), &vec![0; len])
        });
    }
}

#[test]
fn section_4_6_3_a_key_update_of_another_form_is_refused() {
    for request in [2, 3, 255] {
        refuses(AlertDescription::IllegalParameter, |forge| {
            forge.handshake(&[24, 0, 0, 1, request])
        });
    }
    for message in [&[24, 0, 0, 0][..], &[24, 0, 0, 2, 0, 0], &[24, 0, 1], &[24, 1]] {
        refuses(AlertDescription::DecodeError, |forge| forge.handshake(message));
    }
}

#[test]
fn section_4_6_3_after_an_update_the_old_keys_are_gone() {
    for update in [KEY_UPDATE, KEY_UPDATE_REQUESTED] {
        refuses(AlertDescription::BadRecordMac, |forge| {
            [forge.handshake(&update), forge.data(b"as before")].concat()
        });
    }
}

/// rustls waits for the rest of such a message.
#[test]
fn section_4_every_other_message_is_unexpected_at_its_first_byte() {
    for typ in [0, 1, 2, 4, 5, 8, 11, 13, 15, 20, 23, 25, 254, 255] {
        for_each_13(|pair, forge| {
            pair.wire.push(&forge.handshake(&[typ]));
            read_error(pair);
            assert_eq!(alert(pair), AlertDescription::UnexpectedMessage);
        });
    }
}

#[test]
fn section_6_every_alert_but_closures_is_an_error_whatever_its_level() {
    for level in [0, 1, 2, 255] {
        for description in [10, 20, 40, 46, 50, 80, 100, 116, 255] {
            for_each_13(|pair, forge| {
                pair.wire.push(&forge.record(ContentType::Alert, &[level, description]));
                let expected = AlertDescription::from(description);
                assert_eq!(read_error(pair), Error::AlertReceived(expected));
                is_finished(pair);
                // Section 6.2: nothing more is sent, not even close_notify.
                assert_eq!(pair.wire.take(), b"");
            });
        }
    }
}

#[test]
fn section_6_1_close_notify_closes_one_direction_whatever_its_level() {
    for level in [0, 1, 2, 255] {
        for_each_13(|pair, forge| {
            pair.wire.push(&forge.data(b"last"));
            pair.wire.push(&forge.record(ContentType::Alert, &[level, 0]));
            // Ignored, however wrong.
            pair.wire.push(&forge.data(b"too late"));
            pair.wire.push(b"no record");
            let (read, error) = pair.read_to_end();
            assert!(read == b"last" && error.is_none());
            assert_eq!(pair.writes(b"still here"), b"still here");
            pair.shuts_down().unwrap();
            no_alert(pair);
            assert!(is_end(pair));
            assert_eq!(pair.server.buffered(), 0);
        });
    }
}

#[test]
fn section_6_1_user_canceled_is_followed_by_close_notify() {
    for level in [1, 2] {
        for_each_13(|pair, forge| {
            pair.wire.push(&forge.record(ContentType::Alert, &[level, 90]));
            assert_eq!(pair.reads(), b"");
            pair.wire.push(&forge.record(ContentType::Alert, &[1, 0]));
            assert!(is_end(pair));
        });
    }
}

#[test]
fn section_6_1_an_end_without_close_notify_is_not_one() {
    for_each_13(|pair, forge| {
        pair.wire.push(&forge.data(b"cut off"));
        let record = forge.data(b"by a stranger");
        pair.wire.push(&record[..record.len() - 1]);
        pair.wire.end();
        let (read, error) = pair.read_to_end();
        assert_eq!(read, b"cut off");
        assert_eq!(error.unwrap().kind(), ErrorKind::UnexpectedEof);
    });
}

#[test]
fn section_6_2_after_an_alert_of_ours_nothing_follows() {
    for_each_13(|pair, _| {
        pair.wire.push(&in_clear(ContentType::Alert, &[2, 40]));
        read_error(pair);
        let said = pair.wire.take();
        assert_eq!(said.len(), 5 + 2 + 17, "one alert");
        is_finished(pair);
        assert_eq!(pair.wire.take(), b"");
    });
}
