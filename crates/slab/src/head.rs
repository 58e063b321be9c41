//! Heads: copied, or held with the slab they are in. The bug and its cure, in two small types.

use std::ops::Range;

use super::WorkerSlabs;
use super::slice::{KeptSlice, SlabId, SlabSlice, SlicePlace};
use crate::SlabClass;

/// The bytes that were read past an upgrade request or past a 101.
#[derive(Debug)]
pub enum Head {
    /// In memory of its own size; no allocation if empty.
    Copied(Box<[u8]>),
    /// As a slice of a slab, which it keeps.
    Held(HeldHead),
}

impl Head {
    /// Under `pin` a head is the slab's bytes, also when the slice it came in is long gone (a pipelined request, another process)
    /// or was read under `copy`.
    #[must_use]
    pub fn carve_anew(bytes: Box<[u8]>, slabs: &WorkerSlabs, class: SlabClass) -> Self {
        let mut pool = slabs.for_read(class);
        if bytes.len() > pool.capacity() {
            return Self::Copied(bytes);
        }
        let mut carving = pool.carve(bytes.len());
        carving.extend(&bytes);
        match carving.finish() {
            Some(slice) => {
                let all = 0..slice.len();
                Self::Held(HeldHead::new(slice, all))
            }
            None => Self::Copied(bytes),
        }
    }

    /// What has to be forwarded before anything else.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        match self {
            Self::Copied(bytes) => bytes,
            Self::Held(head) => head.bytes(),
        }
    }

    /// What has to be forwarded, and what is to be held from now on. A copied head is moved out, not copied again.
    #[must_use]
    pub fn into_parts(self) -> (Box<[u8]>, Option<HeldHead>) {
        match self {
            Self::Copied(bytes) => (bytes, None),
            Self::Held(head) => (head.bytes().into(), Some(head)),
        }
    }
}

/// A held head: the bytes that were read past an upgrade request or a 101, as the slice they were cut from.
///
/// Also an empty one holds its slice, as `d.slice(n, n)` kept its parent buffer in Node 0.8. Dropping it is what the
/// policy `copy` does and `pin` does not do for as long as the tunnel lives.
#[derive(Debug)]
pub struct HeldHead {
    slice: KeptSlice,
    /// Within the slice; may be empty.
    range: Range<usize>,
}

impl HeldHead {
    /// Holds `range` of `slice`.
    ///
    /// # Panics
    /// If the range does not lie within the slice.
    #[must_use]
    pub fn new(slice: SlabSlice, range: Range<usize>) -> Self {
        Self::of_kept(slice.into(), range)
    }

    pub(super) fn of_kept(slice: KeptSlice, range: Range<usize>) -> Self {
        assert!(
            range.start <= range.end && range.end <= slice.len(),
            "a head lies within its slice"
        );
        slice.slab().hold(range.len());
        Self { slice, range }
    }

    /// The bytes of the head.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.slice[self.range.clone()]
    }

    /// The slab that this head keeps alive.
    #[must_use]
    pub fn slab_id(&self) -> SlabId {
        self.slice.slab_id()
    }

    /// Where the slice lies that the head was cut from.
    #[must_use]
    pub fn slice(&self) -> SlicePlace {
        self.slice.place()
    }
}

impl Drop for HeldHead {
    fn drop(&mut self) {
        self.slice.slab().release(self.range.len());
    }
}
