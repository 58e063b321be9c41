//! One plot as SVG, whose colours are variables of the page it stands in.

use plotters::prelude::*;

use super::words::thousands;

/// Width and height of a plot, in its own units; the page scales it.
pub(super) const SIZE: (u32, u32) = (640, 240);

/// What a line stands for. Its colour is `var(--NAME)` of the page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Colour {
    /// The setting with the bug.
    Bug,
    /// The setting without.
    Cure,
    /// What the model says.
    Model,
    /// What a simulation of it counted.
    Simulated,
}

/// Colours that stand in the drawing until the page's variables take their place: plotters knows only numbers.
const INK: RGBColor = RGBColor(1, 1, 1);
const GRID: RGBColor = RGBColor(1, 1, 2);
const STAND_INS: [(&str, &str); 6] = [
    ("#010101", "var(--muted)"),
    ("#010102", "var(--grid)"),
    ("#010201", "var(--bug)"),
    ("#010202", "var(--cure)"),
    ("#010203", "var(--model)"),
    ("#010204", "var(--simulated)"),
];

impl Colour {
    fn stand_in(self) -> RGBColor {
        match self {
            Self::Bug => RGBColor(1, 2, 1),
            Self::Cure => RGBColor(1, 2, 2),
            Self::Model => RGBColor(1, 2, 3),
            Self::Simulated => RGBColor(1, 2, 4),
        }
    }

    /// The name of its variable.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Bug => "bug",
            Self::Cure => "cure",
            Self::Model => "model",
            Self::Simulated => "simulated",
        }
    }
}

/// What the numbers upwards are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scale {
    /// Bytes, written in decimal units.
    Bytes,
    /// Counted things.
    Count,
    /// Parts of one.
    Ratio,
}

/// Whether a line is the one to look at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Weight {
    /// It is.
    Heavy,
    /// It is one of several beside it.
    Thin,
    /// Others lie on it.
    Band,
}

/// A line of a plot.
#[derive(Clone, Debug)]
pub(super) struct Curve {
    pub(super) colour: Colour,
    pub(super) weight: Weight,
    pub(super) points: Vec<(f64, f64)>,
}

impl Curve {
    /// A heavy one.
    pub(super) fn new(colour: Colour, points: Vec<(f64, f64)>) -> Self {
        Self {
            colour,
            weight: Weight::Heavy,
            points,
        }
    }
}

/// Draws `curves` over seconds. `top` is the least that the axis reaches up to, so that plots beside each other can have
/// the same. `marks` are moments, each with what began.
pub(super) fn plot(curves: &[Curve], marks: &[(f64, String)], scale: Scale, top: f64) -> anyhow::Result<String> {
    let points = || curves.iter().flat_map(|curve| &curve.points);
    let seconds = points().map(|point| point.0).fold(0.1, f64::max);
    let (unit, second) = time_unit(seconds);
    let right = seconds / second;
    let least = if scale == Scale::Ratio { 0.1 } else { 1.0 };
    let top = points().map(|point| point.1).fold(top.max(least), f64::max) * 1.06;
    let bottom = points().map(|point| point.1).fold(0.0, f64::min) * 1.06;
    let mut svg = String::new();
    {
        let root = SVGBackend::with_string(&mut svg, SIZE).into_drawing_area();
        let mut chart = ChartBuilder::on(&root)
            .margin(6)
            .margin_right(16)
            .x_label_area_size(30)
            .y_label_area_size(70)
            .build_cartesian_2d(0.0..right, bottom..top)?;
        let text = ("sans-serif", 15).into_font().color(&INK);
        chart
            .configure_mesh()
            .disable_x_mesh()
            .axis_style(GRID)
            .bold_line_style(GRID)
            .light_line_style(TRANSPARENT)
            .label_style(text)
            .x_labels(8)
            .y_labels(5)
            .x_label_formatter(&|at| format!("{} {unit}", grouped(*at)))
            .y_label_formatter(&|value| written(*value, scale))
            .draw()?;
        // Names take turns in height, so that neighbours do not meet.
        for ((at, what), turn) in marks.iter().zip(0_u8..) {
            let (at, height) = (at / second, if turn % 2 == 0 { 0.42 } else { 0.54 });
            let line = [(at, bottom), (at, top)].into_iter();
            chart.draw_series(DashedLineSeries::new(line, 2, 4, INK.stroke_width(1)))?;
            let text = ("sans-serif", 14).into_font().color(&INK);
            chart.draw_series([Text::new(
                format!(" {what}"),
                (at, bottom + (top - bottom) * height),
                text,
            )])?;
        }
        for curve in curves {
            let points = curve.points.iter().map(|(at, value)| (at / second, *value));
            let style = match curve.weight {
                Weight::Heavy => curve.colour.stand_in().stroke_width(2),
                Weight::Thin => curve.colour.stand_in().mix(0.45).stroke_width(1),
                Weight::Band => curve.colour.stand_in().mix(0.4).stroke_width(6),
            };
            if curve.colour == Colour::Model {
                chart.draw_series(DashedLineSeries::new(points, 5, 7, style))?;
            } else {
                chart.draw_series(LineSeries::new(points, style))?;
            }
        }
        root.present()?;
    }
    for (stand_in, variable) in STAND_INS {
        svg = svg.replace(stand_in, variable);
    }
    Ok(svg)
}

