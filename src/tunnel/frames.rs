//! Follows WebSocket frames through a byte stream without touching them.

use crate::handed::FollowerState;

/// Longest frame header: 2 bytes, 8 of length, 4 of mask (RFC 6455 section 5.2).
const MAX_HEADER: usize = 14;

/// What passes through a tunnel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Content {
    /// WebSocket frames.
    Frames,
    /// Another protocol, of which nothing is known.
    Bytes,
}

/// Knows where in a stream of frames its last byte lies.
///
/// ```text
///        header complete, payload follows          payload complete
///  boundary ──────────────────────────► in payload ────────────────► boundary
///     └─ header cut ─► in header ─────────┘
///
///  anything that is no frame ─► lost: the bytes still pass, but nothing is known about them
/// ```
#[derive(Debug, Default)]
pub struct FrameFollower {
    /// The beginning of a header that was cut: `header[..have]`, `have < MAX_HEADER`.
    header: [u8; MAX_HEADER],
    have: u8,
    /// Bytes that are missing of the payload of the current frame.
    payload_left: u64,
    lost: bool,
    close_seen: bool,
}

/// What a piece of the stream brought.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Followed {
    /// Frames that began in it: whose header was completed.
    pub frames: u64,
    /// Of these, final data frames: one for each message.
    pub messages: u64,
    /// Length up to the first end of a frame in it, if there is one. 0 if the piece before it ended a frame.
    pub first_boundary: Option<usize>,
}

impl FrameFollower {
    /// At the beginning of a stream. One of [`Content::Bytes`] is lost from there on.
    #[must_use]
    pub fn new(content: Content) -> Self {
        Self {
            lost: content == Content::Bytes,
            ..Self::default()
        }
    }

    /// Where it is, for another process.
    #[must_use]
    pub fn state(&self) -> FollowerState {
        FollowerState {
            header: self.header[..usize::from(self.have)].into(),
            payload_left: self.payload_left,
            lost: self.lost,
            close_seen: self.close_seen,
        }
    }

    /// Goes on where another process was; `None` if a follower is never there.
    #[must_use]
    pub fn resume(state: &FollowerState) -> Option<Self> {
        let mut follower = Self {
            payload_left: state.payload_left,
            ..Self::default()
        };
        let is_cut = matches!(FrameHeader::parse(&state.header), Ok(None));
        if !is_cut || (!state.header.is_empty() && state.payload_left > 0) {
            return None;
        }
        follower.keep(&state.header);
        follower.lost = state.lost;
        follower.close_seen = state.close_seen;
        Some(follower)
    }

    /// Follows the next piece of the stream.
    pub fn follow(&mut self, bytes: &[u8]) -> Followed {
        let mut followed = Followed::default();
        let mut rest = bytes;
        if !self.is_at_boundary() {
            rest = self.end_frame(rest, &mut followed);
            if !self.is_at_boundary() {
                return followed;
            }
        }
        followed.first_boundary = Some(bytes.len() - rest.len());
        while !rest.is_empty() {
            match FrameHeader::parse(rest) {
                Ok(Some(header)) => rest = self.begin(&header, &rest[header.len..], &mut followed),
                Ok(None) => {
                    self.keep(rest);
                    break;
                }
                Err(NoFrame) => {
                    self.lost = true;
                    break;
                }
            }
        }
        followed
    }

    /// Whether the stream so far ends with a whole frame: another may be put in here.
    #[must_use]
    pub fn is_at_boundary(&self) -> bool {
        self.have == 0 && self.payload_left == 0 && !self.lost
    }

    /// Whether something came that is no WebSocket frame.
    #[must_use]
    pub fn is_lost(&self) -> bool {
        self.lost
    }

    /// Whether a Close frame has begun to pass: after it no other frame may follow (RFC 6455 section 5.5.1).
    #[must_use]
    pub fn has_seen_close(&self) -> bool {
        self.close_seen
    }

