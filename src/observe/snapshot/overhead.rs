//! What the process takes beside the objects of a census.

use crate::observe::memory::{AllocatorNumbers, Resident, program_bytes};

/// One part of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Part {
    Program,
    Unattributed,
    Slack,
    Metadata,
}

impl Part {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Program => "program text and constants",
            Self::Unattributed => "unattributed heap",
            Self::Slack => "allocator slack",
            Self::Metadata => "allocator metadata",
        }
    }
}

/// The figures at one moment.
#[derive(Debug, Clone, Copy, Default)]
pub struct Overhead {
    /// What the allocator says, if it is one that tells.
    pub allocator: Option<AllocatorNumbers>,
    /// Resident pages of the executable, in bytes.
    pub program: u64,
    /// The resident set, in bytes.
    pub resident: Option<u64>,
}

impl Overhead {
    /// The figures now. To be read before a census, whose rows take memory themselves.
    #[must_use]
    pub fn read() -> Self {
        Self {
            allocator: AllocatorNumbers::read(),
            program: program_bytes().unwrap_or(0),
            resident: Resident::read().map(|resident| resident.total),
        }
    }

    /// Everything, when `objects` bytes have been given to objects. With those it makes what is active, the allocator's
    /// bookkeeping, and the program.
    pub(super) fn parts(&self, objects: u64) -> Vec<(Part, u64)> {
        let mut parts = vec![(Part::Program, self.program)];
        if let Some(numbers) = self.allocator {
            parts.extend([
                (Part::Unattributed, numbers.allocated.saturating_sub(objects)),
                (Part::Slack, numbers.active.saturating_sub(numbers.allocated)),
                (Part::Metadata, numbers.metadata),
            ]);
        }
        parts
    }
}
