//! The head against an HTTP library that reads as it likes.

use std::collections::VecDeque;
use std::task::Waker;

use headpin_slab::{Counts, HeadPolicy, HeldHead, Meter, SlabClass, SlabSettings, SlabSlice, WorkerSlabs};

use super::*;

const REQUEST: &[u8] = b"GET /chat HTTP/1.1\r\n\r\n";
const HEAD: &[u8] = b"\x81\x05hello";
const CAPACITY: usize = 1024;
const CLASS: SlabClass = SlabClass::Tls;

/// What one read of the stream brings.
#[derive(Debug)]
enum Read {
    Bytes(Vec<u8>),
    Error,
    Pending,
}

/// A stream that brings what the test says, then its end. As with TLS, a slice may be larger than was asked for.
#[derive(Debug)]
struct Script {
    reads: VecDeque<Read>,
    slabs: Rc<WorkerSlabs>,
}

impl SliceRead for Script {
    fn poll_read_slice(&mut self, _: &mut Context<'_>, most: usize) -> Poll<io::Result<Option<SlabSlice>>> {
        assert!(most > 0, "a read without room looks like the end");
        match self.reads.pop_front() {
            Some(Read::Bytes(bytes)) => {
                let mut pool = self.slabs.for_read(CLASS);
                let mut carving = pool.carve(bytes.len());
                carving.extend(&bytes);
                Poll::Ready(Ok(carving.finish()))
            }
            Some(Read::Error) => Poll::Ready(Err(io::ErrorKind::ConnectionReset.into())),
            Some(Read::Pending) => Poll::Pending,
            None => Poll::Ready(Ok(None)),
        }
    }

    fn slabs(&self) -> &Rc<WorkerSlabs> {
        &self.slabs
    }

    fn class(&self) -> SlabClass {
        CLASS
    }
}

/// An HTTP library around a [`HeadIo`].
struct Library {
    io: HeadIo<Script>,
    state: Rc<IoState>,
    slabs: Rc<WorkerSlabs>,
    counts: Rc<Counts>,
    buffer: Vec<u8>,
}

impl Library {
    fn new(policy: HeadPolicy, reads: impl IntoIterator<Item = Read>) -> Self {
        let counts = Rc::<Counts>::default();
        let settings = SlabSettings {
            worker: 0,
            tls_capacity: CAPACITY,
            tcp_capacity: CAPACITY,
            spares: 0,
        };
        let meter: Rc<dyn Meter> = Rc::<Counts>::clone(&counts);
        let slabs = WorkerSlabs::new(&settings, policy, &meter);
        let io = HeadIo::new(Script {
            reads: reads.into_iter().collect(),
            slabs: Rc::clone(&slabs),
        });
        Self {
            state: io.state(),
            io,
            slabs,
            counts,
            buffer: Vec::new(),
        }
    }

    /// Reads up to `most` bytes into the library's buffer; how many came.
    fn read(&mut self, most: usize) -> Poll<io::Result<usize>> {
        let mut room = vec![0; most];
        let mut into = ReadBuf::new(&mut room);
        let cx = &mut Context::from_waker(Waker::noop());
        ready!(Pin::new(&mut self.io).poll_read(cx, &mut into))?;
        self.buffer.extend(into.filled());
        Poll::Ready(Ok(into.filled().len()))
    }

    fn reads(&mut self, most: usize) -> usize {
        match self.read(most) {
            Poll::Ready(Ok(read)) => read,
            other => panic!("{other:?}"),
        }
    }

    /// Takes a request of `len` bytes out of the buffer.
    fn parse(&mut self, len: usize) {
        self.buffer.drain(..len);
    }

    fn slices(&self) -> usize {
        self.slabs.census().iter().map(|slab| slab.slices).sum()
    }

    fn into_head(self) -> (Script, Head) {
        let policy = self.slabs.policy();
        self.io.into_head(&self.buffer, policy)
    }
}

fn bytes(parts: &[&[u8]]) -> Read {
    Read::Bytes(parts.concat())
}

