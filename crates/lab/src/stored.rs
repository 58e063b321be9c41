//! Results as files: a JSON for programs, a page for people. What was measured is not lost for want of a place.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde_json::Value;
use tempfile::NamedTempFile;

use super::report;
use super::result::LabResult;

/// The shape of a result's JSON. To be raised when an older headpin's result cannot be read any more, or would be
/// misunderstood.
pub const FORMAT: u64 = 1;

/// Why a result cannot be kept or used. Unless said otherwise, the user's fault.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoredError {
    /// Nothing can be written there. Told before a run begins.
    #[error("cannot write {}; name a folder that can be written with --out", path.display())]
    Place {
        /// The file or folder.
        path: PathBuf,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
    /// The place went away during the run, or its disk is full. Not the user's fault.
    #[error("cannot write {}; {}", path.display(), rescued(kept.as_deref()))]
    Lost {
        /// The file.
        path: PathBuf,
        /// Where the result is instead, if there was another place.
        kept: Option<PathBuf>,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
    /// There is no such file, or it may not be read.
    #[error("cannot read {}; name a JSON that `headpin lab run` has written", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
    /// It is something else.
    #[error("{} is no result of the lab ({why}); name a JSON that `headpin lab run` has written", path.display())]
    NoResult {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// It was written by a headpin whose results are of another shape.
    #[error(
        "{} was written by headpin {version} in format {format}, and this is headpin {} with format {FORMAT}; run the \
         scenario again, or use the headpin that wrote it (commit {commit})",
        path.display(),
        env!("CARGO_PKG_VERSION")
    )]
    Format {
        /// The file.
        path: PathBuf,
        /// Which headpin wrote it.
        version: String,
        /// From which commit it was built.
        commit: String,
        /// Its format; 0 before there was a number.
        format: u64,
    },
    /// Two results that have nothing to be compared.
    #[error("A is a result of {a} and B of {b}: only results of the same scenario can be compared")]
    Scenarios {
        /// The first one's scenario.
        a: String,
        /// The other one's.
        b: String,
    },
    /// It cannot be drawn or written as JSON. A bug.
    #[error("the result cannot be shown")]
    Shown(#[source] anyhow::Error),
}

fn rescued(kept: Option<&Path>) -> String {
    kept.map_or_else(
        || "the result is lost".to_owned(),
        |kept| format!("the result is kept in {}", kept.display()),
    )
}

/// Where a result goes to.
#[derive(Clone, Debug)]
pub struct Destination {
    /// The JSON.
    pub json: PathBuf,
    /// The page.
    pub page: PathBuf,
}

impl Destination {
    /// Files named `name` in `folder`, which is made. Writes nothing yet, but tries whether it could.
    ///
    /// # Errors
    /// [`StoredError::Place`].
    pub fn prepare(folder: &Path, name: &str) -> Result<Self, StoredError> {
        let refused = |path: &Path| {
            let path = path.to_owned();
            move |source| StoredError::Place { path, source }
        };
        fs::create_dir_all(folder).map_err(refused(folder))?;
        NamedTempFile::new_in(folder).map_err(refused(folder))?;
        let json = folder.join(format!("{name}.json"));
        let page = json.with_extension("html");
        for path in [&json, &page] {
            if path.is_dir() {
                return Err(refused(path)(std::io::ErrorKind::IsADirectory.into()));
            }
        }
        Ok(Self { json, page })
    }

    /// Where a result that is not complete goes to: it replaces none that is.
    fn of_partial(&self) -> Self {
        Self {
            json: self.json.with_extension("partial.json"),
            page: self.page.with_extension("partial.html"),
        }
    }

    /// Writes both, each whole or not at all, and says where. If the JSON cannot be written there, it is kept in the system's folder for
    /// temporary files.
    ///
    /// # Errors
    /// [`StoredError::Lost`], which says where the result is.
    pub fn write(&self, result: &LabResult) -> Result<Self, StoredError> {
        let to = if result.partial {
            self.of_partial()
        } else {
            self.clone()
        };
        let json = to_json(result)?;
        replace(&to.json, &json).map_err(|source| StoredError::Lost {
            path: to.json.clone(),
            kept: keep_elsewhere(&json),
            source,
        })?;
        let page = report::html(result).map_err(StoredError::Shown)?;
        replace(&to.page, &page).map_err(|source| StoredError::Lost {
            path: to.page.clone(),
            kept: Some(to.json.clone()),
            source,
        })?;
        Ok(to)
    }
}

/// A result as it stands in its file.
///
/// # Errors
/// [`StoredError::Shown`].
pub fn to_json(result: &LabResult) -> Result<String, StoredError> {
    #[derive(Serialize)]
    struct Stored<'a> {
        format: u64,
        #[serde(flatten)]
        result: &'a LabResult,
    }
    let stored = Stored { format: FORMAT, result };
    let json = serde_json::to_string_pretty(&stored).map_err(|error| StoredError::Shown(error.into()))?;
    Ok(json + "\n")
}

