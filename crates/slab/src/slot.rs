//! The claim on the slice that a head would be cut from.

use std::cell::{Cell, RefCell};

use bytes::{Buf, Bytes};
use tokio::io::ReadBuf;

use super::slice::KeptSlice;
use super::{Head, HeldHead, SlabSlice, SlicePlace, WorkerSlabs};
use crate::{HeadPolicy, SlabClass};

/// What was read last on a connection that speaks HTTP, for as long as a head may be cut from it.
///
/// Who delivers slices to an HTTP library notes them here. Under `pin` the last one is remembered until the next read;
/// once [`HeadSlot::keep`] was called it stays also when the library probes for the end of the stream. Under `copy`
/// nothing is remembered, and what is not delivered when the poll ends has been copied to memory of its own size.
#[derive(Debug, Default)]
pub struct HeadSlot {
    last: RefCell<Last>,
    keep: Cell<bool>,
}

/// What was read last.
#[derive(Debug, Default)]
enum Last {
    #[default]
    Nothing,
    /// Under `pin`: the slice, of which `0 <= delivered <= len` bytes are delivered.
    Slice { slice: KeptSlice, delivered: usize },
    /// Under `copy`: what is not delivered yet.
    Rest(Bytes),
}

impl HeadSlot {
    /// The request whose head was just delivered asks for an upgrade: remember the slice that it ended in.
    pub fn keep(&self) {
        self.keep.set(true);
    }

    /// The request whose head was just delivered asks for no upgrade: a connection that merely lives on keeps nothing
    /// but bytes that nobody has read yet.
    pub fn forget(&self) {
        self.keep.set(false);
        self.drop_delivered();
    }

    /// Where the remembered slice lies, if there is one.
    #[must_use]
    pub fn remembered(&self) -> Option<SlicePlace> {
        match &*self.last.borrow() {
            Last::Slice { slice, .. } => Some(slice.place()),
            _ => None,
        }
    }

    /// Going to `copy`: turns what is remembered into a copy of what still has to be delivered.
    pub fn release(&self) {
        let last = self.last.take();
        let rest = match last {
            Last::Slice { slice, delivered } if delivered < slice.len() => {
                Last::Rest(Bytes::copy_from_slice(&slice[delivered..]))
            }
            Last::Slice { .. } => Last::Nothing,
            other => other,
        };
        self.last.replace(rest);
    }

    /// Delivers from what is already read; false if there is nothing.
    pub fn deliver(&self, into: &mut ReadBuf<'_>) -> bool {
        let mut last = self.last.borrow_mut();
        match &mut *last {
            Last::Slice { slice, delivered } if *delivered < slice.len() => {
                let n = into.remaining().min(slice.len() - *delivered);
                into.put_slice(&slice[*delivered..*delivered + n]);
                *delivered += n;
            }
            Last::Rest(rest) => {
                let n = into.remaining().min(rest.len());
                into.put_slice(&rest[..n]);
                rest.advance(n);
                if rest.is_empty() {
                    *last = Last::Nothing;
                }
            }
            _ => return false,
        }
        true
    }

    /// A read is about to replace what is delivered, unless that is to be kept.
    pub fn before_read(&self) {
        if !self.keep.get() {
            self.drop_delivered();
        }
    }

    /// Delivers from a slice that was just read, and notes it as `policy` says.
    pub fn deliver_from(&self, slice: SlabSlice, policy: HeadPolicy, into: &mut ReadBuf<'_>) {
        let delivered = into.remaining().min(slice.len());
        into.put_slice(&slice[..delivered]);
        let last = match policy {
            HeadPolicy::Pin => Last::Slice {
                slice: slice.into(),
                delivered,
            },
            HeadPolicy::Copy if delivered == slice.len() => Last::Nothing,
            HeadPolicy::Copy => Last::Rest(Bytes::copy_from_slice(&slice[delivered..])),
        };
        self.last.replace(last);
    }

    /// The head: `read_too_much`, which the library had taken and not used, and what it had not taken yet. Nothing is
    /// remembered any more. `policy` is that of the tunnel to be, which need not be that of the reads before.
    #[must_use]
    pub fn take_head(&self, read_too_much: &[u8], slabs: &WorkerSlabs, class: SlabClass, policy: HeadPolicy) -> Head {
        let last = self.last.take();
        let pin = policy == HeadPolicy::Pin;
        match last {
            Last::Slice { slice, delivered } if pin && slice[..delivered].ends_with(read_too_much) => {
                let range = delivered - read_too_much.len()..slice.len();
                Head::Held(HeldHead::of_kept(slice, range))
            }
            last => {
                let rest: &[u8] = match &last {
                    Last::Nothing => &[],
                    Last::Slice { slice, delivered } => &slice[*delivered..],
                    Last::Rest(rest) => rest,
                };
                let bytes = [read_too_much, rest].concat().into_boxed_slice();
                if pin {
                    Head::carve_anew(bytes, slabs, class)
                } else {
                    Head::Copied(bytes)
                }
            }
        }
    }

    fn drop_delivered(&self) {
        let mut last = self.last.borrow_mut();
        if matches!(&*last, Last::Slice { slice, delivered } if *delivered == slice.len()) {
            *last = Last::Nothing;
        }
    }
}
