//! `[log]`: what is logged, and how it looks.

use headpin_labels::labels;
use headpin_settings::kind::{choice, flag, text};
use headpin_settings::settings;

const FILTER: &str = "info";

labels! {
    /// How a line of the log looks.
    LogFormat {
        /// One JSON object a line, for machines.
        Json = "json",
        /// For people.
        Text = "text",
    }
}

settings! {
    /// What is logged, and how it looks.
    pub struct LogConfig {
        /// How a line looks: "text" for people, "json" for machines.
        format: LogFormat = choice(), default(LogFormat::Text), at_start;
        /// Which events are logged: a level, or directives of tracing's EnvFilter such as "info,headpin::upstream=debug".
        filter: String = text(FILTER), default(FILTER.to_owned()), at_start;
        /// Whether each request and each tunnel leaves a line when it ends.
        access: bool = flag(), default(true), at_start;
    }
}
