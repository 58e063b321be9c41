//! The path of a request as a server will understand it (RFC 3986 section 6.2.2).

use std::borrow::Cow;

use crate::config::is_unreserved;

/// The path of a request in its normal form, and in the form that a server sees which decodes more than it should.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct NormalPath<'p> {
    /// Without dot segments, and with nothing encoded that need not be.
    pub(super) strict: Cow<'p, str>,
    /// Also with encoded slashes, backslashes and empty segments taken for what some servers take them; `None` if that is the
    /// same.
    pub(super) lax: Option<String>,
}

/// The path leads above its root.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct AboveRoot;

impl<'p> NormalPath<'p> {
    /// Of `path`, which begins with a slash or is `*`.
    pub(super) fn of(path: &'p str) -> Result<Self, AboveRoot> {
        let is_plain = !path.contains(['%', '\\']) && !path.contains("//") && !path.contains("/.");
        if is_plain {
            return Ok(Self {
                strict: Cow::Borrowed(path),
                lax: None,
            });
        }
        let decoded = decode_unreserved(path);
        let strict = without_dots(&decoded)?;
        let slashes = decoded.replace("%2F", "/").replace("%5C", "/").replace('\\', "/");
        let lax = merge_slashes(&without_dots(&merge_slashes(&slashes))?);
        Ok(Self {
            lax: (lax != strict).then_some(lax),
            strict: Cow::Owned(strict),
        })
    }
}

/// Decodes what means the same encoded or not, and writes the rest in capitals.
fn decode_unreserved(path: &str) -> String {
    let mut normal = String::with_capacity(path.len());
    let mut rest = path;
    while let Some(at) = rest.find('%') {
        normal.push_str(&rest[..at]);
        let digits = rest
            .get(at + 1..at + 3)
            .filter(|digits| digits.bytes().all(|b| b.is_ascii_hexdigit()));
        let Some(digits) = digits else {
            // A percent sign on its own is forwarded as it is.
            normal.push('%');
            rest = &rest[at + 1..];
            continue;
        };
        match u8::from_str_radix(digits, 16) {
            Ok(byte) if is_unreserved(byte) => normal.push(char::from(byte)),
            _ => {
                normal.push('%');
                normal.push_str(&digits.to_ascii_uppercase());
            }
        }
        rest = &rest[at + 3..];
    }
    normal.push_str(rest);
    normal
}

/// Section 5.2.4, but that a path above the root is an error.
fn without_dots(path: &str) -> Result<String, AboveRoot> {
    let mut segments: Vec<&str> = Vec::new();
    let mut ends_in_folder = false;
    for segment in path.split('/').skip(1) {
        ends_in_folder = matches!(segment, "." | "..");
        match segment {
            "." => {}
            ".." => drop(segments.pop().ok_or(AboveRoot)?),
            segment => segments.push(segment),
        }
    }
    let slash = if ends_in_folder { "/" } else { "" };
    let joined = segments.join("/");
    Ok(match joined.is_empty() {
        true if segments.len() <= 1 => "/".to_owned(),
        _ => format!("/{joined}{slash}"),
    })
}

fn merge_slashes(path: &str) -> String {
    let mut merged = String::with_capacity(path.len());
    for char in path.chars() {
        if char != '/' || !merged.ends_with('/') {
            merged.push(char);
        }
    }
    merged
}

#[cfg(test)]
mod tests {
    use super::*;

    fn normal(path: &str) -> Result<(String, Option<String>), AboveRoot> {
        NormalPath::of(path).map(|path| (path.strict.into_owned(), path.lax))
    }

    #[test]
    fn a_path_is_brought_to_its_normal_form() {
        for (path, strict) in [
            ("/", "/"),
            ("/a/b", "/a/b"),
            ("/%61/%7Eb", "/a/~b"),
            ("/%c3%a4", "/%C3%A4"),
            ("/a/./b", "/a/b"),
            ("/a/../b", "/b"),
            ("/a/%2e%2E/b", "/b"),
            ("/a/..", "/"),
            ("/a/b/..", "/a/"),
            ("/a/.", "/a/"),
            ("/.", "/"),
            ("/a/.b", "/a/.b"),
            ("/100%", "/100%"),
            ("/%zz", "/%zz"),
        ] {
            assert_eq!(normal(path), Ok((strict.to_owned(), None)), "{path}");
        }
    }

    #[test]
    fn what_some_servers_take_for_a_slash_is_another_form() {
        for (path, strict, lax) in [
            ("/a%2fb", "/a%2Fb", "/a/b"),
            ("/a%5Cb", "/a%5Cb", "/a/b"),
            ("/a\\b", "/a\\b", "/a/b"),
            ("//a", "//a", "/a"),
            ("/a//b", "/a//b", "/a/b"),
            ("/a/..%2Fb", "/a/..%2Fb", "/b"),
            ("/a//../b", "/a/b", "/b"),
        ] {
            assert_eq!(normal(path), Ok((strict.to_owned(), Some(lax.to_owned()))), "{path}");
        }
    }

    #[test]
    fn a_path_above_its_root_is_refused() {
        for path in ["/..", "/a/../..", "/%2e%2e/a", "/..%2f", "/a/..%2f..%2fb"] {
            assert_eq!(normal(path), Err(AboveRoot), "{path}");
        }
    }
}
