//! A result as one HTML file that needs nothing else.

use std::fmt::Write as _;

use super::observe::Sample;
use super::plot::{Colour, Curve, Scale, plot};
use super::result::{LabResult, Run};
use super::terminal::number;
use super::units::format_bytes;

const STYLE: &str = include_str!("report.css");

/// What is drawn of a run over time.
type Series = (&'static str, &'static str, Scale, fn(&Sample) -> f64);

/// Title, explanation, and what is drawn.
const SERIES: [Series; 7] = [
    (
        "Resident memory",
        "of the proxy's process, as the kernel says",
        Scale::Bytes,
        |sample| sample.rss_bytes,
    ),
    (
        "Allocated",
        "and not given back, as the allocator says",
        Scale::Bytes,
        |sample| sample.allocated_bytes,
    ),
    (
        "Live slabs",
        "capacity of the slabs whose memory exists",
        Scale::Bytes,
        Sample::live_bytes,
    ),
    (
        "Pinned bytes",
        "capacity of the retired slabs that a head keeps alive",
        Scale::Bytes,
        Sample::pinned_bytes,
    ),
    ("Heads held", "slices that tunnels keep", Scale::Count, |sample| {
        sample.tls.heads + sample.tcp.heads
    }),
    (
        "Bytes of heads",
        "all that those slices hold",
        Scale::Bytes,
        Sample::head_bytes,
    ),
    ("Connections", "from clients", Scale::Count, |sample| sample.connections),
];

/// Writes the page.
///
/// # Errors
/// If a plot cannot be drawn.
pub fn html(result: &LabResult) -> anyhow::Result<String> {
    let mut page = String::new();
    let title = format!("headpin lab: {}", result.scenario);
    write!(
        page,
        "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <title>{title}</title>\n<style>\n{STYLE}</style>\n<main>\n<header>\n<p class=\"eyebrow\">{title} · {}</p>\n\
         <h1>{}</h1>\n<p class=\"lead\">{}</p>\n</header>\n",
        escaped(&result.variant),
        escaped(&result.title),
        escaped(&result.verdict),
    )?;
    if result.partial {
        page.push_str("<p class=\"partial\">Partial: the run was interrupted. What is here was measured, but it is not all.</p>\n");
    }
    claims(&mut page, result)?;
    plots(&mut page, result)?;
    facts(&mut page, result)?;
    origin(&mut page, result)?;
    page.push_str("</main>\n</html>\n");
    Ok(page)
}

fn claims(page: &mut String, result: &LabResult) -> anyhow::Result<()> {
    page.push_str("<section>\n<ul class=\"claims\">\n");
    for claim in &result.claims {
        let (class, word) = if claim.holds {
            ("holds", "holds")
        } else {
            ("fails", "fails")
        };
        writeln!(
            page,
            "<li class=\"{class}\"><b>{word}</b><span>{}<small>{}</small></span></li>",
            escaped(&claim.claim),
            escaped(&claim.because)
        )?;
    }
    page.push_str("</ul>\n");
    if !result.warnings.is_empty() {
        page.push_str("<div class=\"doubt\"><b>To be believed with care</b><ul>\n");
        for warning in &result.warnings {
            writeln!(page, "<li>{}</li>", escaped(warning))?;
        }
        page.push_str("</ul></div>\n");
    }
    page.push_str("</section>\n");
    Ok(())
}

fn colour(run: &Run) -> Colour {
    if matches!(run.setting.as_str(), "pin" | "queue") {
        Colour::Bug
    } else {
        Colour::Cure
    }
}

fn curve(run: &Run, of: fn(&Sample) -> f64) -> Curve {
    Curve {
        colour: colour(run),
        points: run.samples.iter().map(|sample| (sample.seconds, of(sample))).collect(),
    }
}

fn legend(page: &mut String, entries: &[(Colour, &str)]) -> anyhow::Result<()> {
    page.push_str("<p class=\"legend\">");
    for (colour, name) in entries {
        write!(page, "<span class=\"{}\">{}</span>", colour.name(), escaped(name))?;
    }
    page.push_str("</p>\n");
    Ok(())
}

fn figure(page: &mut String, title: &str, about: &str, svg: &str) -> anyhow::Result<()> {
    writeln!(
        page,
        "<figure><figcaption><b>{}</b> {}</figcaption>\n{svg}</figure>",
        escaped(title),
        escaped(about)
    )?;
    Ok(())
}

