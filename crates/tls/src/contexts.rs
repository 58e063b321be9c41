//! AEAD contexts, which are large, of the keys that were used last.

use std::fmt;

use aws_lc_rs::aead::LessSafeKey;
use rustls::Error;

/// Keys whose contexts are kept. A context is some 600 bytes, and takes about twice as long to make as a small record takes to seal.
const SLOTS: usize = 128;

/// Names a key: no other ever has the same.
pub(super) type KeyId = u64;

/// The contexts of a worker: a connection keeps its keys, and who is idle has no context.
pub struct Contexts {
    slots: Box<[Slot; SLOTS]>,
}

#[derive(Default)]
struct Slot {
    /// Of the key; 0 is of none.
    id: KeyId,
    context: Option<LessSafeKey>,
}

impl Slot {
    /// Apart from what happens for each record.
    #[cold]
    #[inline(never)]
    fn fill(&mut self, id: KeyId, make: impl FnOnce() -> Result<LessSafeKey, Error>) -> Result<(), Error> {
        *self = Self::default();
        self.context = Some(make()?);
        self.id = id;
        Ok(())
    }
}

impl Default for Contexts {
    fn default() -> Self {
        Self {
            slots: Box::new(std::array::from_fn(|_| Slot::default())),
        }
    }
}

impl Contexts {
    /// Bytes of memory that this holds.
    #[must_use]
    pub fn memory(&self) -> usize {
        size_of_val(&*self.slots)
    }

    /// The context of the key `id`, which `make` makes if it is not there.
    #[inline(always)]
    pub(super) fn get(
        &mut self,
        id: KeyId,
        make: impl FnOnce() -> Result<LessSafeKey, Error>,
    ) -> Result<&LessSafeKey, Error> {
        // Ids are given one after the other, so both directions of a connection are in slots of their own.
        let slot = &mut self.slots[id as usize % SLOTS];
        if slot.id != id {
            slot.fill(id, make)?;
        }
        match &slot.context {
            Some(context) => Ok(context),
            None => Err(Error::EncryptError),
        }
    }

    /// The key `id` is not used any more.
    pub(super) fn forget(&mut self, id: KeyId) {
        let slot = &mut self.slots[id as usize % SLOTS];
        if slot.id == id {
            *slot = Slot::default();
        }
    }
}

impl fmt::Debug for Contexts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let used = self.slots.iter().filter(|slot| slot.id != 0).count();
        f.debug_struct("Contexts").field("used", &used).finish()
    }
}
