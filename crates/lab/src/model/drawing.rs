//! The model's panels in one file that needs nothing else: a page, or a picture for a document.

use std::fmt::Write as _;

use super::Panel;
use crate::plot::{Colour, SIZE};
use crate::report::{STYLE, escaped, figure, legend};

/// Colours of the picture, which no page gives it.
const COLOURS: &str = "svg { --page: #ffffff; --text: #1d2125; --muted: #5f6870; --grid: #e4e6e8; --bug: #c8401e; \
     --cure: #1769aa; --model: #6f42a8; --simulated: #13857a; font-family: system-ui, sans-serif; }\n\
     @media (prefers-color-scheme: dark) { svg { --page: #14171a; --text: #e7eaed; --muted: #9aa4ad; --grid: #343a40; \
     --bug: #ff7a52; --cure: #62b0f0; --model: #c29bf2; --simulated: #4fd0bd; } }\n";
/// Space around and between, in the picture's units.
const MARGIN: u32 = 20;
const LINE: u32 = 20;
/// Letters that fit a line of it: of a title, and of a sentence.
const OF_TITLE: usize = 74;
const OF_SENTENCE: usize = 92;

/// A page.
///
/// # Errors
/// If a plot cannot be drawn.
pub fn page(panels: &[Panel]) -> anyhow::Result<String> {
    let mut page = format!(
        "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <title>headpin lab model</title>\n<style>\n{STYLE}</style>\n<main>\n<header>\n\
         <p class=\"eyebrow\">headpin lab model</p>\n<h1>Pinned slabs over time</h1>\n</header>\n"
    );
    for panel in panels {
        page.push_str("<section class=\"narrow\">\n");
        legend(&mut page, &panel.legend())?;
        figure(&mut page, &panel.title, "", &panel.draw()?)?;
        for sentence in &panel.sentences {
            writeln!(page, "<p class=\"note\">{}</p>", escaped(sentence))?;
        }
        page.push_str("</section>\n");
    }
    page.push_str("</main>\n</html>\n");
    Ok(page)
}

/// A picture, light or dark as its reader prefers.
///
/// # Errors
/// If a plot cannot be drawn.
pub fn picture(panels: &[Panel]) -> anyhow::Result<String> {
    let mut body = String::new();
    let mut y = MARGIN;
    for panel in panels {
        for text in wrapped(&panel.title, OF_TITLE) {
            line(&mut body, MARGIN, &mut y, 15, "text", &text)?;
        }
        entries(&mut body, y, &panel.legend())?;
        y += LINE;
        writeln!(body, "<g transform=\"translate({MARGIN} {y})\">{}</g>", panel.draw()?)?;
        y += SIZE.1;
        for text in panel
            .sentences
            .iter()
            .flat_map(|sentence| wrapped(sentence, OF_SENTENCE))
        {
            line(&mut body, MARGIN, &mut y, 13, "muted", &text)?;
        }
        y += MARGIN;
    }
    let width = SIZE.0 + 2 * MARGIN;
    Ok(format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{y}\" viewBox=\"0 0 {width} {y}\">\n\
         <style>{COLOURS}</style>\n<rect width=\"{width}\" height=\"{y}\" fill=\"var(--page)\"/>\n{body}</svg>\n"
    ))
}

fn line(body: &mut String, x: u32, y: &mut u32, size: u32, colour: &str, text: &str) -> anyhow::Result<()> {
    writeln!(
        body,
        "<text x=\"{x}\" y=\"{}\" font-size=\"{size}\" fill=\"var(--{colour})\">{}</text>",
        *y + LINE / 2 + 4,
        escaped(text)
    )?;
    *y += LINE;
    Ok(())
}

fn entries(body: &mut String, y: u32, legend: &[(Colour, &str)]) -> anyhow::Result<()> {
    for ((colour, name), at) in legend.iter().zip(0..) {
        let (x, middle) = (MARGIN + at * 130, y + LINE / 2);
        let dashes = if *colour == Colour::Model {
            " stroke-dasharray=\"6 4\""
        } else {
            ""
        };
        writeln!(
            body,
            "<path d=\"M{x} {middle}h26\" stroke=\"var(--{})\" stroke-width=\"3\"{dashes}/>\
             <text x=\"{}\" y=\"{}\" font-size=\"13\" fill=\"var(--text)\">{name}</text>",
            colour.name(),
            x + 34,
            middle + 4
        )?;
    }
    Ok(())
}

/// Lines of whole words, of at most so many letters.
fn wrapped(text: &str, letters: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split(' ') {
        match lines.last_mut() {
            Some(last) if last.chars().count() + word.chars().count() < letters => {
                last.push(' ');
                last.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::super::{Model, POINTS};
    use super::*;

    #[test]
    fn a_picture_brings_its_colours_and_a_page_its_style() {
        let model = Model {
            arrival_rate: 1.0,
            byte_rate: 1e6,
            slab: 10_485_760.0,
            lifetime: Some(60.0),
        };
        let panels = [Panel::of(&model, &model.simulate(1, 1_000, POINTS, 0.0))];
        let (picture, page) = (picture(&panels).unwrap(), page(&panels).unwrap());
        for part in [
            "prefers-color-scheme: dark",
            "var(--simulated)",
            "var(--model)",
            "tunnels, simulated",
            "from what was derived",
        ] {
            assert!(
                picture.contains(part) && page.contains(part),
                "{part} is missing in {picture}"
            );
        }
        assert!(!picture.contains("var(--bug)\""), "nothing was measured");
    }

    #[test]
    fn long_lines_are_broken_between_words() {
        let lines = wrapped(&"word ".repeat(40), 30);
        assert!(lines.len() > 1 && lines.iter().all(|line| line.chars().count() <= 30));
    }
}
