//! A run's folder for certificates and config, gone with the run; or with the next one, if the run was killed.

use std::fs::{self, File};
use std::path::Path;

use anyhow::Context as _;
use tempfile::TempDir;

/// What the folders' names begin with.
const PREFIX: &str = "headpin-lab-";
/// Is in every folder whose lock is held: without it, another run is about to take the lock.
const LOCKED: &str = "locked";

/// A folder in the system's folder for temporary files. Dropped, it is removed.
#[derive(Debug)]
pub(super) struct RunFolder {
    folder: TempDir,
    /// An exclusive lock (flock(2)) on the folder. The kernel releases it when this process ends, however it ends.
    _lock: File,
}

impl RunFolder {
    /// Makes one, and removes those whose run is over.
    ///
    /// # Errors
    /// If there is no room for it.
    pub(super) fn make() -> anyhow::Result<Self> {
        Self::make_in(&std::env::temp_dir())
    }

    fn make_in(place: &Path) -> anyhow::Result<Self> {
        remove_abandoned(place);
        let made = || {
            let folder = tempfile::Builder::new().prefix(PREFIX).tempdir_in(place)?;
            let lock = File::open(folder.path())?;
            lock.lock()?;
            File::create(folder.path().join(LOCKED))?;
            std::io::Result::Ok(Self { folder, _lock: lock })
        };
        made().with_context(|| {
            format!(
                "no folder for the proxy's config in {}; make room there or name another with TMPDIR",
                place.display()
            )
        })
    }

    pub(super) fn path(&self) -> &Path {
        self.folder.path()
    }
}

/// Removes the folders that nobody holds. What cannot be looked at or removed is somebody else's.
fn remove_abandoned(place: &Path) {
    for entry in fs::read_dir(place).into_iter().flatten().flatten() {
        let ours = entry.file_name().to_str().is_some_and(|name| name.starts_with(PREFIX));
        let path = entry.path();
        if !ours || !entry.file_type().is_ok_and(|kind| kind.is_dir()) || !path.join(LOCKED).exists() {
            continue;
        }
        let Ok(lock) = File::open(&path) else { continue };
        if lock.try_lock().is_ok() {
            _ = fs::remove_dir_all(&path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_run_removes_what_a_killed_one_left_and_nothing_else() {
        let place = tempfile::tempdir().unwrap();
        let make = |name: &str| {
            let path = place.path().join(name);
            fs::create_dir(&path).unwrap();
            path
        };
        let (killed, beginning, foreign) = (make("headpin-lab-1"), make("headpin-lab-2"), make("other"));
        fs::write(killed.join(LOCKED), "").unwrap();
        fs::write(killed.join("key.pem"), "").unwrap();
        fs::write(foreign.join(LOCKED), "").unwrap();
        let held = RunFolder::make_in(place.path()).unwrap();
        let other = RunFolder::make_in(place.path()).unwrap();
        assert!(!killed.exists());
        assert!(beginning.exists() && foreign.exists() && held.path().exists());
        let path = other.path().to_owned();
        drop(other);
        assert!(!path.exists() && held.path().exists());
    }
}
