//! Reports when the content of files has changed.
//!
//! What is watched are the *folders* of the files: an editor that writes a new file and renames it over the old one,
//! and Kubernetes, which swaps the symlink `..data` beside the mounted files, leave a watch on the file itself behind.
//! A folder has many events that are not about our files, so every burst of events ends in a look at their content.
//!
//! Not seen: a folder that is itself replaced, and writing in place to a symlink's target in another folder.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use notify::event::{AccessKind, AccessMode};
use notify::{EventKind, RecommendedWatcher, RecursiveMode, Watcher};

/// Events with less than this between them are one burst: a writer is still at it.
const BURST_PAUSE: Duration = Duration::from_millis(100);

/// So many pauses at most are waited for, so that a folder that is never quiet cannot hide a change.
const MAX_BURST_PAUSES: usize = 10;

/// Why files cannot be watched.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WatchError {
    /// The system gives no watcher: usually its limit of inotify instances is reached.
    #[error("cannot start watching files")]
    Start {
        /// What the system says.
        source: notify::Error,
    },
    /// A folder cannot be watched: usually it is not there, or the limit of inotify watches is reached.
    #[error("cannot watch the folder {}", folder.display())]
    Folder {
        /// The folder.
        folder: PathBuf,
        /// What the system says.
        source: notify::Error,
    },
    /// The thread that waits for events could not be started.
    #[error("cannot start the thread that watches files")]
    Thread {
        /// What the system says.
        source: io::Error,
    },
}

/// Calls `on_change` when the content of one of the `paths` has become another than it was at the last look: once for a
/// burst of changes, on a thread of its own. A file that is gone has not changed, it is expected back.
///
/// The first look is `seen`, from before the files were read; so a change that came while they were read, or while an earlier
/// watch ended, is not lost. Files that are not in it are looked at now.
///
/// # Errors
///
/// The folder of a file cannot be watched, or the system has no watch or thread left to give.
pub fn watch(paths: &[PathBuf], seen: Contents, on_change: impl Fn() + Send + 'static) -> Result<Watch, WatchError> {
    let (tell_event, events) = mpsc::channel();
    let (stop, stopped) = mpsc::channel();
    let mut watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
        // An error means that events may be lost: a reason to look.
        if event.is_ok_and(|event| is_only_reading(event.kind)) {
            return;
        }
        // Fails only after the end of the thread, when no one wants to know.
        let _ = tell_event.send(());
    })
    .map_err(|source| WatchError::Start { source })?;
    for folder in folders(paths) {
        let watching = watcher.watch(&folder, RecursiveMode::NonRecursive);
        watching.map_err(|source| WatchError::Folder { folder, source })?;
    }
    // This look comes after the watches are set, so that nothing slips in between.
    let mut contents = seen.of(paths);
    let changed_before = contents.have_changed();
    let thread = thread::Builder::new()
        .name("config-watch".to_owned())
        .spawn(move || {
            if changed_before {
                on_change();
            }
            call_on_change(&events, &stopped, contents, on_change);
        })
        .map_err(|source| WatchError::Thread { source })?;
    Ok(Watch {
        watcher: Some(watcher),
        stop: Some(stop),
        thread: Some(thread),
    })
}

