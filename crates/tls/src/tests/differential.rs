//! The record layer against rustls's own: the same traffic to one server with each. Where they differ, here is how.

use std::io::{self, ErrorKind, Read};
use std::mem::discriminant;
use std::task::Poll;

use headpin_slab::HeadPolicy;
use rustls::{AlertDescription, ContentType, Error, PeerMisbehaved};

use super::fixture::{Fixture, pattern};
use super::forge::{self, Forge, in_clear};
use super::pair::Pair;
use super::wire::Shape;

/// What happens next.
#[derive(Debug, Clone)]
pub(super) enum Step {
    /// Content of this length, zeros behind its type.
    Data(usize, usize),
    /// Whole key updates, requesting one back or not, in records of this many bytes.
    KeyUpdate(bool, usize),
    /// The first bytes of one, and then data.
    Interleaved(usize),
    Alert(Vec<u8>),
    /// Sealed, of a type that has no place in it.
    ChangeCipherSpec,
    Zeros(usize),
    Corrupted,
    /// A header and no more.
    Empty,
    InClear(u8, Vec<u8>),
    Cut(usize),
    Window(Option<usize>),
    ServerReads,
    ServerWrites(usize),
    End,
    /// Another process goes on, where ours can be handed over; rustls's cannot.
    HandOver,
    /// Anything in a record of the right keys. The layers give up at different places, so from here on it only counts
    /// that they do.
    Anything(u8, Vec<u8>),
}

/// One server with its client.
struct Side {
    pair: Pair,
    forge: Forge,
    read: Vec<u8>,
    end: Option<Result<(), io::Error>>,
    client_read: Vec<u8>,
    client_error: Option<Error>,
}

impl Side {
    fn new(fixture: &Fixture) -> Self {
        let (config, secrets) = forge::client_13();
        let pair = Pair::connect(fixture, &config, Shape::WIDE);
        Self {
            pair,
            forge: Forge::new(&secrets),
            read: Vec::new(),
            end: None,
            client_read: Vec::new(),
            client_error: None,
        }
    }

    /// How many bytes of a write were taken, if it was one.
    fn play(&mut self, step: &Step) -> Option<Poll<Option<usize>>> {
        let wire = self.pair.wire.clone();
        let forge = &mut self.forge;
        match step {
            Step::Data(len, padding) => {
                wire.push(&forge.padded(ContentType::ApplicationData, &pattern(*len), *padding))
            }
            Step::KeyUpdate(requested, size) => {
                for part in [24, 0, 0, 1, u8::from(*requested)].chunks(*size) {
                    wire.push(&forge.handshake(part));
                }
                forge.update_keys();
            }
            Step::Interleaved(len) => {
                wire.push(&forge.handshake(&forge::KEY_UPDATE[..*len]));
                wire.push(&forge.data(b"within"));
            }
            Step::Alert(content) => wire.push(&forge.record(ContentType::Alert, content)),
            Step::ChangeCipherSpec => wire.push(&forge.record(ContentType::ChangeCipherSpec, &[1])),
            Step::Zeros(len) => wire.push(&forge.record(ContentType::from(0), &vec![0; *len])),
            Step::Corrupted => {
                let mut record = forge.data(b"corrupted");
                record[7] ^= 1;
                wire.push(&record);
            }
            Step::Empty => wire.push(&[23, 3, 3, 0, 0]),
            Step::InClear(typ, content) => wire.push(&in_clear(ContentType::from(*typ), content)),
            Step::Cut(read) => wire.reshape(Shape {
                read: *read,
                ..Shape::WIDE
            }),
            Step::Window(bytes) => wire.open_window(*bytes),
            Step::ServerReads => self.read(),
            Step::ServerWrites(len) => {
                return Some(self.pair.try_write(&pattern(*len)).map(Result::ok));
            }
            Step::End => wire.end(),
            Step::HandOver => self.pair.hands_over(),
            Step::Anything(typ, content) => wire.push(&forge.record(ContentType::from(*typ), content)),
        }
        None
    }

    fn read(&mut self) {
        while self.end.is_none() {
            match self.pair.read() {
                Poll::Ready(Ok(Some(bytes))) => self.read.extend(bytes),
                Poll::Ready(end) => self.end = Some(end.map(drop)),
                Poll::Pending => return,
            }
        }
    }

    /// All that is still to be read, said and heard.
    fn finish(&mut self) {
        self.read();
        self.pair.wire.open_window(None);
        self.pair.shuts_down().unwrap();
        let bytes = self.pair.wire.take();
        let mut bytes = &bytes[..];
        while !bytes.is_empty() && self.client_error.is_none() {
            // After close_notify a client takes nothing.
            if self.pair.client.read_tls(&mut bytes).unwrap() == 0 {
                break;
            }
            self.client_error = self.pair.client.process_new_packets().err();
            // What there is, and then that there is no more.
            let _ = self.pair.client.reader().read_to_end(&mut self.client_read);
        }
        assert_eq!(self.pair.server.buffered() * usize::from(self.end.is_some()), 0);
    }

