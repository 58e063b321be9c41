//! Where a result comes from: the build, the machine, every number.

use std::fmt::Write as _;

use super::escaped;
use crate::result::LabResult;
use crate::units::format_bytes;

pub(super) fn section(page: &mut String, result: &LabResult) -> anyhow::Result<()> {
    let machine = &result.machine;
    writeln!(
        page,
        "<section>\n<h2>Where it comes from</h2>\n<p>headpin {} of commit <code>{}</code>, a {} build with {}; {} × {}, {} of \
         memory, Linux {}. Seed {}. Begun {}.</p>",
        escaped(&machine.version),
        escaped(&machine.commit),
        escaped(&machine.build),
        escaped(&machine.allocator),
        machine.cores,
        escaped(&machine.processor),
        format_bytes(machine.memory_bytes as f64),
        escaped(&machine.kernel),
        result.seed,
        date(result.started),
    )?;
    page.push_str("<details><summary>Every number of the scenario</summary>\n<div class=\"wide\"><table>\n");
    for (key, value) in result.config.as_object().into_iter().flatten() {
        let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        writeln!(
            page,
            "<tr><td><code>{}</code><td>{}</tr>",
            escaped(key),
            escaped(&value)
        )?;
    }
    page.push_str("</table></div>\n</details>\n");
    if let Some(run) = result.runs.first() {
        writeln!(
            page,
            "<details><summary>The proxy's config under {}</summary>\n<pre>{}</pre>\n</details>",
            escaped(&run.name()),
            escaped(&run.proxy_config)
        )?;
    }
    page.push_str("</section>\n");
    Ok(())
}

/// `2026-01-31 12:00 UTC`, of seconds since 1970. The days are counted as in Howard Hinnant's `civil_from_days`.
fn date(seconds: u64) -> String {
    let (days, rest) = (seconds / 86_400 + 719_468, seconds % 86_400);
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * from_march + 2) / 5 + 1;
    let month = if from_march < 10 {
        from_march + 3
    } else {
        from_march - 9
    };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    format!(
        "{year}-{month:02}-{day:02} {:02}:{:02} UTC",
        rest / 3_600,
        rest / 60 % 60
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_those_of_the_calendar() {
        assert_eq!(date(0), "1970-01-01 00:00 UTC");
        assert_eq!(date(951_782_400), "2000-02-29 00:00 UTC");
        assert_eq!(date(1_798_761_599), "2026-12-31 23:59 UTC");
    }
}
