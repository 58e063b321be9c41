//! Why a file cannot be read, and what to do about it, for the person who mounts or installs it.

use std::fs;
use std::io::{self, ErrorKind};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

/// What usually helps, in parentheses behind a space; empty where the error says enough.
pub(super) fn remedy(path: &Path, error: &io::Error) -> String {
    match error.kind() {
        ErrorKind::IsADirectory => {
            " (it is a folder, and a file is wanted; a container engine makes an empty one where the source of a mount \
             is missing)"
                .to_owned()
        }
        ErrorKind::PermissionDenied => denied(path).unwrap_or_default(),
        _ => String::new(),
    }
}

/// Who owns the file, or the nearest folder above it that can be looked at, and who wants it.
fn denied(path: &Path) -> Option<String> {
    let (seen, found) = path.ancestors().find_map(|seen| Some((seen, seen.metadata().ok()?)))?;
    // Belongs to whom this process runs as (proc_pid(5)).
    let user = fs::metadata("/proc/self").ok()?.uid();
    Some(format!(
        " ({} belongs to user {}, group {}, mode {:04o}, and headpin runs as user {user}: let that user read it)",
        seen.display(),
        found.uid(),
        found.gid(),
        found.mode() & 0o7777,
    ))
}