/// Files being watched. Dropping it ends that: once it is gone, `on_change` is not called any more, and a call in
/// progress has returned.
#[derive(Debug)]
#[must_use = "dropping it ends the watching"]
pub struct Watch {
    /// `Some` until dropped, and so are the others.
    watcher: Option<RecommendedWatcher>,
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Drop for Watch {
    fn drop(&mut self) {
        // The thread waits on both channels: on this one within a burst, else on the watcher's.
        self.stop.take();
        self.watcher.take();
        let Some(thread) = self.thread.take() else { return };
        // `on_change` may own the watch: a thread cannot wait for itself, and ends when `on_change` returns.
        if thread.thread().id() != thread::current().id() && thread.join().is_err() {
            tracing::error!("the thread that watches files has panicked");
        }
    }
}

/// Runs until `stopped` or `events` has lost its sender.
fn call_on_change(events: &Receiver<()>, stopped: &Receiver<()>, mut contents: Contents, on_change: impl Fn()) {
    while events.recv().is_ok() {
        for _ in 0..MAX_BURST_PAUSES {
            if stopped.recv_timeout(BURST_PAUSE) == Err(RecvTimeoutError::Disconnected) {
                return;
            }
            if events.try_iter().count() == 0 {
                break;
            }
        }
        if contents.have_changed() {
            on_change();
        }
    }
}

/// The content of each file when it could last be read.
#[derive(Debug, Clone, Default)]
pub struct Contents {
    files: Vec<(PathBuf, Option<Vec<u8>>)>,
}

impl Contents {
    /// Those of `paths`, now.
    #[must_use]
    pub fn look(paths: &[PathBuf]) -> Self {
        Self {
            files: paths.iter().map(|path| (path.clone(), fs::read(path).ok())).collect(),
        }
    }

    /// Those of `paths`: as they were, or as they are now where they were not looked at.
    fn of(self, paths: &[PathBuf]) -> Self {
        let mut now = Self::look(paths);
        for (path, content) in self.files {
            if let Some(file) = now.files.iter_mut().find(|(other, _)| *other == path) {
                file.1 = content;
            }
        }
        now
    }

