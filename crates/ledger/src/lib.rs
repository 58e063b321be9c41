//! Who holds how much of the allocator's memory, on a worker's thread.
//!
//! jemalloc counts for each thread what it was given and what it gave back (`thread.allocated`, `thread.deallocated`).
//! [`measure`] takes the difference over a piece of work, less what pieces inside it were measured to take. Whoever knows
//! what the bytes are for claims them for a part of the process's memory, and takes the claim back when they are gone:
//! nothing drifts, since a connection's claim ends with the connection.
//!
//! Work that runs once a message is not measured. It keeps nothing, except for what waits to be written, and that is
//! claimed by its size.

mod claim;
mod part;

use std::array;
use std::cell::{Cell, OnceCell};
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use headpin_labels::Label;

pub use self::claim::Claim;
pub use self::part::MemoryPart;

/// What the threads of one proxy have claimed.
#[derive(Debug, Default)]
pub struct Ledgers(Mutex<Vec<Arc<Sums>>>);

/// What one thread has claimed, in bytes, by part. It has one writer.
#[derive(Debug)]
struct Sums([AtomicI64; MemoryPart::ALL.len()]);

thread_local! {
    static BOOK: OnceCell<Book> = const { OnceCell::new() };
}

/// The ledger of one thread.
struct Book {
    sums: Arc<Sums>,
    /// Bytes that measured work has taken since the thread began, net.
    measured: Cell<i64>,
    allocated: Allocated,
}

impl Ledgers {
    /// Opens the ledger of the calling thread, for as long as the thread runs. Without that nothing is claimed there.
    pub fn open(&self) {
        BOOK.with(|book| {
            let book = book.get_or_init(|| Book {
                sums: Arc::new(Sums(array::from_fn(|_| AtomicI64::new(0)))),
                measured: Cell::new(0),
                allocated: Allocated::of_this_thread(),
            });
            let mut ledgers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            ledgers.push(Arc::clone(&book.sums));
        });
    }

    /// Bytes that all threads claim for `part`.
    #[must_use]
    pub fn claimed(&self, part: MemoryPart) -> u64 {
        let ledgers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let sum: i64 = ledgers
            .iter()
            .map(|sums| sums.0[part.index()].load(Ordering::Relaxed))
            .sum();
        u64::try_from(sum).unwrap_or(0)
    }
}

fn with_book<R>(with: impl FnOnce(&Book) -> R) -> Option<R> {
    // Later than the book there is nothing to claim: the thread ends.
    BOOK.try_with(|book| book.get().map(with)).ok().flatten()
}

/// Claims `bytes` for `part`; a negative number takes a claim back.
pub fn claim(part: MemoryPart, bytes: i64) {
    with_book(|book| {
        let sum = &book.sums.0[part.index()];
        sum.store(sum.load(Ordering::Relaxed) + bytes, Ordering::Relaxed);
    });
}

/// Bytes that the calling thread claims for `part`.
#[must_use]
pub fn claimed_here(part: MemoryPart) -> u64 {
    let sum = with_book(|book| book.sums.0[part.index()].load(Ordering::Relaxed));
    sum.and_then(|sum| u64::try_from(sum).ok()).unwrap_or(0)
}

/// Claims `bytes` for `part` that are taken or given back right now, so that they are in no measurement around this.
pub fn claim_apart(part: MemoryPart, bytes: i64) {
    claim(part, bytes);
    with_book(|book| book.measured.set(book.measured.get() + bytes));
}

/// Does `work`; what it has taken from the allocator and kept, in bytes, less what measurements inside it have counted.
/// Negative if it gave back more. 0 without jemalloc, or on a thread without a ledger.
pub fn measure<R>(work: impl FnOnce() -> R) -> (R, i64) {
    let now = || with_book(|book| (book.allocated.net(), book.measured.get()));
    let before = now();
    let result = work();
    let (Some(before), Some(after)) = (before, now()) else {
        return (result, 0);
    };
    let taken = after.0 - before.0;
    let inside = after.1 - before.1;
    with_book(|book| book.measured.set(before.1 + taken));
    (result, taken - inside)
}

/// What the allocator takes for `bytes`: jemalloc's size classes, four to each doubling (its manual, table 1).
#[must_use]
pub fn size_class(bytes: usize) -> usize {
    match bytes {
        0 => 0,
        1..=8 => 8,
        9..=128 => bytes.next_multiple_of(16),
        _ => bytes.next_multiple_of(1 << ((bytes - 1).ilog2() - 2)),
    }
}

/// The allocator's two counters of a thread.
#[cfg(feature = "jemalloc")]
struct Allocated(
    Option<(
        tikv_jemalloc_ctl::thread::ThreadLocal<u64>,
        tikv_jemalloc_ctl::thread::ThreadLocal<u64>,
    )>,
);

#[cfg(feature = "jemalloc")]
impl Allocated {
    fn of_this_thread() -> Self {
        use tikv_jemalloc_ctl::thread::{allocatedp, deallocatedp};
        Self(allocatedp::read().ok().zip(deallocatedp::read().ok()))
    }

    /// Bytes taken and not given back, each counted where it was done: below zero on a thread that frees others' memory.
    fn net(&self) -> i64 {
        self.0
            .map_or(0, |(taken, given)| taken.get().wrapping_sub(given.get()).cast_signed())
    }
}

#[cfg(not(feature = "jemalloc"))]
struct Allocated;

#[cfg(not(feature = "jemalloc"))]
impl Allocated {
    fn of_this_thread() -> Self {
        Self
    }

    fn net(&self) -> i64 {
        0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn claims_are_summed_over_threads_and_outlive_them() {
        let ledgers = Arc::new(Ledgers::default());
        for bytes in [40, 2] {
            let ledgers = Arc::clone(&ledgers);
            let thread = std::thread::spawn(move || {
                ledgers.open();
                claim(MemoryPart::Http, bytes + 100);
                claim(MemoryPart::Http, -100);
            });
            thread.join().expect("it claims");
        }
        assert_eq!(ledgers.claimed(MemoryPart::Http), 42);
        assert_eq!(ledgers.claimed(MemoryPart::Tls), 0);
    }

    #[test]
    fn what_is_claimed_apart_is_not_measured_around_it() {
        let ledgers = Ledgers::default();
        ledgers.open();
        let ((), outer) = measure(|| {
            claim_apart(MemoryPart::Slabs, 1000);
            let ((), inner) = measure(|| claim_apart(MemoryPart::Slabs, 24));
            assert_eq!(inner, -24);
        });
        // Nothing was really taken here, and what the inner measurement saw is its own.
        assert_eq!(outer, -1000);
        assert_eq!(ledgers.claimed(MemoryPart::Slabs), 1024);
        assert_eq!(claimed_here(MemoryPart::Slabs), 1024);
    }

    #[test]
    fn sizes_are_rounded_to_the_allocators_classes() {
        let classes = [
            (0, 0),
            (1, 8),
            (9, 16),
            (128, 128),
            (129, 160),
            (1025, 1280),
            (1537, 1792),
            (4096, 4096),
            (4097, 5120),
            (10 << 20, 10 << 20),
        ];
        for (bytes, class) in classes {
            assert_eq!(size_class(bytes), class, "{bytes}");
        }
    }
}