fn plots(page: &mut String, result: &LabResult) -> anyhow::Result<()> {
    page.push_str("<section>\n");
    let mut settings: Vec<(Colour, &str)> = Vec::new();
    for run in &result.runs {
        if !settings.iter().any(|(_, name)| *name == run.setting) {
            settings.push((colour(run), &run.setting));
        }
    }
    legend(page, &settings)?;
    page.push_str("<div class=\"plots\">\n");
    let mut corners: Vec<&str> = result.runs.iter().filter_map(|run| run.corner.as_deref()).collect();
    corners.dedup();
    if corners.is_empty() {
        for (title, about, scale, of) in SERIES {
            let curves: Vec<Curve> = result.runs.iter().map(|run| curve(run, of)).collect();
            if curves
                .iter()
                .flat_map(|curve| &curve.points)
                .all(|point| point.1 == 0.0)
            {
                continue;
            }
            figure(page, title, about, &plot(&curves, scale, 0.0)?)?;
        }
    } else {
        // The same scale in every corner, or they could not be compared.
        for (title, _, scale, of) in SERIES
            .iter()
            .filter(|series| ["Resident memory", "Live slabs"].contains(&series.0))
        {
            let values = result.runs.iter().flat_map(|run| run.samples.iter().map(of));
            let top = values.fold(0.0, f64::max);
            for corner in &corners {
                let runs = result.runs.iter().filter(|run| run.corner.as_deref() == Some(corner));
                let curves: Vec<Curve> = runs.map(|run| curve(run, *of)).collect();
                figure(page, &format!("{title}: {corner}"), "", &plot(&curves, *scale, top)?)?;
            }
        }
    }
    if result.scenario == "trend" {
        let curves: Vec<Curve> = result
            .runs
            .iter()
            .map(|run| curve(run, |sample| sample.trend))
            .collect();
        figure(
            page,
            "Usage trend",
            "recent against long-term mean, sampled at turnovers",
            &plot(&curves, Scale::Ratio, 0.0)?,
        )?;
        let by_clock = |run: &Run| {
            let trend = crate::memory::Trend::default();
            let ratio = |sample: &Sample| {
                trend.add(sample.rss_bytes);
                (sample.seconds, trend.report().ratio)
            };
            Curve {
                colour: colour(run),
                points: run.samples.iter().map(ratio).collect(),
            }
        };
        let curves: Vec<Curve> = result.runs.iter().map(by_clock).collect();
        figure(
            page,
            "The same of RSS",
            "sampled by the clock",
            &plot(&curves, Scale::Ratio, 0.0)?,
        )?;
    }
    page.push_str("</div>\n");
    if let Some(model) = &result.model {
        let expected = model.points.iter().map(|point| (point.0, point.1)).collect();
        let seen = model.points.iter().map(|point| (point.0, point.2)).collect();
        let curves = [
            Curve {
                colour: Colour::Bug,
                points: seen,
            },
            Curve {
                colour: Colour::Model,
                points: expected,
            },
        ];
        page.push_str("<h2>The model beside the measurement</h2>\n");
        legend(
            page,
            &[(Colour::Bug, "measured"), (Colour::Model, "expected by the model")],
        )?;
        page.push_str("<div class=\"plots\">\n");
        figure(page, "Pinned tls slabs", "", &plot(&curves, Scale::Count, 0.0)?)?;
        page.push_str("</div>\n");
        if let Some(why) = &model.why {
            writeln!(page, "<p>{}</p>", escaped(why))?;
        }
    }
    page.push_str("</section>\n");
    Ok(())
}

fn facts(page: &mut String, result: &LabResult) -> anyhow::Result<()> {
    page.push_str("<section>\n<h2>Figures</h2>\n<div class=\"wide\"><table>\n<tr><th>run<th>RSS<th>live slabs<th>pinned<th>heads<th>their bytes<th>CPU</tr>\n");
    for run in &result.runs {
        let last = run.last();
        writeln!(
            page,
            "<tr><td>{}<td>{}<td>{}<td>{}<td>{:.0}<td>{:.0}<td>{:.2} s</tr>",
            escaped(&run.name()),
            format_bytes(last.rss_bytes),
            format_bytes(last.live_bytes()),
            format_bytes(last.pinned_bytes()),
            last.tls.heads + last.tcp.heads,
            last.head_bytes(),
            last.cpu_seconds,
        )?;
    }
    page.push_str("</table></div>\n<div class=\"wide\"><table>\n");
    for fact in &result.facts {
        writeln!(
            page,
            "<tr><td>{}<td>{}</tr>",
            escaped(&fact.name),
            escaped(&number(fact))
        )?;
    }
    page.push_str("</table></div>\n</section>\n");
    Ok(())
}

fn origin(page: &mut String, result: &LabResult) -> anyhow::Result<()> {
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

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
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

    #[test]
    fn text_cannot_become_markup() {
        assert_eq!(escaped("<a href=\"b\">&"), "&lt;a href=&quot;b&quot;&gt;&amp;");
    }
}
