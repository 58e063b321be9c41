//! A report as text for people.

mod process;
mod work;

use std::fmt::{self, Write as _};

use self::process::write_process;
use self::work::{plan, work};
use super::plan::Work;
use super::report::Report;
use super::stats::Spread;
use crate::units::format_bytes;
use crate::words::signed;

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
        write!(own, "; RSS {} a connection", signed(bytes))?;
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