/// Without zeros behind the point.
fn trimmed(number: f64) -> String {
    let text = format!("{number:.2}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// The unit of an axis that is so many seconds long, and its seconds.
fn time_unit(seconds: f64) -> (&'static str, f64) {
    let units = [("d", 86_400.0), ("h", 3_600.0), ("min", 60.0)];
    let fits = units
        .into_iter()
        .find(|(_, unit)| seconds >= 3.0 * unit && seconds > 600.0);
    fits.unwrap_or(("s", 1.0))
}

/// With commas from a thousand on.
fn grouped(number: f64) -> String {
    if number.abs() < 1_000.0 {
        trimmed(number)
    } else {
        thousands(number)
    }
}

fn written(value: f64, scale: Scale) -> String {
    match scale {
        Scale::Count => grouped(value),
        Scale::Ratio => format!("{:.0} %", value * 100.0),
        Scale::Bytes => {
            let units = [("GB", 1e9), ("MB", 1e6), ("kB", 1e3)];
            units.iter().find(|(_, factor)| value.abs() >= *factor).map_or_else(
                || format!("{value:.0} B"),
                |(unit, factor)| format!("{} {unit}", trimmed(value / factor)),
            )
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_are_the_pages_and_no_other() {
        let curves = [Colour::Bug, Colour::Cure, Colour::Model]
            .map(|colour| Curve::new(colour, vec![(0.0, 0.0), (1.0, 2e6), (2.0, 3e6)]));
        let svg = plot(&curves, &[(1.5, "push".to_owned())], Scale::Bytes, 0.0).unwrap();
        for name in [
            "var(--bug)",
            "var(--cure)",
            "var(--model)",
            "var(--muted)",
            "1 MB",
            "2 s",
            "push",
        ] {
            assert!(svg.contains(name), "{name} is missing in {svg}");
        }
        assert!(!svg.contains("=\"#"), "{svg}");
    }

    #[test]
    fn a_long_time_is_told_in_longer_units() {
        let unit = |seconds| time_unit(seconds).0;
        assert_eq!(
            [unit(20.0), unit(700.0), unit(20_000.0), unit(1e7)],
            ["s", "min", "h", "d"]
        );
        assert_eq!(
            (grouped(0.5), grouped(12_000.0)),
            ("0.5".to_owned(), "12,000".to_owned())
        );
    }

    #[test]
    fn nothing_to_draw_is_drawn_as_nothing() {
        assert!(plot(&[], &[], Scale::Count, 0.0).unwrap().starts_with("<svg"));
    }
}
