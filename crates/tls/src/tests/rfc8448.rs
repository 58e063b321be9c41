//! The trace of RFC 8448 section 3, "Simple 1-RTT Handshake", from the application's secrets on.

use rustls::{CipherSuite, Error};

use crate::contexts::Contexts;
use crate::records::HEADER;
use crate::secret::Secret;
use crate::traffic::{Parts, TrafficKeys};

/// "{server} derive secret "tls13 s ap traffic"", and "derive write traffic keys for application data".
const SERVER: (&str, &str, &str) = (
    "a11af9f05531f856ad47116b45a950328204b4f44bfb6b3a4b4f1f3fcb631643",
    "9f02283b6c9c07efc26bb9f2ac92e356",
    "cf782b88dd83549aadf1e984",
);
/// The same of what the client writes: "tls13 c ap traffic".
const CLIENT: (&str, &str, &str) = (
    "9e40646ce79a7f9dc05af8889bce6552875afa0b06df0087f792ebb7c17504a5",
    "17422dda596ed5d9acd890e3c63f5051",
    "5b78923dee08579033e523d9",
);

/// "{client} send application_data record", the first with these keys.
const CLIENT_DATA: &str = "1703030043a23f7054b62c94d0affafe8228ba55cbefacea42f914aa66bcab3f2b9819a8a5b46b395bd54a9a\
     20441e2b62974e1f5a6292a2977014bd1e3deae63aeebb21694915e4";
/// "{server} send application_data record", the second with these keys: a ticket came before it.
const SERVER_DATA: &str = "17030300432e937e11ef4ac740e538ad36005fc4a46932fc3225d05f82aa1b36e30efaf97d90e6dffc602dcb\
     501a59a8fcc49c4bf2e5f0a21c0047c2abf332540dd032e167c2955d";
/// "{client} send alert record", the second.
const CLIENT_ALERT: &str = "1703030013c9872760655666b74d7ff1153efd6db6d0b0e3";
/// "{server} send alert record", the third.
const SERVER_ALERT: &str = "1703030013b58fd67166ebf599d24720cfbe7efa7a8864a9";

const CLOSE_NOTIFY: [u8; 3] = [1, 0, 21];

/// Bytes 0 to 49, and the type of data.
fn data() -> Vec<u8> {
    (0..50).chain([23]).collect()
}

fn hex(text: &str) -> Vec<u8> {
    let digit = |byte: u8| char::from(byte).to_digit(16).unwrap() as u8;
    text.as_bytes()
        .chunks(2)
        .map(|pair| digit(pair[0]) << 4 | digit(pair[1]))
        .collect()
}

fn parts() -> Parts {
    Parts::of(CipherSuite::TLS13_AES_128_GCM_SHA256).unwrap()
}

fn keys((secret, key, iv): (&str, &str, &str), sequence: u64) -> TrafficKeys {
    let keys = TrafficKeys::new(parts(), Secret::new(&hex(secret)).unwrap(), sequence).unwrap();
    assert_eq!(keys.key_and_iv(), (&hex(key)[..], &hex(iv)[..]));
    keys
}

fn open(keys: &mut TrafficKeys, record: &str) -> Result<Vec<u8>, Error> {
    let mut record = hex(record);
    let (header, sealed) = record.split_at_mut(HEADER);
    keys.open(parts(), &mut Contexts::default(), header, sealed)
        .map(|content| content.to_vec())
}

/// `content` with its type behind it.
fn seal(keys: &mut TrafficKeys, content: &[u8]) -> Vec<u8> {
    let (typ, content) = content.split_last().unwrap();
    let len = content.len() + 1 + 16;
    let mut record = [&[23, 3, 3, 0, len as u8][..], &vec![0; len]].concat();
    let (header, sealed) = record.split_at_mut(HEADER);
    keys.seal(parts(), &mut Contexts::default(), header, (content, *typ), sealed)
        .unwrap();
    record
}

#[test]
fn the_clients_records_are_opened() {
    let mut read = keys(CLIENT, 0);
    assert_eq!(open(&mut read, CLIENT_DATA).unwrap(), data());
    assert_eq!(open(&mut read, CLIENT_ALERT).unwrap(), CLOSE_NOTIFY);
    assert_eq!(read.sequence(), 2);
}

#[test]
fn the_servers_records_are_sealed_to_the_byte() {
    let mut write = keys(SERVER, 1);
    assert_eq!(seal(&mut write, &data()), hex(SERVER_DATA));
    assert_eq!(seal(&mut write, &CLOSE_NOTIFY), hex(SERVER_ALERT));
    assert_eq!(write.sequence(), 3);
}

#[test]
fn each_side_opens_what_the_other_seals() {
    let mut write = keys(CLIENT, 0);
    assert_eq!(seal(&mut write, &data()), hex(CLIENT_DATA));
    assert_eq!(seal(&mut write, &CLOSE_NOTIFY), hex(CLIENT_ALERT));
    let mut read = keys(SERVER, 1);
    assert_eq!(open(&mut read, SERVER_DATA).unwrap(), data());
    assert_eq!(open(&mut read, SERVER_ALERT).unwrap(), CLOSE_NOTIFY);
}

#[test]
fn no_record_is_opened_with_another_number_key_or_header() {
    assert_eq!(open(&mut keys(CLIENT, 1), CLIENT_DATA), Err(Error::DecryptError));
    assert_eq!(open(&mut keys(SERVER, 0), CLIENT_DATA), Err(Error::DecryptError));
    for at in 0..hex(CLIENT_ALERT).len() {
        let mut record = hex(CLIENT_ALERT);
        record[at] ^= 1;
        let (header, sealed) = record.split_at_mut(HEADER);
        let mut keys = keys(CLIENT, 1);
        let opened = keys.open(parts(), &mut Contexts::default(), header, sealed);
        assert!(opened.is_err(), "byte {at}");
    }
}

/// RFC 8446 section 5.3: sequence numbers do not wrap. Nothing is sealed or opened with the last one.
#[test]
fn a_key_whose_numbers_are_used_up_neither_seals_nor_opens() {
    let mut write = keys(SERVER, u64::MAX - 1);
    seal(&mut write, &data());
    for _ in 0..3 {
        let mut sealed = [0; 67];
        let result = write.seal(
            parts(),
            &mut Contexts::default(),
            &[23, 3, 3, 0, 67],
            (&[0; 50], 23),
            &mut sealed,
        );
        assert!(result.is_err());
        assert_eq!(sealed, [0; 67], "nothing of it is written");
        assert!(open(&mut write, SERVER_DATA).is_err());
        assert_eq!(write.sequence(), u64::MAX);
    }
}
