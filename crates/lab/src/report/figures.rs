//! The numbers behind the curves, as tables.

use std::fmt::Write as _;

use super::escaped;
use crate::result::{Fact, LabResult, PER_TUNNEL};
use crate::verdict::{Costs, costs};
use crate::words::{number, spread};

pub(super) fn section(page: &mut String, result: &LabResult) -> anyhow::Result<()> {
    page.push_str("<section>\n");
    let costs = costs(result);
    if let Some(costs) = &costs {
        table(page, costs)?;
    }
    page.push_str("<h2>Figures</h2>\n");
    if result.repetitions > 1 {
        writeln!(
            page,
            "<p class=\"note\">Medians of {} repetitions; in brackets the least and the most.</p>",
            result.repetitions
        )?;
    }
    ends(page, result)?;
    let facts = result
        .facts
        .iter()
        .filter(|fact| costs.is_none() || fact.unit != PER_TUNNEL);
    let facts: Vec<&Fact> = facts.collect();
    if !facts.is_empty() {
        page.push_str("<div class=\"wide\"><table>\n");
        for fact in facts {
            writeln!(page, "<tr><td>{}<td>{}</tr>", escaped(&fact.name), cell(fact))?;
        }
        page.push_str("</table></div>\n");
    }
    page.push_str("</section>\n");
    Ok(())
}

/// What every setting ended with.
fn ends(page: &mut String, result: &LabResult) -> anyhow::Result<()> {
    let columns = [
        ("RSS", result.of_runs("bytes", |run| run.last().rss_bytes)),
        ("live slabs", result.of_runs("bytes", |run| run.last().live_bytes())),
        ("pinned", result.of_runs("bytes", |run| run.last().pinned_bytes())),
        ("heads", result.of_runs("count", |run| run.last().heads())),
        ("their bytes", result.of_runs("count", |run| run.last().head_bytes())),
        ("CPU", result.of_runs("s", |run| run.last().cpu_seconds)),
    ];
    page.push_str("<div class=\"wide\"><table>\n<tr><th>at the end of the run");
    for (name, _) in &columns {
        write!(page, "<th>{name}")?;
    }
    page.push_str("</tr>\n");
    for (at, Fact { name, .. }) in columns[0].1.iter().enumerate() {
        write!(page, "<tr><td>{}", escaped(name))?;
        for (_, facts) in &columns {
            write!(page, "<td>{}", cell(&facts[at]))?;
        }
        page.push_str("</tr>\n");
    }
    page.push_str("</table></div>\n");
    Ok(())
}

/// What a tunnel costs, by part: user space above, the kernel below.
fn table(page: &mut String, costs: &Costs) -> anyhow::Result<()> {
    page.push_str("<h2>What one tunnel costs, in bytes</h2>\n<div class=\"wide\"><table class=\"costs\">\n<tr><th>");
    for (setting, phase) in &costs.columns {
        write!(page, "<th>{}<br>{phase}", escaped(setting))?;
    }
    page.push_str("</tr>\n");
    for (part, cells) in &costs.rows {
        let class = if part == "RSS" { " class=\"sum\"" } else { "" };
        write!(
            page,
            "<tr{class}><td>{}",
            escaped(if part == "RSS" { "user space: RSS" } else { part })
        )?;
        for fact in cells {
            write!(page, "<td>{}", fact.as_ref().map_or_else(|| "–".to_owned(), cell))?;
        }
        page.push_str("</tr>\n");
    }
    page.push_str(
        "</table></div>\n<p class=\"note\">Above what there was before the first tunnel, divided by the tunnels; the rows \
         below RSS are its parts. What belongs to the whole machine or the whole network namespace also has the clients' \
         and the origin's share, and everyone else's.</p>\n",
    );
    Ok(())
}

fn cell(fact: &Fact) -> String {
    let spread = spread(fact);
    let spread = if spread.is_empty() {
        spread
    } else {
        format!("<small>{}</small>", escaped(&spread))
    };
    format!("{}{spread}", escaped(&number(fact)))
}
