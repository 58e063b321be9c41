//! What the watched process took.

use std::fmt::{self, Write as _};

use super::line;
use crate::load::plan::Unit;
use crate::load::report::Process;
use crate::units::format_bytes;
use crate::words::signed;

pub(super) fn write_process(out: &mut String, process: &Process) -> fmt::Result {
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
        write!(memory, "; {} a connection", signed(bytes))?;
    }
    if let Some(bytes) = process.rss_growth_per_connection {
        write!(memory, ", {} more each at the peak", signed(bytes))?;
    }
    line(out, "RSS", &memory)?;
    if let (Some(before), Some(end)) = (before.pss_bytes, end.pss_bytes) {
        let mut pss = format!("{} before, {} end", rss(before), rss(end));
        if let Some(bytes) = process.pss_per_connection {
            write!(pss, "; {} a connection", signed(bytes))?;
        }
        line(out, "PSS", &pss)?;
    }
    Ok(())
}
