//! `[log]`: what is logged, and how it looks.

use std::fmt;

use super::printer::Printer;
use super::section::Section;

const DEFAULT_FORMAT: LogFormat = LogFormat::Text;
const DEFAULT_FILTER: &str = "info";
const DEFAULT_ACCESS: bool = true;

/// What is logged, and how it looks. All of it takes effect at start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogConfig {
    /// How a line looks. Default text: a person is the first to read it.
    pub format: LogFormat,
    /// Which events are logged, as directives of tracing's `EnvFilter`; only checked for having any. Default `info`.
    pub filter: String,
    /// Whether each request and each tunnel leaves a line when it ends. Default yes.
    pub access: bool,
}

/// How a line of the log looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// One JSON object a line, for machines.
    Json,
    /// For people.
    Text,
}

impl Default for LogConfig {
    fn default() -> Self {
        Self {
            format: DEFAULT_FORMAT,
            filter: DEFAULT_FILTER.to_owned(),
            access: DEFAULT_ACCESS,
        }
    }
}

impl LogConfig {
    pub(super) fn read(mut section: Section<'_>) -> Self {
        let config = Self {
            format: section.choice("format", DEFAULT_FORMAT, &LogFormat::ALL, LogFormat::as_str),
            filter: section.text("filter", DEFAULT_FILTER),
            access: section.flag("access", DEFAULT_ACCESS),
        };
        section.finish();
        config
    }

    pub(super) fn print(&self, printer: &mut Printer) {
        let Self { format, filter, access } = self;
        printer.section("log");
        printer.quoted("format", format);
        printer.quoted("filter", filter);
        printer.bare("access", access);
    }
}

impl LogFormat {
    /// Every format.
    pub const ALL: [Self; 2] = [Self::Json, Self::Text];

    /// The format as the configuration writes it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Json => "json",
            Self::Text => "text",
        }
    }
}

impl fmt::Display for LogFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
