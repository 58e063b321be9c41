//! Sizes as people write them: `"10MiB"`, `"64KiB"`, or a plain number of bytes.

use std::fmt;
use std::str::FromStr;

const KIB: usize = 1 << 10;
const MIB: usize = 1 << 20;
const GIB: usize = 1 << 30;

/// Units that are read. Binary ones come first and largest first, because printing takes the first that divides.
const UNITS: [(&str, usize); 8] = [
    ("GiB", GIB),
    ("MiB", MIB),
    ("KiB", KIB),
    ("B", 1),
    ("GB", 1_000_000_000),
    ("MB", 1_000_000),
    ("KB", 1_000),
    ("kB", 1_000),
];

/// How many of `UNITS` are used for printing: the binary ones and the byte.
const PRINTED_UNITS: usize = 4;

/// An amount of memory, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ByteSize(usize);

/// The text is not a size.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a size: accepted is one such as \"512B\", \"64KiB\", \"10MiB\", \"1GiB\", or a plain number of bytes")]
pub struct InvalidByteSize;

impl ByteSize {
    /// This many bytes.
    pub const fn new(bytes: usize) -> Self {
        Self(bytes)
    }

    /// This many KiB of 1024 bytes.
    pub const fn kib(count: usize) -> Self {
        Self(count * KIB)
    }

    /// This many MiB of 1024 KiB.
    pub const fn mib(count: usize) -> Self {
        Self(count * MIB)
    }

    /// The amount as a number of bytes.
    pub const fn bytes(self) -> usize {
        self.0
    }
}

/// Prints the largest binary unit that loses nothing, so that what is printed reads back equal.
impl fmt::Display for ByteSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let exact = UNITS[..PRINTED_UNITS]
            .iter()
            .find(|(_, factor)| self.0 != 0 && self.0.is_multiple_of(*factor));
        let (unit, factor) = exact.unwrap_or(&("B", 1));
        write!(f, "{}{unit}", self.0 / factor)
    }
}

impl FromStr for ByteSize {
    type Err = InvalidByteSize;

    fn from_str(text: &str) -> Result<Self, InvalidByteSize> {
        let digits = text.bytes().take_while(u8::is_ascii_digit).count();
        let (number, unit) = text.split_at(digits);
        let factor = match unit {
            "" => 1,
            _ => UNITS.iter().find(|(name, _)| *name == unit).ok_or(InvalidByteSize)?.1,
        };
        let number: usize = number.parse().map_err(|_| InvalidByteSize)?;
        number.checked_mul(factor).map(Self).ok_or(InvalidByteSize)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_unit_is_read() {
        for (text, bytes) in [
            ("512B", 512),
            ("512", 512),
            ("64KiB", 65_536),
            ("10MiB", 10_485_760),
            ("1GiB", 1 << 30),
            ("10MB", 10_000_000),
            ("3kB", 3_000),
            ("3KB", 3_000),
            ("0B", 0),
        ] {
            assert_eq!(text.parse(), Ok(ByteSize::new(bytes)), "{text}");
        }
    }

    #[test]
    fn what_is_not_a_size_is_refused() {
        for text in [
            "",
            "B",
            "MiB",
            "10 MiB",
            "10mib",
            "-1B",
            "+1B",
            "1.5MiB",
            "10 bananas",
            "99999999999GiB",
        ] {
            assert_eq!(text.parse::<ByteSize>(), Err(InvalidByteSize), "{text}");
        }
    }

    #[test]
    fn the_largest_exact_binary_unit_is_printed() {
        for (bytes, text) in [
            (0, "0B"),
            (1000, "1000B"),
            (1536, "1536B"),
            (65_536, "64KiB"),
            (10 << 20, "10MiB"),
        ] {
            assert_eq!(ByteSize::new(bytes).to_string(), text);
        }
        assert_eq!(ByteSize::mib(2048).to_string(), "2GiB");
    }
}
