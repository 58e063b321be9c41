//! Numbers as people write and read them: `10MiB`, `30s`, `1.5k`.

use std::time::Duration;

/// Units of bytes, largest first; the decimal ones are read and never written.
const BINARY: [(&str, u64); 3] = [("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)];
const DECIMAL: [(&str, u64); 6] = [
    ("GB", 1_000_000_000),
    ("MB", 1_000_000),
    ("KB", 1_000),
    ("kB", 1_000),
    ("k", 1_000),
    ("B", 1),
];

/// Reads a number of bytes: `4096`, `64KiB`, `1.5MB`.
///
/// # Errors
/// What is accepted, if `text` is not.
pub fn parse_bytes(text: &str) -> Result<u64, String> {
    let refused = || format!("{text:?} is no number of bytes; accepted: 4096, 64KiB, 10MiB, 1.5GB");
    let units = BINARY.iter().chain(&DECIMAL);
    let (number, factor) = units
        .clone()
        .find_map(|(unit, factor)| Some((text.strip_suffix(unit)?, *factor)))
        .unwrap_or((text, 1));
    let number = number.trim_end();
    if let Ok(whole) = number.parse::<u64>() {
        return whole.checked_mul(factor).ok_or_else(refused);
    }
    let fraction: f64 = number.parse().map_err(|_| refused())?;
    let bytes = fraction * factor as f64;
    let good = bytes.is_finite() && bytes >= 0.0 && bytes < 2_f64.powi(60);
    good.then_some(bytes as u64).ok_or_else(refused)
}

/// Reads a length of time: `250ms`, `30s`, `5m`, `1h`.
///
/// # Errors
/// What is accepted, if `text` is not.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    let refused = || format!("{text:?} is no length of time; accepted: 250ms, 30s, 5m, 1h");
    let units = [("ms", 0.001), ("s", 1.0), ("m", 60.0), ("h", 3600.0)];
    let (number, factor) = units
        .iter()
        .find_map(|(unit, factor)| Some((text.strip_suffix(unit)?, *factor)))
        .ok_or_else(refused)?;
    let number: f64 = number.trim_end().parse().map_err(|_| refused())?;
    let longest = Duration::from_hours(10_000).as_secs_f64();
    let seconds = number * factor;
    (0.0..=longest)
        .contains(&seconds)
        .then(|| Duration::from_secs_f64(seconds))
        .ok_or_else(refused)
}

/// Writes a number of bytes with three digits that matter.
#[must_use]
pub fn format_bytes(bytes: f64) -> String {
    let unit = BINARY.iter().find(|(_, factor)| bytes >= *factor as f64);
    unit.map_or_else(
        || format!("{bytes:.0} B"),
        |(unit, factor)| {
            let number = bytes / *factor as f64;
            let digits = if number < 10.0 { 2 } else { usize::from(number < 100.0) };
            format!("{number:.digits$} {unit}")
        },
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_read_in_binary_and_decimal_units() {
        for (text, bytes) in [
            ("0", 0),
            ("4096", 4_096),
            ("64KiB", 65_536),
            ("10MiB", 10 << 20),
            ("1.5MB", 1_500_000),
            ("1 kB", 1_000),
        ] {
            assert_eq!(parse_bytes(text), Ok(bytes), "{text}");
        }
        for text in ["", "KiB", "-1", "ten", "1e99", "99999999999GiB", "nan"] {
            assert!(parse_bytes(text).unwrap_err().contains("accepted"), "{text}");
        }
    }

    #[test]
    fn a_length_of_time_needs_its_unit() {
        assert_eq!(parse_duration("250ms"), Ok(Duration::from_millis(250)));
        assert_eq!(parse_duration("1.5m"), Ok(Duration::from_secs(90)));
        for text in ["10", "s", "-1s", "1 year", "inf s", "nans"] {
            assert!(parse_duration(text).is_err(), "{text}");
        }
    }

    #[test]
    fn bytes_are_written_with_three_digits() {
        assert_eq!(format_bytes(712.0), "712 B");
        assert_eq!(format_bytes(4_677.0), "4.57 KiB");
        assert_eq!(format_bytes(110.0 * 1_048_576.0), "110 MiB");
    }
}
