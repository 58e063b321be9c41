//! Why a file cannot be read or written, and what to do about it, for the person who mounts or installs it.

use std::fs;
use std::io::{self, ErrorKind};
use std::os::unix::fs::MetadataExt as _;
use std::path::{self, Path};

/// What usually helps to read `path`, in parentheses behind a space; empty where the error says enough.
#[must_use]
pub fn remedy(path: &Path, error: &io::Error) -> String {
    match error.kind() {
        ErrorKind::NotFound => missing(path).unwrap_or_default(),
        ErrorKind::IsADirectory => {
            " (it is a folder, and a file is wanted; a container engine makes an empty one where the source of a mount \
             is missing)"
                .to_owned()
        }
        ErrorKind::PermissionDenied => denied(path, "read it").unwrap_or_default(),
        _ => String::new(),
    }
}

/// The same for writing it.
#[must_use]
pub fn write_remedy(path: &Path, error: &io::Error) -> String {
    match error.kind() {
        ErrorKind::PermissionDenied => denied(path, "write there").unwrap_or_default(),
        ErrorKind::ReadOnlyFilesystem => {
            " (in a container with a read-only root, name a folder of a mounted volume)".to_owned()
        }
        _ => String::new(),
    }
}

/// Whether it is the folder that is missing, which is how a forgotten mount looks.
fn missing(path: &Path) -> Option<String> {
    let path = path::absolute(path).ok()?;
    let folder = path.parent()?;
    let shown = folder.display();
    match fs::read_dir(folder) {
        Ok(mut entries) => entries.next().is_none().then(|| {
            format!(" (the folder {shown} is empty; if it is a mount, its source is not the one that was meant)")
        }),
        Err(error) if error.kind() == ErrorKind::NotFound => Some(format!(
            " (there is no folder {shown}; for a container it has to be mounted)"
        )),
        Err(_) => None,
    }
}

/// Who owns the file, or the nearest folder above it that can be looked at, and who wants it.
fn denied(path: &Path, what: &str) -> Option<String> {
    let path = path::absolute(path).ok()?;
    let (seen, found) = path.ancestors().find_map(|seen| Some((seen, seen.metadata().ok()?)))?;
    // Belongs to whom this process runs as (proc_pid(5)).
    let user = fs::metadata("/proc/self").ok()?.uid();
    Some(format!(
        " ({} belongs to user {}, group {}, mode {:04o}, and headpin runs as user {user}: let that user {what})",
        seen.display(),
        found.uid(),
        found.gid(),
        found.mode() & 0o7777,
    ))
}
