//! The pool: carve, retire, rewind, free.

use std::fmt;
use std::ops::Range;
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::buf::Limit;
use bytes::{Buf, BufMut, BytesMut};

use super::census::SlabReport;
use super::memory::SlabMemory;
use super::shared::PoolShared;
use super::slice::{Slab, SlabSlice};
use crate::{Meter, SlabClass};

/// What a pool is made from.
#[derive(Debug, Clone)]
pub struct PoolSettings {
    /// What its slabs serve.
    pub class: SlabClass,
    /// The worker it belongs to.
    pub worker: usize,
    /// Size of each slab, in bytes.
    pub capacity: usize,
}

/// So many sweeps without a read are a pause of the traffic.
const QUIET_SWEEPS: u32 = 2;
/// Written bytes of a slab that are not worth a new one.
const FEW_BYTES: usize = 64 * 1024;

struct Current {
    memory: SlabMemory,
    slab: Rc<Slab>,
}

/// One worker's slabs of one class.
///
/// Holds at most one slab that is carved from, made on the first read; retired slabs live with their slices.
pub struct SlabPool {
    shared: Rc<PoolShared>,
    current: Option<Current>,
    /// For the census only; an entry whose slab is gone is swept out at the next retirement.
    retired: Vec<Weak<Slab>>,
    next_serial: u64,
    /// Bytes carved; this is the only writer.
    carved: Arc<AtomicU64>,
    /// Bytes carved since the last turnover, below the capacity.
    since_turnover: usize,
    /// Sweeps in a row that found nothing carved since the one before, and what was carved until then.
    quiet: u32,
    swept_at: u64,
    on_turnover: Option<Box<dyn Fn()>>,
}

impl SlabPool {
    /// An empty pool that keeps no spares; see [`Self::keep_spares`].
    #[must_use]
    pub fn new(settings: PoolSettings, meter: Rc<dyn Meter>) -> Self {
        let PoolSettings {
            class,
            worker,
            capacity,
        } = settings;
        Self {
            carved: meter.carved(class),
            shared: Rc::new(PoolShared::new(class, worker, capacity, meter)),
            current: None,
            retired: Vec::new(),
            next_serial: 0,
            since_turnover: 0,
            quiet: 0,
            swept_at: 0,
            on_turnover: None,
        }
    }

    /// Calls `sample` at every turnover.
    pub fn on_turnover(&mut self, sample: Box<dyn Fn()>) {
        self.on_turnover = Some(sample);
    }

    /// Keeps the memory of at most `limit` freed slabs for the next ones, and frees what is above it now.
    pub fn keep_spares(&self, limit: usize) {
        self.shared.trim(limit);
    }

    /// Size of each slab, in bytes.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.shared.capacity
    }

    /// Begins a slice of up to `most` bytes in one piece. A slab with less room than that first rewinds or retires.
    ///
    /// # Panics
    /// If `most` is larger than a slab.
    pub fn carve(&mut self, most: usize) -> Carving<'_> {
        self.carve_between(most, most)
    }

    /// As [`Self::carve`], where a slab may end with a smaller slice: it is full with less room than `least`.
    ///
    /// # Panics
    /// If `most` is larger than a slab, or smaller than `least`.
    pub fn carve_between(&mut self, least: usize, most: usize) -> Carving<'_> {
        assert!(least <= most, "{least} bytes are more than {most}");
        assert!(
            most <= self.shared.capacity,
            "{most} bytes do not fit a slab of {}",
            self.shared.capacity
        );
        let full = self
            .current
            .as_ref()
            .is_some_and(|current| current.memory.bytes.capacity() < least);
        if full && !self.rewind_if_idle() {
            self.retire();
        }
        let current = self.current.get_or_insert_with(|| {
            let memory = self.shared.take_or_allocate();
            let base = memory.bytes.as_ptr().addr();
            let slab = Rc::new(Slab::new(self.next_serial, base, Rc::clone(&self.shared)));
            self.next_serial += 1;
            Current { memory, slab }
        });
        debug_assert!(current.memory.bytes.is_empty() && current.memory.bytes.capacity() >= least);
        let most = most.min(current.memory.bytes.capacity());
        Carving { pool: self, most }
    }

    /// Starts the current slab at its front again if no slice of it is out, and says whether that was so.
    ///
    /// Under `copy` this is called before every read: the same few warm pages serve all connections. Under `pin` a slab
    /// rewinds only when it is full, as one of Node's never did before it was full either, so that every byte of traffic
    /// counts towards the next slab.
    pub fn rewind_if_idle(&mut self) -> bool {
        let Some(current) = &mut self.current else { return false };
        if Rc::strong_count(&current.slab) > 1 {
            return false;
        }
        let restarted = current.memory.restart(self.shared.capacity);
        debug_assert!(restarted, "without slices the memory has one owner");
        current.slab.carved.set(0);
        restarted
    }

    /// Gives back what nothing is in, to be called about once a second: after two quiet seconds the spares, and the
    /// current slab if much of it was ever written. A slab that rewinds keeps the pages that it has; after a burst, or a
    /// time under `pin`, that is all of them.
    ///
    /// `rewinds`: a read begins at the front again, as under `copy`. Then what was written far behind the front is of no
    /// use, quiet or not.
    pub fn sweep(&mut self, rewinds: bool) {
        let carved = self.carved.load(Ordering::Relaxed);
        self.quiet = if carved == self.swept_at { self.quiet + 1 } else { 0 };
        self.swept_at = carved;
        let is_quiet = self.quiet >= QUIET_SWEEPS;
        if is_quiet {
            self.shared.free_spares();
        }
        let most = match (is_quiet, rewinds) {
            (true, _) => FEW_BYTES,
            (false, true) => self.shared.capacity / 4,
            (false, false) => return,
        };
        let in_vain = |current: &mut Current| Rc::strong_count(&current.slab) == 1 && current.memory.touched() > most;
        if self.current.take_if(in_vain).is_some() {
            self.shared.freed(1);
        }
    }

    /// Every live slab of this pool that has a name: the current one and the retired ones, not the spares.
    #[must_use]
    pub fn census(&self) -> Vec<SlabReport> {
        let report =
            |slab: &Rc<Slab>, known: usize| SlabReport::new(slab, Rc::strong_count(slab) - known, self.shared.capacity);
        let current = self.current.iter().map(|current| report(&current.slab, 1));
        let retired = self.retired.iter().filter_map(Weak::upgrade);
        retired.map(|slab| report(&slab, 1)).chain(current).collect()
    }

    /// Slabs kept for the next one.
    #[must_use]
    pub fn spares(&self) -> usize {
        self.shared.spares()
    }

    fn count(&mut self, carved: usize) {
        let sum = self.carved.load(Ordering::Relaxed) + carved as u64;
        self.carved.store(sum, Ordering::Relaxed);
        self.since_turnover += carved;
        if self.since_turnover >= self.shared.capacity {
            self.since_turnover -= self.shared.capacity;
            self.shared.turned_over();
            if let Some(sample) = &self.on_turnover {
                sample();
            }
        }
    }

    fn retire(&mut self) {
        let Some(Current { memory, slab }) = self.current.take() else {
            return;
        };
        self.retired.retain(|slab| slab.strong_count() > 0);
        self.retired.push(Rc::downgrade(&slab));
        slab.retire(memory);
    }
}

