//! What can be wrong with a configuration file, said so that the reader can put it right.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use super::line::line_of;
use super::obstacle::remedy;

/// Why a configuration file was not taken. All but [`Read`](Self::Read) are the file author's to mend.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// The file could not be read: usually a wrong path or missing permission.
    #[error("cannot read {}{}", path.display(), remedy(path, source))]
    Read {
        /// The file.
        path: PathBuf,
        /// What the operating system says.
        source: io::Error,
    },
    /// The file is not TOML, so that its keys cannot be told apart.
    #[error("{}:{line}: {message}", path.display())]
    Syntax {
        /// The file.
        path: PathBuf,
        /// The line of the first place that is not TOML, from 1.
        line: usize,
        /// What is wrong there and how to write it.
        message: String,
    },
    /// The file is TOML, but some of its keys or values are not accepted.
    #[error("{}", OneLineEach { path, faults })]
    Faults {
        /// The file.
        path: PathBuf,
        /// Every fault of the file, by line; never empty.
        faults: Vec<Fault>,
    },
}

/// One thing that is wrong in a file.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Fault {
    /// The line in the file, from 1; for what is missing, where it belongs.
    pub line: usize,
    /// The dotted key, with the index of an array's item: `tls.certificates[0].cert`.
    pub key: String,
    /// The value as written in the file, shortened to one line; empty if there is none to show.
    pub value: String,
    /// What is wrong with it and what is accepted.
    pub problem: String,
}

/// Prints all but the file: `12: http.header_timeout = "10 bananas": accepted is ...`.
impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            line,
            key,
            value,
            problem,
        } = self;
        match value.as_str() {
            "" => write!(f, "{line}: {key}: {problem}"),
            value => write!(f, "{line}: {key} = {value}: {problem}"),
        }
    }
}

struct OneLineEach<'a> {
    path: &'a Path,
    faults: &'a [Fault],
}

impl fmt::Display for OneLineEach<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, fault) in self.faults.iter().enumerate() {
            let separator = if index == 0 { "" } else { "\n" };
            write!(f, "{separator}{}:{fault}", self.path.display())?;
        }
        Ok(())
    }
}

/// The TOML parser's complaint, with its line and with the remedy for the usual slip.
pub(super) fn syntax(path: &Path, text: &str, error: &toml::de::Error) -> ConfigError {
    let line = error.span().map_or(1, |span| line_of(text, span.start));
    let message = error.message().replace('\n', "; ");
    let remedy = if message.contains("duplicate key") {
        "keep one of the two"
    } else {
        r#"accepted is TOML: key = value, with text, durations and sizes in double quotes, as in key = "10s""#
    };
    ConfigError::Syntax {
        path: path.to_owned(),
        line,
        message: format!("{message}; {remedy}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    fn told(text: &str) -> String {
        Config::parse(text, Path::new("config/headpin.toml"))
            .unwrap_err()
            .to_string()
    }

    #[test]
    fn all_faults_of_a_file_are_told_at_once_by_line() {
        let text = r#"head_policy = "pin"
[http]
max_requests = -5
header_timeout = "10 bananas"
[server]
listen = 8443
[upstream]
servers = ["http://a", "http://a:80", "ftp://b"]
[tls]
certificates = [{ cert = "c", key = "k" }]
"#;
        assert_eq!(
            told(text),
            r#"config/headpin.toml:3: http.max_requests = -5: accepted is a whole number from 1 to 1073741824
config/headpin.toml:4: http.header_timeout = "10 bananas": accepted is a duration such as "500ms", "10s", "5m", "1h"
config/headpin.toml:6: server.listen = 8443: accepted is an IP address and port such as "127.0.0.1:8443" or "[::1]:8443"
config/headpin.toml:8: upstream.servers[1] = "http://a:80": accepted is each server once; http://a:80 is listed before
config/headpin.toml:8: upstream.servers[2] = "ftp://b": accepted is a URL such as "http://host:port" or "https://host:port", without a path"#
        );
    }

    #[test]
    fn what_is_not_toml_is_told_with_line_and_remedy() {
        let remedy =
            r#"accepted is TOML: key = value, with text, durations and sizes in double quotes, as in key = "10s""#;
        for (text, line) in [
            ("[http]\nheader_timeout = 10s\n", 2),
            ("a = \"b\n", 1),
            ("[http\n", 1),
            ("\n\na b\n", 3),
        ] {
            let told = told(text);
            assert!(told.starts_with(&format!("config/headpin.toml:{line}: ")), "{told}");
            assert!(told.ends_with(remedy) && !told.contains('\n'), "{told}");
        }
        assert_eq!(
            told("[log]\naccess = true\naccess = false\n"),
            "config/headpin.toml:3: duplicate key; keep one of the two"
        );
    }
}
