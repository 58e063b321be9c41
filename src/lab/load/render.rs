//! A report as text for people.

use std::fmt::{self, Write as _};

use super::plan::{Carrier, Resume, Unit, Until, Work};
use super::report::{Process, Report};
use super::stats::Spread;
use crate::lab::units::format_bytes;

/// Of fewer connections than this, what each adds to the generator cannot be told from what a run costs once.
const ENOUGH: u64 = 1_000;

/// The report in lines, each with its subject first.
#[must_use]
pub fn render(report: &Report) -> String {
    let mut text = String::new();
    // Writing to memory does not fail.
    _ = write_report(&mut text, report);
    text
}

fn write_report(out: &mut String, report: &Report) -> fmt::Result {
    let partial = if report.partial { "  PARTIAL: interrupted" } else { "" };
    writeln!(out, "{} {}{partial}", report.work.name(), report.target)?;
    line(out, "plan", &plan(&report.work))?;
    if let Some(tls) = &report.tls {
        line(out, "tls", tls)?;
    }
    let connections = &report.connections;
    let mut opened = format!("{} opened", connections.opened);
    if !matches!(report.work, Work::Churn { .. }) {
        write!(opened, " of {}", connections.asked)?;
    }
    if connections.resumed > 0 {
        write!(opened, ", {} resumed", connections.resumed)?;
    }
    if let Some(rate) = report.rate.reached {
        write!(opened, ", {rate:.0}/s")?;
    }
    line(out, "connections", &opened)?;
    if let Some(opening) = &report.opening {
        line(out, "opening", &spread(opening))?;
    }
    match report.work {
        Work::Idle { .. } if report.units == 0 => {}
        Work::Idle { .. } => line(out, "work", &format!("{} messages were pushed", report.units))?,
        Work::Slow { .. } => {
            let read = format!(
                "{} read in {}",
                format_bytes(report.bytes_received as f64),
                time(report.seconds * 1e6)
            );
            line(out, "work", &read)?;
        }
        _ => line(out, "work", &work(report))?,
    }
    if let Some(latency) = &report.latency {
        line(out, "latency", &spread(latency))?;
    }
    if report.early_greetings > 0 {
        let early = format!("{} came in one read with the 101", report.early_greetings);
        line(out, "greetings", &early)?;
    }
    if let Some(process) = &report.process {
        write_process(out, process)?;
    }
    let generator = &report.generator;
    let mut own = format!(
        "{} thread{}, busiest {:.0} % on a core and at most {:.0} % waiting for one",
        generator.threads,
        if generator.threads == 1 { "" } else { "s" },
        generator.busy_ratio * 100.0,
        generator.starved_ratio * 100.0
    );
    if let Some(bytes) = generator.rss_per_connection
        && connections.ready >= ENOUGH
    {
        write!(own, "; RSS {} a connection", signed_bytes(bytes))?;
    }
    line(out, "generator", &own)?;
    for (kind, seen) in &report.faults {
        line(
            out,
            "FAULT",
            &format!("{} × {kind:?}: {} ({})", seen.count, seen.example, seen.remedy),
        )?;
    }
    for warning in &report.warnings {
        line(out, "warning", &warning.to_string())?;
    }
    Ok(())
}

fn line(out: &mut String, subject: &str, text: &str) -> fmt::Result {
    writeln!(out, "  {subject:<12} {text}")
}

