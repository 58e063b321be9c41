//! What is drawn of runs over time, all settings on the same axes.

use std::fmt::Write as _;

use headpin::observe::memory::Trend;

use super::escaped;
use crate::observe::Sample;
use crate::plot::{Colour, Curve, Scale, Weight, plot};
use crate::result::{LabResult, Run};

/// Title, explanation, and what is drawn.
type Series = (&'static str, &'static str, Scale, fn(&Sample) -> f64);

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
    ("Heads held", "slices that tunnels keep", Scale::Count, Sample::heads),
    (
        "Bytes of heads",
        "all that those slices hold",
        Scale::Bytes,
        Sample::head_bytes,
    ),
    ("Connections", "from clients", Scale::Count, |sample| sample.connections),
];

/// Of these the corners are shown, on one scale.
const OF_CORNERS: [&str; 2] = ["Resident memory", "Live slabs"];

pub(super) fn section(page: &mut String, result: &LabResult) -> anyhow::Result<()> {
    page.push_str("<section>\n");
    let mut settings: Vec<(Colour, &str)> = Vec::new();
    for run in &result.runs {
        if !settings.iter().any(|(_, name)| *name == run.setting) {
            settings.push((colour(run), &run.setting));
        }
    }
    legend(page, &settings)?;
    if settings.len() > 1 {
        page.push_str("<p class=\"note\">Where only one line is seen, both lie on it.</p>\n");
    }
    if result.repetitions > 1 {
        writeln!(
            page,
            "<p class=\"note\">{} repetitions of each setting, in turn. The heavy line is repetition {}, whose key figure \
             is nearest to the median; the thin ones are the others.</p>",
            result.repetitions, result.middle
        )?;
    }
    let mut corners: Vec<&str> = Vec::new();
    for corner in result.runs.iter().filter_map(|run| run.corner.as_deref()) {
        if !corners.contains(&corner) {
            corners.push(corner);
        }
    }
    page.push_str("<div class=\"plots\">\n");
    let seen = |series: &&Series| {
        let samples = result.runs.iter().flat_map(|run| &run.samples);
        samples.into_iter().any(|sample| series.3(sample) != 0.0)
    };
    let marks = result.runs.first().map_or(&[][..], |run| &run.marks);
    // The corners beside each other, and of the rest the one where all is on.
    let (of_corners, of_one): (Vec<&Series>, Vec<&Series>) = SERIES
        .iter()
        .filter(seen)
        .partition(|series| !corners.is_empty() && OF_CORNERS.contains(&series.0));
    for (title, _, scale, of) in of_corners {
        // The same scale in every corner, or they could not be compared.
        let values = result.runs.iter().flat_map(|run| run.samples.iter().map(of));
        let top = values.fold(0.0, f64::max);
        for corner in &corners {
            let curves = curves(result, Some(corner), *of);
            figure(
                page,
                &format!("{title}: {corner}"),
                "",
                &plot(&curves, &[], *scale, top)?,
            )?;
        }
    }
    let last = corners.last().copied();
    for (title, about, scale, of) in of_one {
        let title = last.map_or_else(|| (*title).to_owned(), |corner| format!("{title}: {corner}"));
        figure(
            page,
            &title,
            about,
            &plot(&curves(result, last, *of), marks, *scale, 0.0)?,
        )?;
    }
    if result.scenario == "trend" {
        trends(page, result)?;
    }
    page.push_str("</div>\n");
    model(page, result)?;
    page.push_str("</section>\n");
    Ok(())
}

/// The two detectors' trends.
fn trends(page: &mut String, result: &LabResult) -> anyhow::Result<()> {
    let by_turnover = curves(result, None, |sample| sample.trend);
    figure(
        page,
        "Usage trend",
        "recent against long-term mean, sampled at turnovers",
        &plot(&by_turnover, &[], Scale::Ratio, 0.0)?,
    )?;
    let mut by_clock = curves(result, None, |sample| sample.rss_bytes);
    for curve in &mut by_clock {
        let trend = Trend::default();
        for point in &mut curve.points {
            trend.add(point.1);
            point.1 = trend.report().ratio;
        }
    }
    figure(
        page,
        "The same of RSS",
        "sampled by the clock",
        &plot(&by_clock, &[], Scale::Ratio, 0.0)?,
    )
}

/// What the model expects beside what was counted.
fn model(page: &mut String, result: &LabResult) -> anyhow::Result<()> {
    let Some(model) = &result.model else {
        return Ok(());
    };
    let expected = model.points.iter().map(|point| (point.0, point.1)).collect();
    let curves = [
        Curve::new(
            Colour::Bug,
            model.points.iter().map(|point| (point.0, point.2)).collect(),
        ),
        Curve::new(Colour::Model, expected),
    ];
    page.push_str("<h2>The model beside the measurement</h2>\n");
    legend(
        page,
        &[(Colour::Bug, "measured"), (Colour::Model, "expected by the model")],
    )?;
    page.push_str("<div class=\"plots\">\n");
    figure(page, "Pinned tls slabs", "", &plot(&curves, &[], Scale::Count, 0.0)?)?;
    page.push_str("</div>\n");
    let why = model
        .why
        .as_deref()
        .map(|why| format!(" Why: {why}."))
        .unwrap_or_default();
    writeln!(
        page,
        "<p class=\"note\">Over the second half of the run the measurement is {:+.1} % from what the model expects.{}</p>",
        model.difference * 100.0,
        escaped(&why)
    )?;
    Ok(())
}

fn colour(run: &Run) -> Colour {
    if matches!(run.setting.as_str(), "pin" | "queue") {
        Colour::Bug
    } else {
        Colour::Cure
    }
}

/// The runs of one corner: the middle repetition last, so that it lies on top.
fn curves(result: &LabResult, corner: Option<&str>, of: fn(&Sample) -> f64) -> Vec<Curve> {
    let runs = result.runs.iter().filter(|run| run.corner.as_deref() == corner);
    let mut runs: Vec<&Run> = runs.collect();
    runs.sort_by_key(|run| run.repetition == result.middle);
    let curve = |run: &&Run| Curve {
        colour: colour(run),
        weight: if run.repetition == result.middle {
            Weight::Heavy
        } else {
            Weight::Thin
        },
        points: run.samples.iter().map(|sample| (sample.seconds, of(sample))).collect(),
    };
    runs.iter().map(curve).collect()
}

pub(crate) fn legend(page: &mut String, entries: &[(Colour, &str)]) -> anyhow::Result<()> {
    page.push_str("<p class=\"legend\">");
    for (colour, name) in entries {
        write!(page, "<span class=\"{}\">{}</span>", colour.name(), escaped(name))?;
    }
    page.push_str("</p>\n");
    Ok(())
}

pub(crate) fn figure(page: &mut String, title: &str, about: &str, svg: &str) -> anyhow::Result<()> {
    writeln!(
        page,
        "<figure><figcaption><b>{}</b> {}</figcaption>\n{svg}</figure>",
        escaped(title),
        escaped(about)
    )?;
    Ok(())
}