/// Reads a result.
///
/// # Errors
/// If there is none, or none that this headpin understands.
pub fn read(path: &Path) -> Result<LabResult, StoredError> {
    let text = fs::read_to_string(path).map_err(|source| StoredError::Read {
        path: path.to_owned(),
        source,
    })?;
    let no_result = |why: String| StoredError::NoResult {
        path: path.to_owned(),
        why,
    };
    let value: Value = serde_json::from_str(&text).map_err(|error| no_result(error.to_string()))?;
    if !value["scenario"].is_string() || !value["runs"].is_array() {
        return Err(no_result("it has no scenario and no runs".to_owned()));
    }
    let format = value["format"].as_u64().unwrap_or(0);
    if format != FORMAT {
        let of_machine = |key: &str| value["machine"][key].as_str().unwrap_or("unknown").to_owned();
        return Err(StoredError::Format {
            path: path.to_owned(),
            version: of_machine("version"),
            commit: of_machine("commit"),
            format,
        });
    }
    serde_json::from_value(value).map_err(|error| no_result(error.to_string()))
}

/// Why a comparison of two results should not be believed as it stands.
///
/// # Errors
/// [`StoredError::Scenarios`].
pub fn comparable(a: &LabResult, b: &LabResult) -> Result<Vec<String>, StoredError> {
    if a.scenario != b.scenario {
        return Err(StoredError::Scenarios {
            a: a.scenario.clone(),
            b: b.scenario.clone(),
        });
    }
    let partial = [("A", a), ("B", b)].into_iter().filter(|(_, result)| result.partial);
    let mut doubts: Vec<String> = partial
        .map(|(name, _)| format!("{name} is partial: its run ended early, and what is missing shows as a difference"))
        .collect();
    let build = |result: &LabResult| format!("headpin {} {}", result.machine.version, result.machine.commit);
    if build(a) != build(b) {
        doubts.push(format!("A is of {}, B of {}", build(a), build(b)));
    }
    Ok(doubts)
}

/// Writes a file in place of the one that is there, whole or not at all.
///
/// # Errors
/// What the kernel says; the old file is as it was.
pub fn replace(path: &Path, text: &str) -> std::io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    let mut file = tempfile::Builder::new()
        .permissions(fs::Permissions::from_mode(0o666))
        .tempfile_in(folder.unwrap_or_else(|| Path::new(".")))?;
    file.write_all(text.as_bytes())?;
    file.persist(path)?;
    Ok(())
}

fn keep_elsewhere(json: &str) -> Option<PathBuf> {
    let mut file = tempfile::Builder::new()
        .prefix("headpin-result-")
        .suffix(".json")
        .tempfile()
        .ok()?;
    file.write_all(json.as_bytes()).ok()?;
    file.keep().ok().map(|(_, path)| path)
}
