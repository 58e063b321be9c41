//! What the pools say about their slabs, for the admin API.

use crate::SlabClass;
use serde::Serialize;

use super::slice::{Slab, SlabId};

/// Where a live slab stands in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum SlabState {
    /// Reads are carved from it.
    Current,
    /// Full, and kept by at least one slice.
    Retired,
}

/// One live slab at the moment of asking.
#[derive(Debug, Clone, Serialize)]
pub struct SlabReport {
    /// Its name.
    pub id: SlabId,
    /// What it serves.
    pub class: SlabClass,
    /// The worker that owns it.
    pub worker: usize,
    /// Where it stands in its life.
    pub state: SlabState,
    /// Memory that it stands for, in bytes.
    pub capacity_bytes: usize,
    /// Bytes carved since it was made or rewound.
    pub carved_bytes: usize,
    /// Seconds since it was made.
    pub age_seconds: f64,
    /// Slices that are out, those of held heads included.
    pub slices: usize,
    /// Heads held in it.
    pub heads: usize,
    /// Their bytes.
    pub head_bytes: usize,
}

impl SlabReport {
    pub(super) fn new(slab: &Slab, slices: usize, capacity: usize) -> Self {
        Self {
            id: slab.id,
            class: slab.id.class,
            worker: slab.id.worker,
            state: if slab.is_retired() {
                SlabState::Retired
            } else {
                SlabState::Current
            },
            capacity_bytes: capacity,
            carved_bytes: slab.carved.get(),
            age_seconds: slab.created.elapsed().as_secs_f64(),
            slices,
            heads: slab.heads.get(),
            head_bytes: slab.head_bytes.get(),
        }
    }

    /// Whether a held head keeps it: retired, and at least one head in it.
    #[must_use]
    pub fn is_pinned(&self) -> bool {
        self.state == SlabState::Retired && self.heads > 0
    }
}