    /// Follows the frame that the piece before was cut in; returns what lies behind it. Nothing does if it goes on.
    fn end_frame<'a>(&mut self, bytes: &'a [u8], followed: &mut Followed) -> &'a [u8] {
        if self.lost {
            return &[];
        }
        if self.have == 0 {
            return self.skip(self.payload_left, bytes);
        }
        let have = usize::from(self.have);
        self.keep(&bytes[..bytes.len().min(MAX_HEADER - have)]);
        match FrameHeader::parse(&self.header[..usize::from(self.have)]) {
            Ok(Some(header)) => {
                self.have = 0;
                self.begin(&header, &bytes[header.len - have..], followed)
            }
            Ok(None) => &[],
            Err(NoFrame) => {
                self.lost = true;
                &[]
            }
        }
    }

    /// A frame begins, and `bytes` lie behind its header; returns what lies behind its payload.
    #[inline]
    fn begin<'a>(&mut self, header: &FrameHeader, bytes: &'a [u8], followed: &mut Followed) -> &'a [u8] {
        self.close_seen |= header.is_close;
        followed.frames += 1;
        followed.messages += u64::from(header.ends_message);
        self.skip(header.payload, bytes)
    }

    #[inline]
    fn skip<'a>(&mut self, payload: u64, bytes: &'a [u8]) -> &'a [u8] {
        let behind = usize::try_from(payload).ok().and_then(|payload| bytes.get(payload..));
        self.payload_left = if behind.is_some() {
            0
        } else {
            payload - bytes.len() as u64
        };
        behind.unwrap_or_default()
    }

    /// Keeps the beginning of a header, or more of it.
    fn keep(&mut self, part: &[u8]) {
        let have = usize::from(self.have);
        self.header[have..have + part.len()].copy_from_slice(part);
        // Lossless: it is at most MAX_HEADER.
        self.have = (have + part.len()) as u8;
    }
}

/// What has to be known of a frame's header (RFC 6455 section 5.2).
#[derive(Debug, PartialEq, Eq)]
struct FrameHeader {
    /// Its own length in bytes, at most [`MAX_HEADER`].
    len: usize,
    /// Bytes of payload behind it.
    payload: u64,
    is_close: bool,
    /// A data frame that is the last of its message.
    ends_message: bool,
}

/// A bit for each opcode that the RFC does not reserve: 0 to 2, 8 to 10.
const OPCODES: u16 = 0b0000_0111_0000_0111;

/// An opcode that the RFC reserves.
#[derive(Debug)]
struct NoFrame;

impl FrameHeader {
    /// The header at the front of `bytes`; `None` if more of it has to come.
    ///
    /// Not tungstenite's, which is several times the instructions, for each small message and in either direction. A test
    /// holds this against it.
    #[inline(always)]
    fn parse(bytes: &[u8]) -> Result<Option<Self>, NoFrame> {
        let [first, second, rest @ ..] = bytes else {
            return Ok(None);
        };
        let mask = usize::from(second >> 7) * 4;
        let (length, payload) = match second & 0x7f {
            126 => match rest.first_chunk() {
                Some(length) => (2, u16::from_be_bytes(*length).into()),
                None => return Ok(None),
            },
            127 => match rest.first_chunk() {
                Some(length) => (8, u64::from_be_bytes(*length)),
                None => return Ok(None),
            },
            short => (0, short.into()),
        };
        if rest.len() < length + mask {
            return Ok(None);
        }
        let opcode = first & 0x0f;
        if OPCODES & 1 << opcode == 0 {
            return Err(NoFrame);
        }
        Ok(Some(Self {
            len: 2 + length + mask,
            payload,
            is_close: opcode == 8,
            // Of the opcodes, those from 8 on are of control frames.
            ends_message: first & 0x88 == 0x80,
        }))
    }
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use proptest::prelude::*;
    use tokio_tungstenite::tungstenite::protocol::frame;
    use tokio_tungstenite::tungstenite::protocol::frame::coding::{Control, Data, OpCode};

    use super::*;

    fn frame(opcode: OpCode, is_final: bool, mask: Option<[u8; 4]>, len: usize) -> Vec<u8> {
        let header = frame::FrameHeader {
            is_final,
            opcode,
            mask,
            ..frame::FrameHeader::default()
        };
        let mut bytes = Vec::new();
        header.format(len as u64, &mut bytes).unwrap();
        bytes.resize(bytes.len() + len, 0x55);
        bytes
    }

