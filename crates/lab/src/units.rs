//! Numbers as people write them, read as the config reads them, and bytes written with the digits that matter.

use std::time::Duration;

use headpin_settings::{ByteSize, HumanDuration};

/// Units that bytes are written in, largest first.
const BINARY: [(&str, f64); 3] = [("GiB", 1_073_741_824.0), ("MiB", 1_048_576.0), ("KiB", 1_024.0)];

/// Reads a number of bytes: `4096`, `64KiB`, `2MB`.
///
/// # Errors
/// What is accepted, if `text` is not.
pub fn parse_bytes(text: &str) -> Result<u64, String> {
    match text.parse::<ByteSize>() {
        Ok(size) => Ok(size.bytes() as u64),
        Err(why) => Err(format!("{text:?} is {why}")),
    }
}

/// Reads a length of time: `250ms`, `30s`, `1h30m`.
///
/// # Errors
/// What is accepted, if `text` is not.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    match text.parse::<HumanDuration>() {
        Ok(HumanDuration(duration)) => Ok(duration),
        Err(why) => Err(format!("{text:?} is {why}")),
    }
}

/// Writes a number of bytes with three digits that matter.
#[must_use]
pub fn format_bytes(bytes: f64) -> String {
    let unit = BINARY.iter().find(|(_, factor)| bytes >= *factor);
    unit.map_or_else(
        || format!("{bytes:.0} B"),
        |(unit, factor)| {
            let number = bytes / *factor;
            let digits = if number < 10.0 { 2 } else { usize::from(number < 100.0) };
            format!("{number:.digits$} {unit}")
        },
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_read_is_told_with_what_is_accepted() {
        assert_eq!(parse_bytes("10MiB"), Ok(10 << 20));
        assert_eq!(parse_duration("1m30s"), Ok(Duration::from_secs(90)));
        for why in [parse_bytes("ten").unwrap_err(), parse_duration("10").unwrap_err()] {
            assert!(why.contains("accepted is one such as"), "{why}");
        }
    }

    #[test]
    fn bytes_are_written_with_three_digits() {
        assert_eq!(format_bytes(712.0), "712 B");
        assert_eq!(format_bytes(4_677.0), "4.57 KiB");
        assert_eq!(format_bytes(110.0 * 1_048_576.0), "110 MiB");
    }
}
