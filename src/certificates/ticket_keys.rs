//! A file with ticket keys.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use headpin_tls::{TICKET_KEY, TicketKeys};
use zeroize::Zeroizing;

use crate::config::remedy;

/// Why a file of ticket keys cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TicketKeysError {
    /// It cannot be read.
    #[error("cannot read {}{}", path.display(), remedy(path, source))]
    Read {
        /// The file.
        path: PathBuf,
        /// What went wrong.
        #[source]
        source: io::Error,
    },
    /// A line is no key. What it is is not told: it may be most of one.
    #[error(
        "{}:{line}: not a ticket key; a line is the seconds since 1970 and 64 hexadecimal digits, for example of \
         `echo \"$(date +%s) $(openssl rand -hex 32)\"`",
        path.display()
    )]
    Line {
        /// The file.
        path: PathBuf,
        /// Which line, from 1.
        line: usize,
    },
    /// It has no key.
    #[error("{} has no ticket key", path.display())]
    Empty {
        /// The file.
        path: PathBuf,
    },
    /// The keys cannot be used.
    #[error("the ticket keys of {} cannot be used", path.display())]
    Unusable {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: rustls::Error,
    },
}

/// The keys in the file at `path`. Empty lines, and those that begin with #, count for nothing.
///
/// # Errors
/// [`TicketKeysError`].
pub fn ticket_keys(path: &Path) -> Result<TicketKeys, TicketKeysError> {
    let text = fs::read_to_string(path).map(Zeroizing::new);
    let text = text.map_err(|source| TicketKeysError::Read {
        path: path.into(),
        source,
    })?;
    let mut keys = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        keys.push(key(line).ok_or_else(|| TicketKeysError::Line {
            path: path.into(),
            line: index + 1,
        })?);
    }
    if keys.is_empty() {
        return Err(TicketKeysError::Empty { path: path.into() });
    }
    TicketKeys::fixed(&keys).map_err(|source| TicketKeysError::Unusable {
        path: path.into(),
        source,
    })
}

fn key(line: &str) -> Option<(u64, Zeroizing<[u8; TICKET_KEY]>)> {
    let (from, digits) = line.split_once(char::is_whitespace)?;
    let digits = digits.trim_start();
    if digits.len() != 2 * TICKET_KEY || !digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
        return None;
    }
    let mut secret = Zeroizing::new([0; TICKET_KEY]);
    for (byte, at) in secret.iter_mut().zip((0..).step_by(2)) {
        *byte = u8::from_str_radix(&digits[at..at + 2], 16).ok()?;
    }
    Some((from.parse().ok()?, secret))
}

#[cfg(test)]
mod tests {
    use rustls::server::ProducesTickets as _;

    use super::*;

    fn read(text: &str) -> Result<TicketKeys, String> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keys.txt");
        fs::write(&path, text).unwrap();
        ticket_keys(&path).map_err(|error| error.to_string().replace(&format!("{}/", folder.path().display()), ""))
    }

    #[test]
    fn the_last_key_whose_time_has_come_seals_and_all_open() {
        let [one, other] = ["01", "Ef"].map(|byte| byte.repeat(32));
        let both = read(&format!("# a comment\n\n5 {one}\n  9\t{other}\n")).unwrap();
        let [one, other] = [one, other].map(|key| read(&format!("0 {key}")).unwrap());
        let ticket = both.encrypt(b"a session").unwrap();
        assert!(other.decrypt(&ticket).is_some() && one.decrypt(&ticket).is_none());
    }

    #[test]
    fn a_line_that_is_no_key_is_named_and_not_shown() {
        let key = "ab".repeat(32);
        for wrong in [
            &key[..],
            &format!("1 {}", &key[1..]),
            &format!("1 {key}0"),
            &format!("-1 {key}"),
            &format!("1 {}x", &key[1..]),
            &format!("1 +{}", &key[1..]),
        ] {
            let said = read(&format!("1 {key}\n{wrong}\n")).unwrap_err();
            assert!(said.starts_with("keys.txt:2: not a ticket key; a line is"), "{said}");
            assert!(!said.contains(&key[..8]), "{said}");
        }
        assert_eq!(read("# none\n").unwrap_err(), "keys.txt has no ticket key");
    }
}
