//! A result as one HTML file that needs nothing else.

mod curves;
mod figures;
mod origin;

use std::fmt::Write as _;

pub(super) use self::curves::{figure, legend};
use super::result::LabResult;
use super::words::medians;

/// Also of the model's page.
pub(super) const STYLE: &str = include_str!("report.css");

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
    if let Some(medians) = medians(result) {
        writeln!(page, "<p class=\"note\">{}</p>", escaped(&medians))?;
    }
    if result.partial {
        page.push_str("<p class=\"partial\">Partial: the run was interrupted. What is here was measured, but it is not all.</p>\n");
    }
    claims(&mut page, result)?;
    curves::section(&mut page, result)?;
    figures::section(&mut page, result)?;
    origin::section(&mut page, result)?;
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

pub(super) fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_cannot_become_markup() {
        assert_eq!(escaped("<a href=\"b\">&"), "&lt;a href=&quot;b&quot;&gt;&amp;");
    }
}