impl Drop for SlabPool {
    fn drop(&mut self) {
        self.shared.trim(0);
        self.retire();
    }
}

impl fmt::Debug for SlabPool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SlabPool")
            .field("class", &self.shared.class)
            .field("worker", &self.shared.worker)
            .field("capacity", &self.shared.capacity)
            .finish_non_exhaustive()
    }
}

/// A slice in the making. Dropped without [`Self::finish`], it leaves the slab as it was.
#[must_use = "bytes are carved by `finish`"]
#[derive(Debug)]
pub struct Carving<'a> {
    pool: &'a mut SlabPool,
    most: usize,
}

impl Carving<'_> {
    /// Appends `bytes`.
    ///
    /// # Panics
    /// If that makes more than what was asked for in [`SlabPool::carve`].
    pub fn extend(&mut self, bytes: &[u8]) {
        let most = self.most;
        let memory = self.memory();
        assert!(memory.len() + bytes.len() <= most, "more carved than asked for");
        memory.extend_from_slice(bytes);
    }

    /// The room that is left, to read into.
    pub fn unfilled(&mut self) -> Limit<&mut BytesMut> {
        let most = self.most;
        let memory = self.memory();
        let room = most - memory.len();
        memory.limit(room)
    }

    /// What was appended, to be changed in place.
    pub fn filled(&mut self) -> &mut [u8] {
        let Current { memory, slab } = self.pool.current.as_mut().expect(HAS_CURRENT);
        // More than will be carved: what is cut off again was written as well.
        memory.touch(slab.carved.get() + memory.bytes.len());
        &mut memory.bytes
    }

    /// The slice of a part of what was appended; `None` if that is empty. Bytes in front of it count as carved.
    ///
    /// # Panics
    /// If that is not a part.
    #[must_use]
    pub fn finish_with(mut self, part: Range<usize>) -> Option<SlabSlice> {
        let memory = self.memory();
        memory.truncate(part.end);
        memory.advance(part.start);
        self.carved(part.start)
    }

    /// The slice of what was appended; `None` if that is nothing.
    #[must_use]
    pub fn finish(self) -> Option<SlabSlice> {
        self.carved(0)
    }

    fn carved(mut self, unused: usize) -> Option<SlabSlice> {
        let bytes = self.memory().split().freeze();
        if bytes.is_empty() {
            return None;
        }
        let carved = unused + bytes.len();
        let current = self.pool.current.as_mut().expect(HAS_CURRENT);
        let slab = Rc::clone(&current.slab);
        slab.carved.set(slab.carved.get() + carved);
        current.memory.touch(slab.carved.get());
        self.pool.count(carved);
        Some(SlabSlice::new(bytes, slab))
    }

    fn memory(&mut self) -> &mut BytesMut {
        &mut self.pool.current.as_mut().expect(HAS_CURRENT).memory.bytes
    }
}

const HAS_CURRENT: &str = "carve made sure of a current slab";

impl Drop for Carving<'_> {
    fn drop(&mut self) {
        self.memory().clear();
    }
}
