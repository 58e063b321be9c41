//! Paths of files.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::Kind;
use crate::show::quote_path;
use crate::{Entry, NamedFiles, remedy};

/// See [`file()`].
#[derive(Debug, Clone)]
pub struct File {
    remedy: Option<fn(&Path) -> Option<String>>,
}

/// The path of a file; relative ones start at the folder of the text. `remedy` may say how to get one that is missing.
#[must_use]
pub fn file(remedy: Option<fn(&Path) -> Option<String>>) -> File {
    File { remedy }
}

impl Kind for File {
    type Value = PathBuf;

    fn read(&self, entry: Entry<'_>) -> Option<PathBuf> {
        let Some(text) = entry.value.as_str().filter(|text| !text.is_empty()) else {
            entry.refuse(self.accepted());
            return None;
        };
        let (folder, named_files) = entry.files();
        let path = folder.join(text);
        if named_files == NamedFiles::MustOpen
            && let Some(obstacle) = cannot_open(&path)
        {
            let is_missing = path.metadata().is_err_and(|error| error.kind() == ErrorKind::NotFound);
            let how = self.remedy.filter(|_| is_missing).and_then(|remedy| remedy(&path));
            let how = how.map(|how| format!("; {how}")).unwrap_or_default();
            entry.refuse(format_args!(
                "a file that can be read; {} {obstacle}{how}",
                path.display()
            ));
            return None;
        }
        Some(path)
    }

    fn print(&self, value: &PathBuf) -> Option<String> {
        Some(quote_path(value))
    }

    fn accepted(&self) -> String {
        "the path of a file, relative to this file's folder or absolute".to_owned()
    }

    fn schema(&self) -> Value {
        json!({ "type": "string", "minLength": 1 })
    }
}

fn cannot_open(path: &Path) -> Option<String> {
    match path.metadata() {
        // Opening a named pipe would wait for a writer, so what is no file is not opened.
        Ok(found) if !found.is_file() => Some("is not a file".to_owned()),
        Ok(_) => fs::File::open(path)
            .err()
            .map(|error| format!("cannot be opened: {error}{}", remedy(path, &error))),
        Err(error) => Some(format!("cannot be found: {error}{}", remedy(path, &error))),
    }
}
