//! Numbers as the lab tells them.

use super::result::{Fact, LabResult};
use super::units::format_bytes;

/// A number with its unit.
pub(super) fn number(fact: &Fact) -> String {
    written(fact.value, &fact.unit)
}

/// A value of that unit.
pub(super) fn written(value: f64, unit: &str) -> String {
    match unit {
        "bytes" => signed(value),
        "bytes/s" => format!("{}/s", signed(value)),
        "bytes per tunnel" => format!("{} B", thousands(value)),
        "count" => thousands(value),
        "R²" => format!("{value:.4}"),
        "part" => format!("{:+.1} %", value * 100.0),
        "" if value.abs() >= 100.0 => thousands(value),
        "" => format!("{value:.2}"),
        "s" => format!("{value:.1} s"),
        unit => format!("{value:.0} {unit}"),
    }
}

pub(super) fn signed(bytes: f64) -> String {
    let sign = if bytes < 0.0 { "-" } else { "" };
    format!("{sign}{}", format_bytes(bytes.abs()))
}

/// ` (1 to 3)`: how far the repetitions lie apart; nothing without any.
pub(super) fn spread(fact: &Fact) -> String {
    let range = range(fact);
    if range.is_empty() { range } else { format!(" ({range})") }
}

/// The same without brackets.
pub(super) fn range(fact: &Fact) -> String {
    if fact.each.len() < 2 {
        return String::new();
    }
    let spread = fact.spread();
    let least = written(spread.least, &fact.unit);
    let most = written(spread.most, &fact.unit);
    if least == most {
        "all alike".to_owned()
    } else {
        format!("{least} to {most}")
    }
}

/// The sentence on what several repetitions agree about; nothing of one.
pub(super) fn medians(result: &LabResult) -> Option<String> {
    let told: Vec<String> = result
        .medians
        .iter()
        .map(|fact| format!("{} {}{}", fact.name, number(fact), spread(fact)))
        .collect();
    (!told.is_empty()).then(|| format!("Medians of {} repetitions: {}.", result.repetitions, told.join("; ")))
}

/// `1,234,567`.
pub(super) fn thousands(number: f64) -> String {
    let digits = format!("{:.0}", number.abs());
    let sign = if number < 0.0 && digits != "0" { "-" } else { "" };
    let groups: Vec<&str> = digits
        .as_bytes()
        .rchunks(3)
        .rev()
        .filter_map(|group| std::str::from_utf8(group).ok())
        .collect();
    format!("{sign}{}", groups.join(","))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_has_its_unit_and_its_spread() {
        let fact = Fact::new("growth", 2_097_152.0, "bytes/s");
        assert_eq!((number(&fact), spread(&fact)), ("2.00 MiB/s".to_owned(), String::new()));
        let facts = [1.0, 3.0, 2.0].map(|seconds| Fact::new("time", seconds, "s"));
        let fact = Fact::together(&facts).unwrap();
        assert_eq!(
            (number(&fact), spread(&fact)),
            ("2.0 s".to_owned(), " (1.0 s to 3.0 s)".to_owned())
        );
        assert_eq!(written(-0.034, "part"), "-3.4 %");
        assert_eq!(thousands(1_234_567.0), "1,234,567");
        assert_eq!(
            (thousands(-123_456.0), thousands(-0.2)),
            ("-123,456".to_owned(), "0".to_owned())
        );
    }
}
