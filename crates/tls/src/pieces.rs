//! Bytes that lie in several places.

use std::io::IoSlice;

/// What is left of the first bytes of several slices.
#[derive(Debug)]
pub(super) struct Pieces<'a> {
    slices: &'a [IoSlice<'a>],
    /// Bytes of the first slice that are gone.
    gone: usize,
    /// Bytes that are left; no more than the slices have.
    left: usize,
}

impl<'a> Pieces<'a> {
    /// The first bytes of `slices`, `most` of them if they have so many.
    pub(super) fn new(slices: &'a [IoSlice<'a>], most: usize) -> Self {
        let all: usize = slices.iter().map(|slice| slice.len()).sum();
        Self {
            slices,
            gone: 0,
            left: all.min(most),
        }
    }

    /// Bytes that are left.
    pub(super) fn len(&self) -> usize {
        self.left
    }

    /// What can be had in one piece; empty only if nothing is left.
    pub(super) fn first(&mut self) -> &'a [u8] {
        while let Some(slice) = self.slices.first() {
            let rest = &slice[self.gone..];
            if !rest.is_empty() {
                return &rest[..rest.len().min(self.left)];
            }
            self.slices = &self.slices[1..];
            self.gone = 0;
        }
        &[]
    }

    /// The next bytes in one, `len` of them or what is left: where they lie, or put together in `scratch`, which is empty.
    pub(super) fn next<'s>(&mut self, len: usize, scratch: &'s mut Vec<u8>) -> &'s [u8]
    where
        'a: 's,
    {
        let first = self.first();
        if let Some(all) = first.get(..len) {
            self.go(len);
            return all;
        }
        let len = len.min(self.left);
        while scratch.len() < len {
            let first = self.first();
            let taken = first.len().min(len - scratch.len());
            scratch.extend_from_slice(&first[..taken]);
            self.go(taken);
        }
        scratch
    }

    fn go(&mut self, len: usize) {
        self.gone += len;
        self.left -= len;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn any_steps_move_all_bytes_in_order(
            slices in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..9), 0..9),
            most in 0..40_usize,
            step in 1..9_usize,
        ) {
            let all = slices.concat();
            let slices: Vec<_> = slices.iter().map(|slice| IoSlice::new(slice)).collect();
            let mut pieces = Pieces::new(&slices, most);
            let mut moved = Vec::new();
            while pieces.len() > 0 {
                prop_assert!(!pieces.first().is_empty());
                let mut scratch = Vec::new();
                let next = pieces.next(step, &mut scratch);
                prop_assert!(next.len() == step || pieces.len() == 0);
                moved.extend_from_slice(next);
            }
            prop_assert_eq!(&moved[..], &all[..all.len().min(most)]);
        }
    }
}
