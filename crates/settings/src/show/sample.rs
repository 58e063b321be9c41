//! A sample file: every key with its sentence and its default.

use std::fmt::Write as _;

use crate::{Acts, Description, Key, Presence};

/// `opening`, then all that `description` has. A key that is left out by default stands as a comment; one that waits for a
/// restart is marked (start).
#[must_use]
pub fn sample(opening: &str, description: &Description) -> String {
    let mut text = opening.to_owned();
    section(&mut text, "", description, "");
    text
}

/// Each line begins with `margin`.
fn section(text: &mut String, path: &str, description: &Description, margin: &str) {
    for (index, key) in description.keys.iter().enumerate() {
        // At the top there are few, and each is explained at length.
        if path.is_empty() && index > 0 {
            text.push('\n');
        }
        key_lines(text, path, key, margin);
    }
    for below in &description.sections {
        let path = crate::dotted(path, below.name);
        writeln!(text, "\n{margin}[{path}]").expect("writing to a string cannot fail");
        section(text, &path, &below.holds, margin);
    }
}

fn key_lines(text: &mut String, path: &str, key: &Key, margin: &str) {
    let mark = match key.acts {
        Acts::AtStart => "(start) ",
        Acts::AtReload => "",
    };
    for (index, line) in key.about.iter().enumerate() {
        let mark = if index == 0 { mark } else { "" };
        let line = format!("{margin}# {mark}{line}");
        writeln!(text, "{}", line.trim_end()).expect("writing to a string cannot fail");
    }
    // Tables of their own have no value behind the key.
    if let (Some((goes_on, table)), None, Presence::Default) = (&key.tables, &key.default, key.presence) {
        let path = crate::dotted(path, key.name);
        let title = if *goes_on == "[]" {
            format!("[[{path}]]")
        } else {
            format!("[{path}{goes_on}]")
        };
        let margin = format!("{margin}# ");
        writeln!(text, "{margin}{title}").expect("writing to a string cannot fail");
        return section(text, &path, table, &margin);
    }
    let (comment, value) = match (&key.default, key.presence) {
        (Some(default), _) => ("", default.as_str()),
        (None, Presence::Required(example)) => ("", example),
        (None, Presence::LeftOut(example)) => ("# ", example),
        (None, Presence::Default) => ("# ", "\"\""),
    };
    writeln!(text, "{margin}{comment}{} = {value}", key.name).expect("writing to a string cannot fail");
}
