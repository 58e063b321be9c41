//! Where a successor comes to.

use std::env;
use std::path::PathBuf;
use std::str::FromStr;
use std::{error, fmt};

/// Of a path, in bytes: what the address of a unix socket takes (unix(7)), less room for the number of a process behind it.
const LONGEST: usize = 96;
/// In the folder that the service manager makes for the service.
const NAME: &str = "handover.sock";
/// Names that folder (systemd.exec(5)).
const FOLDER: &str = "RUNTIME_DIRECTORY";

/// Where a successor comes to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum HandoverSocket {
    /// To a socket in the service's own folder, if it has one.
    #[default]
    Auto,
    /// Nowhere, but for one that headpin starts itself.
    Off,
    /// To this socket.
    At(PathBuf),
}

/// The text says nothing of the kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InvalidHandoverSocket;

impl fmt::Display for InvalidHandoverSocket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "it is neither \"auto\" nor \"off\", nor an absolute path of at most {LONGEST} bytes"
        )
    }
}

impl error::Error for InvalidHandoverSocket {}

impl HandoverSocket {
    /// The path of the socket, if there is one. "auto" asks the environment.
    #[must_use]
    pub fn path(&self) -> Option<PathBuf> {
        match self {
            Self::Off => None,
            Self::At(path) => Some(path.clone()),
            Self::Auto => {
                let folders = env::var_os(FOLDER)?;
                // There may be several.
                let first = env::split_paths(&folders).find(|folder| folder.is_absolute())?;
                Some(first.join(NAME))
            }
        }
    }
}

impl FromStr for HandoverSocket {
    type Err = InvalidHandoverSocket;

    fn from_str(text: &str) -> Result<Self, InvalidHandoverSocket> {
        match text {
            "auto" => Ok(Self::Auto),
            "off" => Ok(Self::Off),
            path if path.starts_with('/') && path.len() <= LONGEST => Ok(Self::At(path.into())),
            _ => Err(InvalidHandoverSocket),
        }
    }
}

impl fmt::Display for HandoverSocket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => f.write_str("auto"),
            Self::Off => f.write_str("off"),
            Self::At(path) => path.display().fmt(f),
        }
    }
}
