//! Where records are made.

use std::ops::Deref;

/// Ciphertext that is to be sent. A record is sealed straight into it, from wherever its content lies.
///
/// What was written once stays initialized: to fill the room for each record with zeros first would cost nearly what the copy
/// costs that sealing in place would need.
#[derive(Debug, Default)]
pub struct Outgoing {
    /// As long as this ever was.
    memory: Vec<u8>,
    /// `<= memory.len()`.
    len: usize,
}

impl Outgoing {
    /// Makes the next `len` bytes a part of this, with whatever is in them.
    pub(super) fn room(&mut self, len: usize) -> &mut [u8] {
        let start = self.len;
        self.len += len;
        if self.memory.len() < self.len {
            self.memory.resize(self.len, 0);
        }
        &mut self.memory[start..self.len]
    }

    /// Appends `bytes` as they are.
    #[inline]
    pub fn append(&mut self, bytes: &[u8]) {
        self.room(bytes.len()).copy_from_slice(bytes);
    }

    /// Memory for `more` bytes at once, where several records follow one another.
    pub(super) fn reserve(&mut self, more: usize) {
        let missing = (self.len + more).saturating_sub(self.memory.len());
        self.memory.reserve_exact(missing);
    }

    /// Keeps the first `len` bytes.
    pub(super) fn truncate(&mut self, len: usize) {
        self.len = self.len.min(len);
    }

    /// Makes it empty; its memory stays.
    #[inline]
    pub fn clear(&mut self) {
        self.len = 0;
    }

    /// Bytes of memory that this holds.
    pub(super) fn memory(&self) -> usize {
        self.memory.capacity()
    }
}

impl Deref for Outgoing {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        &self.memory[..self.len]
    }
}
