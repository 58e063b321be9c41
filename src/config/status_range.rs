//! Statuses that a health check takes for good.

use std::fmt;
use std::str::FromStr;

/// One status, or those from one to another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StatusRange {
    first: u16,
    last: u16,
}

/// The text is neither a status nor a range of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("it is neither a status nor a range of statuses")]
pub struct InvalidStatusRange;

impl StatusRange {
    /// What is not an error (RFC 9110 section 15).
    pub const GOOD: Self = Self { first: 200, last: 399 };

    /// Whether `status` is one of them.
    #[must_use]
    pub fn has(self, status: u16) -> bool {
        (self.first..=self.last).contains(&status)
    }
}

impl FromStr for StatusRange {
    type Err = InvalidStatusRange;

    fn from_str(text: &str) -> Result<Self, InvalidStatusRange> {
        let status = |text: &str| {
            let status = text.parse().ok().filter(|status| (100..=599).contains(status));
            status.filter(|_| text.len() == 3).ok_or(InvalidStatusRange)
        };
        let (first, last) = text.split_once('-').unwrap_or((text, text));
        let (first, last) = (status(first)?, status(last)?);
        if first > last {
            return Err(InvalidStatusRange);
        }
        Ok(Self { first, last })
    }
}

impl fmt::Display for StatusRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self { first, last } if first == last => write!(f, "{first}"),
            Self { first, last } => write!(f, "{first}-{last}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_or_a_range_of_them_is_read() {
        for text in ["200", "200-399"] {
            assert_eq!(text.parse::<StatusRange>().unwrap().to_string(), text);
        }
        let good = StatusRange::GOOD;
        assert!(good.has(200) && good.has(399) && !good.has(400) && !good.has(199));
        for text in ["", "20", "99", "600", "300-200", "200-", "2xx", "+200"] {
            assert_eq!(text.parse::<StatusRange>(), Err(InvalidStatusRange), "{text:?}");
        }
    }
}
