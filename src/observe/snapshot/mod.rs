//! A V8 heap snapshot of this process: slabs, who keeps them, and what else there is. Chrome's DevTools and memlab open it.
//!
//! ```text
//!  rows ──► model ──► graph ──► write ──► text, piece by piece
//!  a census   names, ids  counted,  nothing of
//!             sizes       sorted    it is kept
//! ```
//!
//! A worker lists rows ([`WorkerRows`](super::census::WorkerRows)) between two polls; everything else is done elsewhere. The counts stand first in the
//! file, so the graph is complete before the first byte is written; it takes some 350 bytes a connection, 1,200 with
//! properties, until it is dropped, and the text is never in memory as a whole. `docs/heapsnapshot.md` explains the graph, the
//! format and its traps.

mod connections;
mod graph;
mod ids;
mod model;
mod overhead;
mod write;

#[cfg(test)]
mod tests;

use write::Text;

pub use ids::Ids;
pub use model::{Census, DETAILED, Mismatches};
pub use overhead::Overhead;

/// A snapshot that is ready to be read, piece by piece.
#[derive(Debug)]
pub struct Snapshot {
    text: Text,
    ids: Ids,
    mismatches: Mismatches,
}

impl Snapshot {
    /// Of a census, with the ids that the objects of earlier snapshots have.
    #[must_use]
    pub fn of(census: Census, ids: &Ids) -> Self {
        let (graph, ids, mismatches) = model::build(census, ids);
        let text = Text::new(graph);
        Self { text, ids, mismatches }
    }

    /// The ids for the next snapshot.
    pub fn take_ids(&mut self) -> Ids {
        std::mem::take(&mut self.ids)
    }

    /// What did not fit together.
    #[must_use]
    pub fn mismatches(&self) -> Mismatches {
        self.mismatches
    }

    /// Bytes of memory that it takes until it is dropped.
    #[must_use]
    pub fn memory(&self) -> usize {
        self.text.memory()
    }
}

impl Iterator for Snapshot {
    type Item = Vec<u8>;

    /// The next piece of the file, about 64 KiB.
    fn next(&mut self) -> Option<Vec<u8>> {
        self.text.next()
    }
}