    /// What went wrong with TLS.
    fn fault(&self) -> Option<&Error> {
        let error = self.end.as_ref()?.as_ref().err()?.get_ref()?;
        Some(error.downcast_ref().expect("of rustls"))
    }

    fn alert(&self) -> Option<AlertDescription> {
        match self.client_error {
            None => None,
            Some(Error::AlertReceived(alert)) => Some(alert),
            ref other => panic!("the client does not understand: {other:?}"),
        }
    }
}

/// Plays `steps` over both layers, and compares what came of them.
pub(super) fn compare(steps: &[Step], policy: HeadPolicy) {
    let fixtures = [Fixture::new(policy), Fixture::new(policy).over_rustls()];
    let [mut ours, mut theirs] = [Side::new(&fixtures[0]), Side::new(&fixtures[1])];
    let mut comparable = true;
    for step in steps {
        comparable &= !matches!(step, Step::Anything(..));
        let taken = [ours.play(step), theirs.play(step)];
        assert!(ours.pair.server.buffered() < 200_000);
        if comparable {
            assert!(ours.read == theirs.read, "after {step:?}");
            assert_eq!(kind(&ours.end), kind(&theirs.end), "after {step:?}");
            // Their alert may be longer, by the answer to a key update: then what is blocked differs.
            assert!(taken[0] == taken[1] || ours.fault().is_some(), "after {step:?}");
        }
    }
    ours.finish();
    theirs.finish();
    if comparable {
        assert!(ours.read == theirs.read);
        assert_eq!(kind(&ours.end), kind(&theirs.end));
        assert!(ours.client_read == theirs.client_read);
        judge((ours.fault(), ours.alert()), (theirs.fault(), theirs.alert()));
    }
    drop((ours, theirs));
    fixtures.iter().for_each(Fixture::assert_clean);
}

/// What a fuzzer makes of the two layers: each step is a byte that says which, and what it needs.
pub(crate) fn fuzz_one(mut bytes: &[u8]) {
    let mut steps = Vec::new();
    while let (Some(step), true) = (decode(&mut bytes), steps.len() < 100) {
        steps.push(step);
    }
    let policy = HeadPolicy::ALL[steps.len() % 2];
    compare(&steps, policy);
}

fn decode(bytes: &mut &[u8]) -> Option<Step> {
    let mut byte = || bytes.split_off_first().copied();
    let which = byte()?;
    let mut len = |most: usize| Some(usize::from(u16::from_be_bytes([byte()?, byte()?])) % (most + 1));
    Some(match which % 16 {
        0 => {
            let content = len(16_384)?;
            Step::Data(content, len(16_384 - content)?)
        }
        1 => Step::Data(len(100)?, 0),
        2 => Step::KeyUpdate(which & 16 == 0, 1 + len(5)?),
        3 => Step::Interleaved(1 + len(3)?),
        4 => match which >> 4 {
            0 => Step::ChangeCipherSpec,
            1 => Step::Corrupted,
            2 => Step::Empty,
            3 => Step::End,
            4 => Step::HandOver,
            _ => Step::Zeros(len(100)?),
        },
        5 => Step::Window(Some(len(1000)?)),
        6 => Step::Window(None),
        7 => Step::Cut(1 + len(100)?),
        8 => Step::Cut(usize::MAX),
        9 | 10 => Step::ServerReads,
        11 => Step::ServerWrites(len(100)?),
        12 => Step::ServerWrites(len(40_000)?),
        kind => {
            let len = len(40)?.min(bytes.len());
            let content = bytes.split_off(..len)?.to_vec();
            match kind {
                // A closure at another level than it is sent with is one to the record layer, and an error to rustls.
                13 if !matches!(content[..], [] | [0 | 3.., 0 | 90] | [2, 90]) => Step::Alert(content),
                14 => Step::InClear(20 + (which >> 4) % 4, content),
                _ => Step::Anything(which, content),
            }
        }
    })
}

fn kind(end: &Option<Result<(), io::Error>>) -> Option<Option<ErrorKind>> {
    let error = end.as_ref()?.as_ref().err();
    Some(error.map(io::Error::kind))
}

type Fault<'a> = (Option<&'a Error>, Option<AlertDescription>);

