//! Makes a client's WebSocket frames (RFC 6455), messages piece by piece from the pattern.

use tokio_tungstenite::tungstenite::protocol::frame::FrameHeader;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{Data, OpCode};

use crate::pattern::Position;

/// A message that is made up as it is sent: one binary frame of pattern bytes.
#[derive(Clone, Debug)]
pub(super) struct Message {
    position: Position,
    len: usize,
    written: usize,
    mask: [u8; 4],
    header_written: bool,
}

impl Message {
    pub(super) fn new(position: Position, len: usize, mask: [u8; 4]) -> Self {
        Self {
            position,
            len,
            written: 0,
            mask,
            header_written: false,
        }
    }

    /// Appends the next bytes of the frame, until `out` has grown by about `max`; true once it is complete.
    pub(super) fn write(&mut self, out: &mut Vec<u8>, max: usize) -> bool {
        if !self.header_written {
            write_header(OpCode::Data(Data::Binary), self.len, self.mask, out);
            self.header_written = true;
        }
        let now = (self.len - self.written).min(max);
        let start = out.len();
        self.position.write(now, out);
        apply_mask(&mut out[start..], self.mask, self.written);
        self.written += now;
        self.written == self.len
    }
}

/// Appends one control or text frame, whole.
pub(super) fn write_frame(opcode: OpCode, payload: &[u8], mask: [u8; 4], out: &mut Vec<u8>) {
    write_header(opcode, payload.len(), mask, out);
    let start = out.len();
    out.extend_from_slice(payload);
    apply_mask(&mut out[start..], mask, 0);
}

fn write_header(opcode: OpCode, len: usize, mask: [u8; 4], out: &mut Vec<u8>) {
    let header = FrameHeader {
        is_final: true,
        opcode,
        mask: Some(mask),
        ..FrameHeader::default()
    };
    header.format(len as u64, out).expect("writing to memory does not fail");
}

/// Masks a payload's bytes from its offset `from` on (RFC 6455 section 5.3), eight at a time.
fn apply_mask(bytes: &mut [u8], mask: [u8; 4], from: usize) {
    let rotated: [u8; 8] = std::array::from_fn(|index| mask[(from + index) % 4]);
    let wide = u64::from_ne_bytes(rotated);
    let (chunks, rest) = bytes.as_chunks_mut::<8>();
    for chunk in chunks {
        *chunk = (u64::from_ne_bytes(*chunk) ^ wide).to_ne_bytes();
    }
    rest.iter_mut().zip(rotated).for_each(|(byte, mask)| *byte ^= mask);
}

/// Mask keys that differ from frame to frame. They guard nothing here: what is masked is public.
#[derive(Clone, Copy, Debug)]
pub(super) struct MaskKeys(u32);

impl MaskKeys {
    pub(super) fn new(seed: u64) -> Self {
        Self((seed as u32).wrapping_mul(0x9E37_79B9) | 1)
    }

    pub(super) fn next(&mut self) -> [u8; 4] {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 17;
        self.0 ^= self.0 << 5;
        self.0.to_ne_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_the_same_however_it_is_cut() {
        for len in [0, 1, 7, 125, 126, 65_535, 65_536, 70_000] {
            let mut whole = Vec::new();
            assert!(Message::new(Position::of(1, 2), len, [1, 2, 3, 4]).write(&mut whole, usize::MAX));
            for max in [13, 1_024, 16_384] {
                let (mut message, mut cut) = (Message::new(Position::of(1, 2), len, [1, 2, 3, 4]), Vec::new());
                while !message.write(&mut cut, max) {}
                assert!(cut == whole, "{len} bytes, {max} at a time");
            }
            let header = whole.len() - len;
            apply_mask(&mut whole[header..], [1, 2, 3, 4], 0);
            assert_eq!(Position::of(1, 2).verify(&whole[header..]), Ok(()));
        }
    }
}