    fn stream() -> (Vec<u8>, Vec<usize>) {
        let frames = [
            frame(OpCode::Data(Data::Text), true, Some([1, 2, 3, 4]), 5),
            frame(OpCode::Data(Data::Binary), false, None, 0),
            frame(OpCode::Control(Control::Ping), true, None, 125),
            frame(OpCode::Data(Data::Continue), true, Some([0; 4]), 126),
            frame(OpCode::Data(Data::Binary), true, None, 65_536),
            frame(OpCode::Control(Control::Close), true, None, 2),
        ];
        let mut ends = Vec::new();
        let mut bytes = Vec::new();
        for frame in frames {
            bytes.extend(frame);
            ends.push(bytes.len());
        }
        (bytes, ends)
    }

    #[test]
    fn boundaries_and_counts_hold_however_the_stream_is_cut() {
        let (bytes, ends) = stream();
        for size in [1, 2, 3, 5, 7, 13, 14, 64, 127, 1000, 65_535, 65_536, bytes.len()] {
            let mut follower = FrameFollower::default();
            let (mut frames, mut messages, mut at) = (0, 0, 0);
            for piece in bytes.chunks(size) {
                let expected = if at == 0 || ends.contains(&at) {
                    Some(0)
                } else {
                    ends.iter()
                        .find(|end| at < **end && **end <= at + piece.len())
                        .map(|end| end - at)
                };
                let followed = follower.follow(piece);
                assert_eq!(followed.first_boundary, expected, "pieces of {size}, at {at}");
                at += piece.len();
                frames += followed.frames;
                messages += followed.messages;
                assert_eq!(
                    follower.is_at_boundary(),
                    ends.contains(&at),
                    "pieces of {size}, at {at}"
                );
            }
            assert_eq!((frames, messages), (6, 3));
            assert!(follower.has_seen_close());
        }
    }

    #[test]
    fn what_is_no_frame_is_passed_and_never_a_boundary() {
        let mut follower = FrameFollower::default();
        let followed = follower.follow(&[0x8b, 0, 0, 0]);
        assert!(follower.is_lost() && !follower.is_at_boundary());
        assert_eq!(
            (followed.frames, follower.follow(b"anything")),
            (0, Followed::default())
        );
    }

    /// What tungstenite makes of the header at the front of `bytes`.
    fn tungstenites(bytes: &[u8]) -> Result<Option<FrameHeader>, NoFrame> {
        let mut cursor = Cursor::new(bytes);
        let Some((header, payload)) = frame::FrameHeader::parse(&mut cursor).map_err(|_| NoFrame)? else {
            return Ok(None);
        };
        Ok(Some(FrameHeader {
            len: usize::try_from(cursor.position()).unwrap(),
            payload,
            is_close: header.opcode == OpCode::Control(Control::Close),
            ends_message: matches!(header.opcode, OpCode::Data(_)) && header.is_final,
        }))
    }

    #[test]
    fn a_header_is_what_tungstenite_makes_of_it() {
        // Every first and second byte, with every length that a header can be cut to.
        let rest = [0x81, 0x7e, 0, 0xff, 3, 4, 5, 6, 7, 8, 9, 10, 11];
        for first in 0..=u8::MAX {
            for second in 0..=u8::MAX {
                let bytes = [&[first, second], &rest[..]].concat();
                for len in 0..=bytes.len() {
                    let (ours, theirs) = (FrameHeader::parse(&bytes[..len]), tungstenites(&bytes[..len]));
                    assert_eq!(ours.is_err(), theirs.is_err(), "{:x?}", &bytes[..len]);
                    assert_eq!(ours.ok(), theirs.ok(), "{:x?}", &bytes[..len]);
                }
            }
        }
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(pieces in prop::collection::vec(prop::collection::vec(0_u8.., 0..40), 0..20)) {
            let mut follower = FrameFollower::default();
            for piece in pieces {
                let followed = follower.follow(&piece);
                prop_assert!(followed.first_boundary.is_none_or(|end| end <= piece.len()));
            }
        }
    }
}