fn plan(work: &Work) -> String {
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
            ..
        } => {
            format!("{connections} × {size} B, {in_flight} in flight")
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

fn work(report: &Report) -> String {
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

fn spread(spread: &Spread) -> String {
    let Spread {
        p50_us,
        p90_us,
        p99_us,
        p99_9_us,
        max_us,
        ..
    } = *spread;
    let [p50, p90, p99, p99_9, max] = [p50_us, p90_us, p99_us, p99_9_us, max_us].map(time);
    format!("p50 {p50}, p90 {p90}, p99 {p99}, p99.9 {p99_9}, max {max}")
}

fn time(us: f64) -> String {
    match us {
        us if us >= 1e6 => format!("{:.2} s", us / 1e6),
        us if us >= 1e3 => format!("{:.2} ms", us / 1e3),
        us => format!("{us:.0} µs"),
    }
}

fn write_process(out: &mut String, process: &Process) -> fmt::Result {
    let Process {
        before,
        ready,
        end,
        after,
        ..
    } = process;
    let count = end.processes;
    let plural = if count == 1 { "process" } else { "processes" };
    let mut cpu = format!(
        "{} {} ({count} {plural}): user {:.2} s, system {:.2} s while working",
        process.command,
        process.pid,
        end.user_seconds - ready.user_seconds,
        end.system_seconds - ready.system_seconds
    );
    if let Some(us) = process.cpu_us_per_unit {
        match process.unit {
            Unit::Message => write!(cpu, "; {us:.2} µs a message")?,
            Unit::Connection => write!(cpu, "; {us:.0} µs a connection")?,
            Unit::Gigabyte => write!(cpu, "; {:.3} s a GB", us / 1e6)?,
        }
    }
    line(out, "process", &cpu)?;
    let rss = |bytes: u64| format_bytes(bytes as f64);
    let mut memory = format!(
        "{} before, {} ready, {} peak, {} end, {} a second after",
        rss(before.rss_bytes),
        rss(ready.rss_bytes),
        rss(process.peak_rss_bytes),
        rss(end.rss_bytes),
        rss(after.rss_bytes)
    );
    if let Some(bytes) = process.rss_per_connection {
        write!(memory, "; {} a connection", signed_bytes(bytes))?;
    }
    if let Some(bytes) = process.rss_growth_per_connection {
        write!(memory, ", {} more each at the peak", signed_bytes(bytes))?;
    }
    line(out, "RSS", &memory)?;
    if let (Some(before), Some(end)) = (before.pss_bytes, end.pss_bytes) {
        let mut pss = format!("{} before, {} end", rss(before), rss(end));
        if let Some(bytes) = process.pss_per_connection {
            write!(pss, "; {} a connection", signed_bytes(bytes))?;
        }
        line(out, "PSS", &pss)?;
    }
    Ok(())
}

fn signed_bytes(bytes: f64) -> String {
    let sign = if bytes < 0.0 { "-" } else { "" };
    format!("{sign}{}", format_bytes(bytes.abs()))
}

#[cfg(test)]
mod tests {
    use super::super::fault::Fault;
    use super::super::report::tests::{echo, report};
    use super::super::stats::Tally;
    use super::*;

    #[test]
    fn a_report_is_read_from_top_to_bottom() {
        let mut tally = Tally::default();
        tally.count_fault(Fault::Ended);
        let mut report = report(echo());
        report.partial = true;
        report.faults = tally.faults;
        let expected = "\
echo wss://localhost:8443/  PARTIAL: interrupted
  plan         1000 × 128 B, 1 in flight, for 10.00 s
  tls          TLSv1_3 TLS13_AES_128_GCM_SHA256 X25519
  connections  1000 opened of 1000, 499/s
  opening      p50 100 µs, p90 150 µs, p99 2.00 ms, p99.9 30.00 ms, max 4.00 s
  work         100000 messages verified in 10.00 s, 10000/s
  latency      p50 100 µs, p90 150 µs, p99 2.00 ms, p99.9 30.00 ms, max 4.00 s
  process      proxy 42 (2 processes): user 1.00 s, system 0.00 s while working; 10.00 µs a message
  RSS          10.0 MiB before, 20.0 MiB ready, 30.0 MiB peak, 20.0 MiB end, 15.0 MiB a second after; 10.2 KiB a connection, 10.2 KiB more each at the peak
  PSS          5.00 MiB before, 10.0 MiB end; 5.12 KiB a connection
  generator    1 thread, busiest 50 % on a core and at most 2 % waiting for one; RSS 5.47 KiB a connection
  FAULT        1 × Ended: the connection ended unexpectedly (see the target's log)
";
        assert_eq!(render(&report), expected);
    }
}