fn held(head: Head) -> HeldHead {
    head.into_parts().1.expect("a held head")
}

#[test]
fn a_head_in_the_slice_of_its_request_is_held_wherever_delivery_stopped() {
    for delivered in REQUEST.len()..=REQUEST.len() + HEAD.len() {
        for pieces in [1, 2, 5] {
            let mut library = Library::new(HeadPolicy::Pin, [bytes(&[REQUEST, HEAD])]);
            let mut left = delivered;
            while left > 0 {
                left -= library.reads(left.min(delivered.div_ceil(pieces)));
            }
            library.state.slot.keep();
            let place = library.state.slot.remembered().expect("its slice");
            library.parse(REQUEST.len());

            let (counts, slabs) = (Rc::clone(&library.counts), Rc::clone(&library.slabs));
            let head = held(library.into_head().1);
            assert_eq!(head.bytes(), HEAD);
            assert_eq!(head.slice(), place);
            assert_eq!(head.slice().len, REQUEST.len() + HEAD.len());
            assert_eq!(counts.of(CLASS).head_bytes.get(), HEAD.len() as i64);
            drop(head);
            assert_eq!(counts.of(CLASS).heads.get(), 0);
            assert!(slabs.census().iter().all(|slab| slab.slices == 0));
        }
    }
}

#[test]
fn under_copy_the_head_is_the_same_and_no_slice_outlives_a_poll() {
    for delivered in REQUEST.len()..=REQUEST.len() + HEAD.len() {
        let mut library = Library::new(HeadPolicy::Copy, [bytes(&[REQUEST, HEAD])]);
        for _ in 0..delivered {
            library.reads(1);
            assert_eq!((library.slices(), library.state.slot.remembered()), (0, None));
        }
        library.state.slot.keep();
        library.parse(REQUEST.len());
        let counts = Rc::clone(&library.counts);
        let head = library.into_head().1;
        assert!(matches!(&head, Head::Copied(bytes) if **bytes == *HEAD), "{head:?}");
        assert_eq!(counts.of(CLASS).heads.get(), 0);
    }
}

#[test]
fn a_head_over_two_slices_is_whole_wherever_they_were_cut() {
    let both = [REQUEST, HEAD].concat();
    for policy in HeadPolicy::ALL {
        for cut in 1..both.len() {
            for undelivered in 0..both.len() - cut {
                let (first, second) = both.split_at(cut);
                let mut library = Library::new(policy, [bytes(&[first]), bytes(&[second])]);
                assert_eq!(library.reads(100), cut);
                if cut >= REQUEST.len() {
                    library.state.slot.keep();
                }
                library.reads(second.len() - undelivered);
                if library.buffer.len() < REQUEST.len() {
                    continue;
                }
                library.state.slot.keep();
                library.parse(REQUEST.len());
                let head = library.into_head().1;
                assert_eq!(head.bytes(), HEAD, "cut at {cut}, {undelivered} undelivered");
                assert_eq!(head.into_parts().1.is_some(), policy == HeadPolicy::Pin);
            }
        }
    }
}

#[test]
fn an_empty_head_keeps_its_slice_under_pin() {
    let mut library = Library::new(HeadPolicy::Pin, [bytes(&[REQUEST])]);
    library.reads(100);
    library.state.slot.keep();
    library.parse(REQUEST.len());
    let (counts, slabs) = (Rc::clone(&library.counts), Rc::clone(&library.slabs));
    let head = held(library.into_head().1);
    assert_eq!((head.bytes(), head.slice().len), (&b""[..], REQUEST.len()));
    assert_eq!(counts.of(CLASS).heads.get(), 1);
    assert_eq!(counts.of(CLASS).head_bytes.get(), 0);

    // Traffic fills the slab, which cannot go.
    for _ in 0..2 {
        drop(slabs.for_read(CLASS).carve(CAPACITY).finish());
    }
    assert_eq!(counts.of(CLASS).pinned_bytes.get(), CAPACITY as i64);
    drop(head);
    assert_eq!(counts.of(CLASS).pinned_bytes.get(), 0);
}

