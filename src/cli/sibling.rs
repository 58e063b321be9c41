//! The other program of this project: the proxy and its laboratory find each other.

use std::env;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};

/// The program is not installed.
#[derive(Debug, thiserror::Error)]
#[error(
    "the program {name} is neither beside this one nor on PATH: `cargo build --release` makes both, \
     `cargo install --path {folder}` puts it on PATH"
)]
pub struct Missing {
    name: String,
    /// The folder of its package in the sources.
    folder: &'static str,
}

/// The program `name` beside the one that runs, if it is there.
#[must_use]
pub fn beside(name: &str) -> Option<PathBuf> {
    let running = env::current_exe().ok()?;
    in_folder(running.parent()?, name)
}

/// The program `name` beside the one that runs, else on `PATH`.
///
/// # Errors
/// [`Missing`], if it is in neither place.
pub fn find(name: &str) -> Result<PathBuf, Missing> {
    let on_path = |path: &OsStr| env::split_paths(path).find_map(|folder| in_folder(&folder, name));
    let found = beside(name).or_else(|| on_path(&env::var_os("PATH")?));
    found.ok_or_else(|| {
        let folder = if name == "headpin" { "." } else { "crates/lab" };
        Missing {
            name: name.to_owned(),
            folder,
        }
    })
}

fn in_folder(folder: &Path, name: &str) -> Option<PathBuf> {
    let path = folder.join(name);
    path.is_file().then_some(path)
}
