//! What can be wrong with settings, said so that the reader can put it right.

use std::fmt;
use std::io;
use std::path::PathBuf;

use super::line::line_of;
use super::obstacle::remedy;
use super::source::Layer;

/// Why settings were not taken. All but [`Read`](Self::Read) are the author's to mend.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SettingsError {
    /// The file could not be read: usually a wrong path or missing permission.
    #[error("cannot read {}{}", path.display(), remedy(path, source))]
    Read {
        /// The file.
        path: PathBuf,
        /// What the operating system says.
        source: io::Error,
    },
    /// A text is not TOML, so that its keys are not known.
    #[error("{origin}: {message}")]
    Syntax {
        /// The file and the line of the first place that is not TOML, from 1; or the option.
        origin: String,
        /// What is wrong there and how to write it.
        message: String,
    },
    /// The text is TOML, but some of its keys or values are not accepted.
    #[error("{}", OneLineEach(faults))]
    Faults {
        /// Every fault, by text and line; never empty.
        faults: Vec<Fault>,
    },
}

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Fault {
    /// The file, or the option of the command line.
    pub origin: String,
    /// The line in the file, from 1; for what is missing, where it belongs.
    pub line: Option<usize>,
    /// The dotted key, with the index of an array's item: `tls.certificates[0].cert`.
    pub key: String,
    /// The value as written, shortened to one line; empty if there is none to show.
    pub value: String,
    /// What is wrong with it and what is accepted.
    pub problem: String,
}

/// As `headpin.toml:12: http.header_timeout = "10 bananas": accepted is ...`.
impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            origin,
            line,
            key,
            value,
            problem,
        } = self;
        f.write_str(origin)?;
        if let Some(line) = line {
            write!(f, ":{line}")?;
        }
        match value.as_str() {
            "" => write!(f, ": {key}: {problem}"),
            value => write!(f, ": {key} = {value}: {problem}"),
        }
    }
}

struct OneLineEach<'a>(&'a [Fault]);

impl fmt::Display for OneLineEach<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, fault) in self.0.iter().enumerate() {
            let separator = if index == 0 { "" } else { "\n" };
            write!(f, "{separator}{fault}")?;
        }
        Ok(())
    }
}

/// The TOML parser's complaint, with its line and with the remedy for the usual slip.
pub(crate) fn syntax(layer: &Layer<'_>, error: &toml::de::Error) -> SettingsError {
    let line = error.span().map_or(1, |span| line_of(layer.text, span.start));
    let message = error.message().replace('\n', "; ");
    let remedy = if message.contains("duplicate key") {
        "keep one of the two"
    } else {
        r#"accepted is TOML: key = value, with text, durations and sizes in double quotes, as in key = "10s""#
    };
    SettingsError::Syntax {
        origin: if layer.has_lines {
            format!("{}:{line}", layer.origin)
        } else {
            layer.origin.clone()
        },
        message: format!("{message}; {remedy}"),
    }
}
