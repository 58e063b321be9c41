//! The bytes that travel: a fixed sequence that both ends know, so that every byte can be verified.
//!
//! The sequence repeats one block of random-looking bytes. The block's length is a prime: a lost, doubled or swapped
//! piece of any usual buffer size (a power of two, a TLS record, an MTU) shifts what follows and shows. Payloads start
//! at different [`Position`]s, so that bytes that reach the wrong tunnel show as well.

use std::sync::LazyLock;

use bytes::Bytes;

/// The largest prime below 64 KiB.
pub const BLOCK_LEN: usize = 65_521;

static BLOCK: LazyLock<Bytes> = LazyLock::new(|| {
    // xorshift64: any fixed, full-period generator would do.
    let mut state = 0x9E37_79B9_7F4A_7C15_u64;
    let next = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()[3]
    };
    std::iter::repeat_with(next).take(BLOCK_LEN).collect()
});

/// A place in the sequence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position(usize);

impl Position {
    /// The start of the sequence; downloads begin here.
    #[must_use]
    pub const fn start() -> Self {
        Self(0)
    }

    /// Where message `message` of tunnel `tunnel` begins: neighbours begin far apart.
    #[must_use]
    pub fn of(tunnel: u64, message: u64) -> Self {
        let mixed = tunnel.wrapping_mul(7_919).wrapping_add(message.wrapping_mul(104_729));
        Self((mixed % BLOCK_LEN as u64) as usize)
    }

    /// The place `len` bytes further on.
    #[must_use]
    pub fn after(self, len: u64) -> Self {
        Self(((self.0 as u64 + len) % BLOCK_LEN as u64) as usize)
    }

    /// The bytes from here to the end of the block, at most `max` of them, without copying; moves past them.
    ///
    /// Empty only if `max` is zero.
    pub fn take(&mut self, max: usize) -> Bytes {
        let end = BLOCK_LEN.min(self.0.saturating_add(max));
        let piece = BLOCK.slice(self.0..end);
        self.0 = end % BLOCK_LEN;
        piece
    }

    /// Appends the next `len` bytes to `out`; moves past them.
    pub fn write(&mut self, len: usize, out: &mut Vec<u8>) {
        let mut left = len;
        while left > 0 {
            let piece = &BLOCK[self.0..BLOCK_LEN.min(self.0 + left)];
            out.extend_from_slice(piece);
            self.0 = (self.0 + piece.len()) % BLOCK_LEN;
            left -= piece.len();
        }
    }

    /// Compares `received` with the sequence from here on; moves past it. Gives the index of the first byte that differs.
    ///
    /// # Errors
    /// The index, if a byte differs.
    pub fn verify(&mut self, received: &[u8]) -> Result<(), usize> {
        let mut rest = received;
        while !rest.is_empty() {
            let expected = &BLOCK[self.0..BLOCK_LEN.min(self.0 + rest.len())];
            let (now, later) = rest.split_at(expected.len());
            if now != expected {
                let wrong = now.iter().zip(expected).take_while(|(got, want)| got == want).count();
                return Err(received.len() - rest.len() + wrong);
            }
            self.0 = (self.0 + now.len()) % BLOCK_LEN;
            rest = later;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_verifies_in_pieces_of_any_size() {
        let mut sent = Vec::new();
        Position::of(3, 4).write(200_000, &mut sent);
        for piece in [1, 7, 4_096, 65_521, 65_536, 200_000] {
            let mut position = Position::of(3, 4);
            assert!(
                sent.chunks(piece).all(|chunk| position.verify(chunk).is_ok()),
                "pieces of {piece}"
            );
        }
    }

    #[test]
    fn taking_and_writing_give_the_same_bytes() {
        let (mut taken, mut written) = (Vec::new(), Vec::new());
        let mut position = Position::of(1, 1);
        while taken.len() < 150_000 {
            taken.extend_from_slice(&position.take(150_000 - taken.len()));
        }
        Position::of(1, 1).write(150_000, &mut written);
        assert!(taken == written);
    }

    #[test]
    fn a_lost_doubled_or_swapped_piece_shows() {
        let mut sent = Vec::new();
        Position::start().write(100_000, &mut sent);
        for size in [1, 1_024, 1_460, 16_384, 65_536] {
            let lost = [&sent[..10], &sent[10 + size..]].concat();
            assert!(Position::start().verify(&lost).is_err(), "lost {size}");
            let doubled = [&sent[..10 + size], &sent[10..]].concat();
            assert!(Position::start().verify(&doubled).is_err(), "doubled {size}");
        }
        let mut flipped = sent.clone();
        flipped[70_000] ^= 1;
        assert_eq!(Position::start().verify(&flipped), Err(70_000));
    }

    #[test]
    fn neighbouring_tunnels_and_messages_begin_apart() {
        let mut begins: Vec<_> = (0..100)
            .flat_map(|t| (0..100).map(move |m| Position::of(t, m).0))
            .collect();
        begins.sort_unstable();
        begins.dedup();
        assert!(
            begins.len() > 9_000,
            "{} of 10,000 begin at a place of their own",
            begins.len()
        );
    }
}
