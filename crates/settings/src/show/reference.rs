//! A reference page in Markdown.

use std::fmt::Write as _;

use crate::{Acts, Description, Key, Presence};

/// `opening`, then a chapter for each section of `description` and a paragraph for each key.
#[must_use]
pub fn reference(opening: &str, description: &Description) -> String {
    let mut page = opening.to_owned();
    section(&mut page, "", description);
    page
}

fn section(page: &mut String, path: &str, description: &Description) {
    if !description.keys.is_empty() {
        match path {
            "" => page.push_str("\n## Above all sections\n"),
            path => {
                writeln!(page, "\n## [{path}]\n\n{}", description.about.join("\n"))
                    .expect("writing to a string cannot fail");
            }
        }
    }
    for key in &description.keys {
        paragraph(page, path, key);
    }
    for below in &description.sections {
        section(page, &crate::dotted(path, below.name), &below.holds);
    }
}

fn paragraph(page: &mut String, path: &str, key: &Key) {
    let dotted = crate::dotted(path, key.name);
    let about = key
        .about
        .join("\n")
        .replace(":\n\"", ":\n- \"")
        .replace(";\n\"", ";\n- \"");
    let acts = match key.acts {
        Acts::AtStart => "at start",
        Acts::AtReload => "at a reload",
    };
    let absent = match (&key.default, key.presence) {
        (Some(default), _) => format!("default: `{default}`"),
        (None, Presence::Required(example)) => format!("required, for example: `{example}`"),
        (None, Presence::LeftOut(example)) => format!("default: left out; for example: `{example}`"),
        (None, Presence::Default) => "default: none".to_owned(),
    };
    writeln!(
        page,
        "\n### `{dotted}`\n\n{about}\n\n- accepted: {}\n- {absent}\n- takes effect: {acts}",
        key.accepted
    )
    .expect("writing to a string cannot fail");
    if let Some((goes_on, table)) = &key.tables {
        let path = format!("{dotted}{goes_on}");
        table.keys.iter().for_each(|key| paragraph(page, &path, key));
    }
}