#[test]
fn an_empty_head_under_copy_is_nothing() {
    let mut library = Library::new(HeadPolicy::Copy, [bytes(&[REQUEST])]);
    library.reads(100);
    library.state.slot.keep();
    library.parse(REQUEST.len());
    assert!(matches!(library.into_head().1, Head::Copied(bytes) if bytes.is_empty()));
}

#[test]
fn a_slice_that_is_kept_stays_when_a_probe_brings_nothing() {
    let probes = [Read::Pending, Read::Pending];
    let mut library = Library::new(HeadPolicy::Pin, [bytes(&[REQUEST])].into_iter().chain(probes));
    library.reads(100);
    library.state.slot.keep();
    assert!(library.read(100).is_pending());
    assert!(library.read(100).is_pending());
    // The end brings nothing either.
    assert_eq!(library.reads(100), 0);
    library.parse(REQUEST.len());
    assert_eq!(held(library.into_head().1).slice().len, REQUEST.len());
}

#[test]
fn a_slice_that_is_not_kept_goes_when_the_library_asks_for_more() {
    let mut library = Library::new(HeadPolicy::Pin, [bytes(&[REQUEST]), Read::Pending]);
    library.reads(100);
    assert!(library.state.slot.remembered().is_some());
    assert!(library.read(100).is_pending());
    assert_eq!((library.state.slot.remembered(), library.slices()), (None, 0));
}

#[test]
fn a_probe_that_brings_data_puts_it_in_place_of_the_slice_that_was_kept() {
    let mut library = Library::new(HeadPolicy::Pin, [bytes(&[REQUEST]), Read::Pending, bytes(&[HEAD])]);
    library.reads(100);
    library.state.slot.keep();
    assert!(library.read(100).is_pending());
    library.reads(3);
    assert_eq!(library.state.slot.remembered().map(|place| place.len), Some(HEAD.len()));
    assert_eq!(library.slices(), 1);
    library.parse(REQUEST.len());
    let head = held(library.into_head().1);
    assert_eq!((head.bytes(), head.slice().len), (HEAD, HEAD.len()));
}

#[test]
fn forgetting_keeps_only_what_nobody_has_read() {
    for delivered in [REQUEST.len(), REQUEST.len() + HEAD.len()] {
        let mut library = Library::new(HeadPolicy::Pin, [bytes(&[REQUEST, HEAD])]);
        library.reads(delivered);
        library.state.slot.forget();
        let left = REQUEST.len() + HEAD.len() - delivered;
        assert_eq!(library.slices(), usize::from(left > 0));
        assert_eq!(library.reads(100), left);
        assert_eq!(library.buffer, [REQUEST, HEAD].concat());
        assert_eq!(library.reads(100), 0);
        assert_eq!(library.slices(), 0);
    }
}

#[test]
fn releasing_frees_the_slab_and_loses_no_byte() {
    for delivered in 1..=REQUEST.len() + HEAD.len() {
        for keep in [false, true] {
            let mut library = Library::new(HeadPolicy::Pin, [bytes(&[REQUEST, HEAD])]);
            library.reads(delivered);
            if keep {
                library.state.slot.keep();
            }
            library.slabs.set_policy(HeadPolicy::Copy);
            library.state.slot.release();
            assert_eq!((library.slices(), library.state.slot.remembered()), (0, None));
            // Once more does nothing.
            library.state.slot.release();
            while library.reads(2) > 0 {}
            assert_eq!(library.buffer, [REQUEST, HEAD].concat());
            library.parse(REQUEST.len());
            assert!(matches!(library.into_head().1, Head::Copied(bytes) if *bytes == *HEAD));
        }
    }
}

