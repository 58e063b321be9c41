//! Holds what arrives against what was sent.

use super::fault::Fault;
use crate::pattern::Position;

/// A run of bytes that is known beforehand, as far as it has not come yet.
#[derive(Clone, Copy, Debug)]
pub(super) struct Expected {
    bytes: Bytes,
    len: u64,
    left: u64,
}

#[derive(Clone, Copy, Debug)]
enum Bytes {
    Pattern(Position),
    Text(&'static [u8]),
}

impl Expected {
    /// `len` bytes of the pattern.
    pub(super) fn new(position: Position, len: u64) -> Self {
        Self {
            bytes: Bytes::Pattern(position),
            len,
            left: len,
        }
    }

    /// Just these bytes.
    pub(super) fn text(text: &'static [u8]) -> Self {
        Self {
            bytes: Bytes::Text(text),
            len: text.len() as u64,
            left: text.len() as u64,
        }
    }

    /// The next bytes, of what `name` says.
    pub(super) fn data(&mut self, data: &[u8], name: impl Fn() -> String) -> Result<(), Fault> {
        let came = self.len - self.left;
        let wrong = |what: String| Fault::WrongBytes(format!("{}: {what}", name()));
        self.left = self.left.checked_sub(data.len() as u64).ok_or_else(|| {
            wrong(format!(
                "{} bytes and more instead of {}",
                came + data.len() as u64,
                self.len
            ))
        })?;
        let verified = match &mut self.bytes {
            Bytes::Pattern(position) => position.verify(data),
            Bytes::Text(text) => {
                let (now, rest) = text.split_at(data.len());
                *text = rest;
                now.iter()
                    .zip(data)
                    .position(|(want, got)| want != got)
                    .map_or(Ok(()), Err)
            }
        };
        verified.map_err(|index| {
            wrong(format!(
                "byte {} of {} is not the one that was sent",
                came + index as u64,
                self.len
            ))
        })
    }

    /// Nothing more comes.
    pub(super) fn end(&self, name: impl Fn() -> String) -> Result<(), Fault> {
        if self.left > 0 {
            let came = self.len - self.left;
            return Err(Fault::WrongBytes(format!(
                "{}: {came} bytes instead of {}",
                name(),
                self.len
            )));
        }
        Ok(())
    }

    pub(super) fn is_complete(&self) -> bool {
        self.left == 0
    }

    /// Bytes that have not come yet.
    pub(super) fn left(&self) -> u64 {
        self.left
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name() -> String {
        "message 1".to_owned()
    }

    #[test]
    fn the_right_bytes_in_any_pieces_pass() {
        let mut sent = Vec::new();
        Position::of(1, 1).write(1_000, &mut sent);
        let mut expected = Expected::new(Position::of(1, 1), 1_000);
        assert!(sent.chunks(7).all(|piece| expected.data(piece, name).is_ok()));
        assert!(expected.is_complete() && expected.end(name).is_ok());
    }

    #[test]
    fn too_few_too_many_and_wrong_ones_are_told_apart() {
        let mut sent = Vec::new();
        Position::of(1, 1).write(1_000, &mut sent);
        let expected = || Expected::new(Position::of(1, 1), 500);
        let mut few = expected();
        few.data(&sent[..499], name).unwrap();
        assert!(
            few.end(name)
                .unwrap_err()
                .to_string()
                .contains("499 bytes instead of 500")
        );
        let many = expected().data(&sent[..501], name).unwrap_err().to_string();
        assert!(many.contains("501 bytes and more"), "{many}");
        sent[300] ^= 1;
        let wrong = expected().data(&sent[..400], name).unwrap_err().to_string();
        assert!(wrong.contains("message 1: byte 300 of 500"), "{wrong}");

        let mut text = Expected::text(b"hello");
        text.data(b"hel", name).unwrap();
        assert!(text.data(b"la", name).unwrap_err().to_string().contains("byte 4 of 5"));
    }
}
