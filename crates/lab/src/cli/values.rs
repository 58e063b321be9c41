//! Values that several subcommands take.

/// Reads how often in a second.
pub(super) fn parse_rate(text: &str) -> Result<f64, String> {
    let rate = text.parse::<f64>().ok().filter(|rate| rate.is_finite() && *rate > 0.0);
    rate.ok_or_else(|| format!("{text:?} is no rate; accepted: a number above 0, such as 500 or 0.5"))
}