#[test]
fn a_flip_to_copy_before_the_head_is_taken_copies_it_from_the_slice() {
    for delivered in REQUEST.len()..=REQUEST.len() + HEAD.len() {
        let mut library = Library::new(HeadPolicy::Pin, [bytes(&[REQUEST, HEAD])]);
        library.reads(delivered);
        library.state.slot.keep();
        library.slabs.set_policy(HeadPolicy::Copy);
        library.parse(REQUEST.len());
        let slabs = Rc::clone(&library.slabs);
        let head = library.into_head().1;
        assert!(matches!(&head, Head::Copied(bytes) if **bytes == *HEAD), "{head:?}");
        assert!(slabs.census().iter().all(|slab| slab.slices == 0));
    }
}

#[test]
fn a_flip_to_pin_before_the_head_is_taken_carves_it_anew() {
    for delivered in REQUEST.len()..=REQUEST.len() + HEAD.len() {
        let mut library = Library::new(HeadPolicy::Copy, [bytes(&[REQUEST, HEAD])]);
        library.reads(delivered);
        library.state.slot.keep();
        library.slabs.set_policy(HeadPolicy::Pin);
        library.parse(REQUEST.len());
        let head = held(library.into_head().1);
        assert_eq!((head.bytes(), head.slice().len), (HEAD, HEAD.len()));
    }
}

/// The first request lets the slice go, the second is answered from the library's own buffer.
#[test]
fn the_head_of_a_pipelined_request_is_carved_anew() {
    let mut library = Library::new(HeadPolicy::Pin, [bytes(&[REQUEST, REQUEST, HEAD]), Read::Pending]);
    library.reads(100);
    library.state.slot.forget();
    library.parse(REQUEST.len());
    assert!(library.read(100).is_pending());
    library.state.slot.keep();
    library.parse(REQUEST.len());
    let counts = Rc::clone(&library.counts);
    let head = held(library.into_head().1);
    assert_eq!((head.bytes(), head.slice().len), (HEAD, HEAD.len()));
    assert_eq!(counts.of(CLASS).heads.get(), 1);
}

#[test]
fn a_head_that_no_slab_can_hold_is_copied() {
    let big = vec![7; CAPACITY];
    let mut library = Library::new(HeadPolicy::Pin, [bytes(&[REQUEST, HEAD]), bytes(&[&big])]);
    library.reads(2 * CAPACITY);
    library.reads(2 * CAPACITY);
    library.parse(REQUEST.len());
    let head = library.into_head().1;
    assert!(matches!(&head, Head::Copied(bytes) if **bytes == [HEAD, &big].concat()));
}

#[test]
fn a_request_has_begun_from_its_first_byte_until_it_is_answered_for() {
    for policy in HeadPolicy::ALL {
        let mut library = Library::new(policy, [Read::Pending, bytes(&[REQUEST, HEAD]), Read::Pending]);
        assert!(library.read(100).is_pending());
        assert!(!library.state.flow.has_begun());
        library.reads(REQUEST.len());
        assert!(library.state.flow.has_begun());
        library.state.flow.request_arrived();
        assert!(!library.state.flow.has_begun());
        library.reads(100);
        assert!(library.state.flow.has_begun());
        library.state.flow.request_arrived();
        assert!(!library.state.flow.has_begun() && library.read(100).is_pending());
        assert!(!library.state.flow.has_begun());
    }
}

#[test]
fn an_error_is_passed_on_and_leaves_the_rest_as_it_was() {
    for policy in HeadPolicy::ALL {
        let mut library = Library::new(policy, [bytes(&[REQUEST]), Read::Error, bytes(&[HEAD])]);
        library.reads(100);
        library.state.slot.keep();
        let Poll::Ready(Err(error)) = library.read(100) else {
            panic!("the stream has failed");
        };
        assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
        library.reads(100);
        assert_eq!(library.buffer, [REQUEST, HEAD].concat());
    }
}

#[test]
fn a_read_without_room_takes_nothing() {
    let mut library = Library::new(HeadPolicy::Copy, [bytes(&[REQUEST])]);
    assert_eq!(library.reads(0), 0);
    assert_eq!(library.reads(100), REQUEST.len());
}
