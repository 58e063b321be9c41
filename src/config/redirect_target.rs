//! Where a redirect goes.

use std::fmt;
use std::str::FromStr;

use http::Uri;

/// A URL of http or https, or a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RedirectTarget {
    text: String,
    /// It ends with its host, so the path and the query of a request follow.
    takes_path: bool,
}

/// The text is not a URL.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("it is not a URL of http or https, and not a path")]
pub struct InvalidRedirect;

impl RedirectTarget {
    /// Where a request for `path_and_query` is sent.
    #[must_use]
    pub fn location(&self, path_and_query: &str) -> String {
        match self.takes_path {
            true => format!("{}{path_and_query}", self.text),
            false => self.text.clone(),
        }
    }
}

impl Default for RedirectTarget {
    fn default() -> Self {
        Self {
            text: "/".to_owned(),
            takes_path: false,
        }
    }
}

impl FromStr for RedirectTarget {
    type Err = InvalidRedirect;

    fn from_str(text: &str) -> Result<Self, InvalidRedirect> {
        let uri: Uri = text.parse().map_err(|_| InvalidRedirect)?;
        let takes_path = match (uri.scheme_str(), uri.authority()) {
            (Some("http" | "https"), Some(authority)) if !authority.as_str().contains('@') => {
                text.ends_with(authority.as_str())
            }
            // Two slashes would be another host.
            (None, None) if text.starts_with('/') && !text.starts_with("//") => false,
            _ => return Err(InvalidRedirect),
        };
        Ok(Self {
            text: text.to_owned(),
            takes_path,
        })
    }
}

impl fmt::Display for RedirectTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_path_of_a_request_follows_a_bare_host() {
        let location = |to: &str| to.parse::<RedirectTarget>().unwrap().location("/a?b");
        assert_eq!(location("https://new.test"), "https://new.test/a?b");
        assert_eq!(location("https://new.test:8443"), "https://new.test:8443/a?b");
        assert_eq!(location("https://new.test/"), "https://new.test/");
        assert_eq!(location("/login"), "/login");
    }

    #[test]
    fn what_is_not_a_url_is_refused() {
        for text in [
            "",
            "new.test",
            "//new.test",
            "ftp://new.test",
            "https://u@new.test",
            "https://a b",
            "*",
        ] {
            assert_eq!(text.parse::<RedirectTarget>(), Err(InvalidRedirect), "{text:?}");
        }
    }
}
