//! A claim that ends by itself.

use std::cell::Cell;

use crate::MemoryPart;

/// What is claimed for one thing, as one part of the memory, for as long as the thing lives.
#[derive(Debug)]
pub struct Claim {
    part: MemoryPart,
    /// In bytes. Below zero while what was given back has not been claimed yet.
    bytes: Cell<i32>,
}

impl Claim {
    /// Nothing yet, as `part`.
    #[must_use]
    pub fn new(part: MemoryPart) -> Self {
        Self {
            part,
            bytes: Cell::new(0),
        }
    }

    /// Claims `bytes` more; a negative number gives back. A claim is at most `most` bytes, and never 2 GiB: what is more is
    /// not claimed, and the claim stays at that bound.
    pub fn add(&self, bytes: i64, most: i32) {
        let sum = i64::from(self.bytes.get()).saturating_add(bytes);
        self.set(sum.clamp(i32::MIN.into(), most.into()) as i32);
    }

    /// Claims `bytes`, whatever it was before.
    pub fn set(&self, bytes: i32) {
        let before = self.bytes.replace(bytes);
        crate::claim(self.part, i64::from(bytes) - i64::from(before));
    }

    /// What is claimed, in bytes.
    #[must_use]
    pub fn get(&self) -> i32 {
        self.bytes.get()
    }

    /// Gives all of it up, for whoever claims it from now on.
    #[must_use = "nobody claims it any more"]
    pub fn take(&self) -> i32 {
        let bytes = self.get();
        self.set(0);
        bytes
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        self.set(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Ledgers, claimed_here};

    #[test]
    fn a_claim_ends_with_its_thing() {
        Ledgers::default().open();
        let first = Claim::new(MemoryPart::Http);
        first.add(100, i32::MAX);
        first.add(-30, i32::MAX);
        let second = Claim::new(MemoryPart::Tunnels);
        second.set(first.take());
        let parts = || [MemoryPart::Http, MemoryPart::Tunnels].map(claimed_here);
        assert_eq!(parts(), [0, 70]);
        drop((first, second));
        assert_eq!(parts(), [0, 0]);
    }

    #[test]
    fn a_claim_too_large_stays_at_its_bound() {
        Ledgers::default().open();
        let claim = Claim::new(MemoryPart::Http);
        claim.add(5000, 4096);
        assert_eq!(claim.get(), 4096);
        claim.add(1 << 40, i32::MAX);
        assert_eq!(claim.get(), i32::MAX);
    }
}