    /// Looks again, at every file.
    fn have_changed(&mut self) -> bool {
        let mut changed = false;
        for (path, last) in &mut self.files {
            if let Ok(now) = fs::read(path)
                && last.as_ref() != Some(&now)
            {
                *last = Some(now);
                changed = true;
            }
        }
        changed
    }
}

fn folders(paths: &[PathBuf]) -> BTreeSet<PathBuf> {
    let folder_of = |path: &PathBuf| match path.parent() {
        Some(folder) if folder != Path::new("") => folder.to_owned(),
        _ => PathBuf::from("."),
    };
    paths.iter().map(folder_of).collect()
}

/// Our own looks cause events too; to look because of those would never end.
fn is_only_reading(kind: EventKind) -> bool {
    matches!(kind, EventKind::Access(access) if access != AccessKind::Close(AccessMode::Write))
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::sync::{Arc, Mutex};

    use tempfile::TempDir;

    use super::*;

    /// How long a change that must come is waited for.
    const PATIENCE: Duration = Duration::from_secs(30);

    fn folder_with(name: &str, content: &str) -> (TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(name);
        fs::write(&path, content).unwrap();
        (folder, path)
    }

    fn watch_into_channel(path: &Path) -> (Watch, Receiver<()>) {
        let (changed, changes) = mpsc::channel();
        let watch = watch(&[path.to_owned()], Contents::default(), move || {
            changed.send(()).unwrap_or_default()
        })
        .unwrap();
        (watch, changes)
    }

    #[test]
    fn writing_in_place_is_seen_each_time() {
        let (_folder, path) = folder_with("headpin.toml", "old");
        let (_watch, changes) = watch_into_channel(&path);
        for content in ["new", "newer"] {
            fs::write(&path, content).unwrap();
            changes.recv_timeout(PATIENCE).unwrap();
        }
    }

    #[test]
    fn a_change_since_the_first_look_is_reported_at_once() {
        let (_folder, path) = folder_with("headpin.toml", "read");
        let seen = Contents::look(std::slice::from_ref(&path));
        // While that was put in force, nobody watched.
        fs::write(&path, "written meanwhile").unwrap();
        let (changed, changes) = mpsc::channel();
        let _watch = watch(&[path], seen, move || changed.send(()).unwrap_or_default()).unwrap();
        changes.recv_timeout(PATIENCE).expect("the change is reported");
    }

    #[test]
    fn renaming_over_the_file_is_seen() {
        let (folder, path) = folder_with("headpin.toml", "old");
        let (_watch, changes) = watch_into_channel(&path);
        for content in ["new", "newer"] {
            let written = folder.path().join(".headpin.toml.swp");
            fs::write(&written, content).unwrap();
            fs::rename(&written, &path).unwrap();
            changes.recv_timeout(PATIENCE).unwrap();
        }
    }

    #[cfg(unix)]
    #[test]
    fn swapping_the_symlink_of_a_mounted_folder_is_seen() {
        use std::os::unix::fs::symlink;

        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        for (version, content) in [("..1", "old"), ("..2", "new")] {
            fs::create_dir(at(version)).unwrap();
            fs::write(at(version).join("headpin.toml"), content).unwrap();
        }
        symlink("..1", at("..data")).unwrap();
        symlink("..data/headpin.toml", at("headpin.toml")).unwrap();
        let (_watch, changes) = watch_into_channel(&at("headpin.toml"));

        symlink("..2", at("..data_tmp")).unwrap();
        fs::rename(at("..data_tmp"), at("..data")).unwrap();
        changes.recv_timeout(PATIENCE).unwrap();
    }

    #[test]
    fn only_a_file_with_other_content_has_changed() {
        let (_folder, path) = folder_with("headpin.toml", "old");
        let mut contents = Contents::look(std::slice::from_ref(&path));
        assert!(!contents.have_changed());
        fs::write(&path, "old").unwrap();
        assert!(!contents.have_changed(), "written with the same content");
        fs::remove_file(&path).unwrap();
        assert!(!contents.have_changed(), "gone");
        fs::write(&path, "old").unwrap();
        assert!(!contents.have_changed(), "back with the same content");
        fs::write(&path, "new").unwrap();
        assert!(contents.have_changed());
        assert!(!contents.have_changed(), "reported before");
    }

    #[test]
    fn a_burst_of_events_is_one_change() {
        let (_folder, path) = folder_with("headpin.toml", "old");
        let contents = Contents::look(std::slice::from_ref(&path));
        fs::write(&path, "new").unwrap();
        let (tell_event, events) = mpsc::channel();
        for _ in 0..5 {
            tell_event.send(()).unwrap();
        }
        drop(tell_event);
        let (_stop, stopped) = mpsc::channel();
        let calls = Cell::new(0);
        call_on_change(&events, &stopped, contents, || calls.set(calls.get() + 1));
        assert_eq!(calls.get(), 1);
    }

    #[test]
    fn dropping_the_watch_ends_it() {
        let (_folder, path) = folder_with("headpin.toml", "old");
        let (watch, changes) = watch_into_channel(&path);
        drop(watch);
        assert_eq!(
            changes.try_recv(),
            Err(mpsc::TryRecvError::Disconnected),
            "on_change is still owned"
        );
    }

    #[test]
    fn the_watch_may_be_dropped_by_what_it_calls() {
        let (_folder, path) = folder_with("headpin.toml", "old");
        let (changed, changes) = mpsc::channel();
        let owner: Arc<Mutex<Option<Watch>>> = Arc::default();
        let owned = Arc::clone(&owner);
        let on_change = move || {
            drop(owned.lock().unwrap().take());
            changed.send(()).unwrap();
        };
        *owner.lock().unwrap() = Some(watch(std::slice::from_ref(&path), Contents::default(), on_change).unwrap());
        fs::write(&path, "new").unwrap();
        changes.recv_timeout(PATIENCE).unwrap();
        assert_eq!(changes.recv_timeout(PATIENCE), Err(RecvTimeoutError::Disconnected));
    }

    #[test]
    fn a_folder_that_is_not_there_is_told_by_name() {
        let error = watch(&[PathBuf::from("no/such/headpin.toml")], Contents::default(), || ()).unwrap_err();
        assert_eq!(error.to_string(), "cannot watch the folder no/such");
    }

    #[test]
    fn a_file_without_a_folder_is_in_the_working_directory() {
        assert_eq!(
            folders(&[PathBuf::from("headpin.toml")]),
            BTreeSet::from([PathBuf::from(".")])
        );
    }
}
