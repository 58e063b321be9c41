//! Durations as people write them: `"500ms"`, `"10s"`, `"1h30m"`.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// The units with their milliseconds, largest first: a compound is written and read in this order.
const UNITS: [(&str, u64); 5] = [
    ("d", 86_400_000),
    ("h", 3_600_000),
    ("m", 60_000),
    ("s", 1_000),
    ("ms", 1),
];

/// A [`Duration`] that reads and prints in human units; precise to the millisecond.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct HumanDuration(pub Duration);

/// The text is not a duration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a duration: accepted is one such as \"500ms\", \"10s\", \"5m\", \"1h30m\", \"7d\"")]
pub struct InvalidDuration;

impl fmt::Display for HumanDuration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rest = u64::try_from(self.0.as_millis()).unwrap_or(u64::MAX);
        if rest == 0 {
            return f.write_str("0s");
        }
        for (unit, millis) in UNITS {
            if rest >= millis {
                write!(f, "{}{unit}", rest / millis)?;
                rest %= millis;
            }
        }
        Ok(())
    }
}

impl FromStr for HumanDuration {
    type Err = InvalidDuration;

    fn from_str(text: &str) -> Result<Self, InvalidDuration> {
        if text.is_empty() {
            return Err(InvalidDuration);
        }
        let mut rest = text;
        let mut total: u64 = 0;
        // Each part must be of a smaller unit than the one before, so that "1m1h" and "1h1h" are seen as slips.
        let mut units = UNITS.iter();
        while !rest.is_empty() {
            let (number, after) = split_where(rest, |byte| !byte.is_ascii_digit());
            let (unit, after) = split_where(after, |byte| byte.is_ascii_digit());
            let (_, millis) = units.find(|(name, _)| *name == unit).ok_or(InvalidDuration)?;
            let number: u64 = number.parse().map_err(|_| InvalidDuration)?;
            let part = number.checked_mul(*millis).ok_or(InvalidDuration)?;
            total = total.checked_add(part).ok_or(InvalidDuration)?;
            rest = after;
        }
        Ok(Self(Duration::from_millis(total)))
    }
}

/// Splits before the first byte at which the run `ends`; both tests used here stop at a character's first byte.
fn split_where(text: &str, ends: impl Fn(u8) -> bool) -> (&str, &str) {
    let end = text.bytes().position(ends).unwrap_or(text.len());
    text.split_at(end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn single_and_compound_durations_are_read() {
        for (text, millis) in [
            ("500ms", 500),
            ("10s", 10_000),
            ("5m", 300_000),
            ("1h", 3_600_000),
            ("1d", 86_400_000),
            ("1h30m", 5_400_000),
            ("1m30s500ms", 90_500),
            ("90m", 5_400_000),
            ("0s", 0),
        ] {
            assert_eq!(text.parse(), Ok(HumanDuration(Duration::from_millis(millis))), "{text}");
        }
    }

    #[test]
    fn what_is_not_a_duration_is_refused() {
        let slips = [
            "",
            "s",
            "10",
            "10 s",
            "10 bananas",
            "1m1h",
            "1h1h",
            "1h30",
            "-1s",
            "1.5s",
            "99999999999999d",
            "1µs",
            "é",
        ];
        for text in slips {
            assert_eq!(text.parse::<HumanDuration>(), Err(InvalidDuration), "{text}");
        }
    }

    #[test]
    fn what_is_printed_reads_back_equal() {
        for text in ["0s", "500ms", "10s", "1h", "1d", "1h30m", "1d1h1m1s1ms"] {
            assert_eq!(text.parse::<HumanDuration>().unwrap().to_string(), text);
        }
        assert_eq!(HumanDuration(Duration::from_secs(90)).to_string(), "1m30s");
    }
}
