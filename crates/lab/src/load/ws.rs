//! Reads a server's WebSocket frames (RFC 6455) without gathering them.
//!
//! A codec of its own, here and in [`message`](super::message), because neither way needs a message as a whole: what is
//! sent is made up as it leaves, and what arrives is verified as it comes. An idle connection keeps a [`FrameReader`]
//! and nothing on the heap.

use std::io::Cursor;

use tokio_tungstenite::tungstenite::protocol::frame::FrameHeader;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{Control, Data, OpCode};

use super::fault::Fault;

/// The longest header of a frame from a server: two bytes, and eight of length.
const HEADER_MAX: usize = 10;
/// The longest payload of a control frame (RFC 6455 section 5.5).
const CONTROL_MAX: u64 = 125;
/// The Close code that stands for none (RFC 6455 section 7.4.1).
const NO_CODE: u16 = 1005;

/// What a reader finds.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Event<'a> {
    /// Some of a message's bytes; never empty.
    Data(&'a [u8]),
    /// The message is complete.
    MessageEnd,
    /// Must be answered with the same payload.
    Ping(&'a [u8]),
    /// The peer closes.
    Close {
        /// 1005 if there is none.
        code: u16,
        /// The text beside it.
        reason: &'a str,
    },
}

/// Follows the frames of a server.
#[derive(Debug, Default)]
pub(super) struct FrameReader {
    /// The header as far as it has come.
    header: [u8; HEADER_MAX],
    header_len: u8,
    frame: Option<Frame>,
    in_message: bool,
    /// The payload of the control frame that is arriving.
    control: Vec<u8>,
}

#[derive(Clone, Copy, Debug)]
struct Frame {
    opcode: OpCode,
    is_final: bool,
    left: u64,
}

impl FrameReader {
    /// Reads on through `bytes`.
    pub(super) fn feed(
        &mut self,
        mut bytes: &[u8],
        sink: &mut impl FnMut(Event<'_>) -> Result<(), Fault>,
    ) -> Result<(), Fault> {
        loop {
            let Some(frame) = &mut self.frame else {
                if !self.take_header(&mut bytes)? {
                    return Ok(());
                }
                continue;
            };
            let now = bytes.len().min(usize::try_from(frame.left).unwrap_or(usize::MAX));
            let (payload, rest) = bytes.split_at(now);
            frame.left -= now as u64;
            bytes = rest;
            let (frame, complete) = (*frame, frame.left == 0);
            if let OpCode::Data(_) = frame.opcode {
                if !payload.is_empty() {
                    sink(Event::Data(payload))?;
                }
                if complete && frame.is_final {
                    sink(Event::MessageEnd)?;
                }
            } else {
                self.control.extend_from_slice(payload);
                if complete {
                    self.end_control(frame.opcode, sink)?;
                }
            }
            if !complete {
                return Ok(());
            }
            self.frame = None;
        }
    }

    /// Takes bytes of the header; true once it is complete.
    fn take_header(&mut self, bytes: &mut &[u8]) -> Result<bool, Fault> {
        while let Some((&byte, rest)) = bytes.split_first() {
            let len = usize::from(self.header_len);
            if len == 1 && byte & 0x80 != 0 {
                return Err(Fault::Protocol("a masked frame from a server"));
            }
            self.header[len] = byte;
            self.header_len += 1;
            *bytes = rest;
            let mut cursor = Cursor::new(&self.header[..=len]);
            let parsed = FrameHeader::parse(&mut cursor).map_err(|_| Fault::Protocol("a frame with a bad header"))?;
            if let Some((header, length)) = parsed {
                self.header_len = 0;
                self.frame = Some(self.check(&header, length)?);
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn check(&mut self, header: &FrameHeader, length: u64) -> Result<Frame, Fault> {
        if header.rsv1 || header.rsv2 || header.rsv3 {
            return Err(Fault::Protocol("a frame of an extension that was not agreed on"));
        }
        let continues = match header.opcode {
            OpCode::Control(_) if !header.is_final || length > CONTROL_MAX => {
                return Err(Fault::Protocol("a control frame that is too long or in parts"));
            }
            OpCode::Control(_) => {
                return Ok(Frame {
                    opcode: header.opcode,
                    is_final: true,
                    left: length,
                });
            }
            OpCode::Data(data) => matches!(data, Data::Continue),
        };
        if continues != self.in_message {
            return Err(Fault::Protocol(
                "a message begun within another, or continued without one",
            ));
        }
        self.in_message = !header.is_final;
        Ok(Frame {
            opcode: header.opcode,
            is_final: header.is_final,
            left: length,
        })
    }

    fn end_control(
        &mut self,
        opcode: OpCode,
        sink: &mut impl FnMut(Event<'_>) -> Result<(), Fault>,
    ) -> Result<(), Fault> {
        let payload = std::mem::take(&mut self.control);
        match opcode {
            OpCode::Control(Control::Ping) => sink(Event::Ping(&payload)),
            OpCode::Control(Control::Close) => {
                let (code, reason) = payload
                    .split_first_chunk()
                    .map_or((NO_CODE, &[][..]), |(code, reason)| (u16::from_be_bytes(*code), reason));
                sink(Event::Close {
                    code,
                    reason: std::str::from_utf8(reason).unwrap_or("(not UTF-8)"),
                })
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a reader finds, with the pieces of a message put together.
    fn read(bytes: &[u8], piece: usize) -> Result<Vec<String>, Fault> {
        let (mut reader, mut found, mut message) = (FrameReader::default(), Vec::new(), Vec::new());
        for piece in bytes.chunks(piece) {
            reader.feed(piece, &mut |event| {
                match event {
                    Event::Data(data) => message.extend_from_slice(data),
                    Event::MessageEnd => {
                        found.push(format!(
                            "message {}",
                            String::from_utf8_lossy(&std::mem::take(&mut message))
                        ));
                    }
                    Event::Ping(payload) => found.push(format!("ping {payload:?}")),
                    Event::Close { code, reason } => found.push(format!("close {code} {reason}")),
                }
                Ok(())
            })?;
        }
        Ok(found)
    }

    #[test]
    fn frames_are_followed_through_pieces_of_any_size() {
        let long = [&[0x82, 126, 1, 44][..], &[b'x'; 300]].concat();
        let frames = [
            &[0x81, 1, b'a', 0x01, 2, b'b', b'c', 0x89, 1, 7, 0x80, 1, b'd', 0x82, 0][..],
            &long,
            &[0x8A, 0, 0x88, 4, 3, 233, b'g', b'o', 0x88, 0],
        ]
        .concat();
        let whole = format!("message {}", "x".repeat(300));
        let expected = [
            "message a",
            "ping [7]",
            "message bcd",
            "message ",
            &whole,
            "close 1001 go",
            "close 1005 ",
        ];
        for piece in 1..frames.len() {
            assert_eq!(read(&frames, piece).unwrap(), expected, "in pieces of {piece}");
        }
    }

    #[test]
    fn what_a_server_must_not_send_is_refused() {
        for (frame, why) in [
            (&[0x81, 0x81, 0, 0, 0, 0, b'a'][..], "masked"),
            (&[0xC1, 1, b'a'], "extension"),
            (&[0x80, 1, b'a'], "continued without one"),
            (&[0x01, 1, b'a', 0x81, 1, b'b'], "begun within another"),
            (&[0x09, 0], "control frame"),
            (&[0x89, 126, 0, 200], "control frame"),
            (&[0x83, 0], "bad header"),
        ] {
            let fault = read(frame, 1).unwrap_err().to_string();
            assert!(fault.contains(why), "{frame:?}: {fault}");
        }
    }
}
