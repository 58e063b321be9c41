//! What was to be done, and what was.

use super::time;
use crate::load::plan::{Carrier, Resume, Unit, Until, Work};
use crate::load::report::Report;
use crate::units::format_bytes;

pub(super) fn plan(work: &Work) -> String {
    let carrier = |over: Carrier| {
        if over == Carrier::Http {
            "requests"
        } else {
            "WebSocket messages"
        }
    };
    let bytes = |bytes: u64| format_bytes(bytes as f64);
    let what = match work {
        Work::Idle { connections, .. } => format!("{connections} tunnels held"),
        Work::Echo {
            connections,
            size,
            in_flight,
            own_records,
            rate,
            ..
        } => {
            let pace = match rate {
                None => format!("{in_flight} in flight"),
                Some(rate) => format!("{rate} messages a second"),
            };
            let records = if *own_records { ", each in its own record" } else { "" };
            format!("{connections} × {size} B, {pace}{records}")
        }
        Work::Churn {
            parallel, size, resume, ..
        } => {
            let resume = if *resume == Resume::Never {
                "full handshakes"
            } else {
                "resumption"
            };
            format!("{parallel} at once, one echo of {size} B each, {resume}")
        }
        Work::Upload {
            connections,
            size,
            over,
            ..
        } => {
            format!("{connections} × {} up in {}", bytes(*size), carrier(*over))
        }
        Work::Download {
            connections,
            size,
            over,
            ..
        } => {
            format!("{connections} × {} down in {}", bytes(*size), carrier(*over))
        }
        Work::Slow {
            connections,
            size,
            read_rate,
            over,
            ..
        } => {
            format!(
                "{connections} × {} in {}, read at {}/s",
                bytes(*size),
                carrier(*over),
                bytes(*read_rate)
            )
        }
        Work::Head {
            connections,
            size,
            greet,
            ..
        } => {
            let head = size.map_or("no head".to_owned(), |size| format!("a head of {size} B"));
            format!("{connections} tunnels with {head}, greeting {greet:?}")
        }
    };
    let until = match work.until() {
        Until::Elapsed(duration) if duration.is_zero() => "closed at once".to_owned(),
        Until::Elapsed(duration) => format!("for {}", time(duration.as_secs_f64() * 1e6)),
        Until::Count(count) => format!("{count} times"),
        Until::Stopped => "until stopped".to_owned(),
    };
    format!("{what}, {until}")
}

pub(super) fn work(report: &Report) -> String {
    let bytes = report.bytes_sent + report.bytes_received;
    let seconds = report.seconds;
    match report.work.unit() {
        Unit::Gigabyte => format!(
            "{} in {} bodies verified in {seconds:.2} s, {}/s",
            format_bytes(bytes as f64),
            report.units,
            format_bytes(bytes as f64 / seconds)
        ),
        unit => {
            let plural = if unit == Unit::Message {
                "messages"
            } else {
                "connections"
            };
            let per_second = report.units_per_second;
            format!(
                "{} {plural} verified in {seconds:.2} s, {per_second:.0}/s",
                report.units
            )
        }
    }
}