/// Both have to say the same, but for what is named here.
fn judge(ours: Fault<'_>, theirs: Fault<'_>) {
    use AlertDescription::{BadRecordMac, DecodeError, IllegalParameter, UnexpectedMessage};
    let same = ours.0.map(discriminant) == theirs.0.map(discriminant);
    let named = match (ours, theirs) {
        // rustls ends without a word.
        (
            (
                Some(Error::PeerMisbehaved(
                    PeerMisbehaved::MessageInterleavedWithHandshakeMessage
                    | PeerMisbehaved::TooManyEmptyFragments
                    | PeerMisbehaved::TooManyKeyUpdateRequests
                    | PeerMisbehaved::TooManyWarningAlertsReceived
                    | PeerMisbehaved::IllegalTlsInnerPlaintext,
                )),
                Some(UnexpectedMessage),
            ),
            (Some(Error::PeerMisbehaved(_)), None),
        ) => true,
        // Levels mean nothing, and an alert is not answered (RFC 8446 sections 6 and 6.2).
        (
            (Some(Error::AlertReceived(_)), None),
            (Some(Error::AlertReceived(_)), Some(DecodeError | IllegalParameter)),
        ) => true,
        // A record of a type that is no longer right is refused by its header; rustls first tries to open or read it.
        (
            (Some(Error::InappropriateMessage { .. }), Some(UnexpectedMessage)),
            (Some(Error::DecryptError), Some(BadRecordMac)) | (Some(Error::InvalidMessage(_)), Some(DecodeError)),
        ) => true,
        // The same, sealed: for rustls a matter of its own.
        (
            (Some(Error::InappropriateMessage { .. }), Some(UnexpectedMessage)),
            (Some(Error::PeerMisbehaved(PeerMisbehaved::IllegalMiddleboxChangeCipherSpec)), Some(UnexpectedMessage)),
        ) => true,
        _ => false,
    };
    assert!(
        named || (same && ours.1 == theirs.1),
        "{ours:?}, but of rustls {theirs:?}"
    );
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn step() -> impl Strategy<Value = Step> {
        let len = || prop_oneof![4 => 0..400_usize, 1 => 16_000..=16_384_usize];
        let alert = prop_oneof![
            1 => Just(vec![1, 0]),
            1 => Just(vec![2, 0]),
            4 => Just(vec![1, 90]),
            1 => (any::<u8>().prop_filter("a closure", |alert| ![0, 90].contains(alert))).prop_map(|alert| vec![2, alert]),
            1 => Just(vec![1, 40]),
            1 => Just(vec![7, 40]),
            1 => Just(vec![2]),
            1 => Just(vec![1, 0, 0]),
        ];
        let clear = (20..24_u8, prop::collection::vec(any::<u8>(), 1..40));
        prop_oneof![
            12 => (len(), prop_oneof![4 => Just(0), 2 => 0..100_usize]).prop_map(|(len, zeros)| Step::Data(len, zeros.min(16_384 - len))),
            12 => (any::<bool>(), 1..6_usize).prop_map(|(requested, size)| Step::KeyUpdate(requested, size)),
            1 => (1..5_usize).prop_map(Step::Interleaved),
            2 => alert.prop_map(Step::Alert),
            1 => Just(Step::ChangeCipherSpec),
            1 => (0..100_usize).prop_map(Step::Zeros),
            1 => Just(Step::Corrupted),
            1 => Just(Step::Empty),
            1 => clear.prop_map(|(typ, content)| Step::InClear(typ, content)),
            6 => prop_oneof![1..100_usize, Just(usize::MAX)].prop_map(Step::Cut),
            4 => prop::option::of(0..1000_usize).prop_map(Step::Window),
            16 => Just(Step::ServerReads),
            16 => prop_oneof![0..100_usize, 0..40_000_usize].prop_map(Step::ServerWrites),
            1 => Just(Step::End),
            16 => Just(Step::HandOver),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn both_layers_make_the_same_of_the_same_traffic(
            steps in prop::collection::vec(step(), 1..40),
            pin in any::<bool>(),
        ) {
            compare(&steps, if pin { HeadPolicy::Pin } else { HeadPolicy::Copy });
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn what_a_fuzzer_begins_with_holds(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
            fuzz_one(&bytes);
        }
    }

    /// As many of what is legal as there may be in a row, and one more.
    #[test]
    fn both_layers_lose_patience_at_the_same_place() {
        let update = Step::KeyUpdate(true, 5);
        for (step, most) in [(Step::Data(0, 3), 32), (update, 32), (Step::Alert(vec![1, 90]), 4)] {
            for count in [most, most + 1] {
                let mut steps = vec![step.clone(); count];
                steps.push(Step::Data(10, 0));
                compare(&steps, HeadPolicy::Copy);
                steps.push(Step::ServerReads);
                steps.extend(vec![step.clone(); count]);
                compare(&steps, HeadPolicy::Copy);
            }
        }
    }
}
