//! What the resident set is made of.

use headpin_ledger::Ledgers;
use serde::Serialize;

use super::allocator::AllocatorNumbers;
use super::process::Resident;
use crate::observe::labels::{AllocatorKind, Label, MemoryPart, SlabClass};
use crate::observe::metrics::Metrics;

/// The resident set by parts. The parts are exclusive; their sum is the resident set, all from the same moment.
///
/// The kernel tells which pages are the allocator's. Of these, what is allocated and touched is claimed by the workers'
/// ledgers, or it is `other`; what is not allocated is `allocator_slack`. All other pages are `code_and_stacks`, but for
/// the C library's heap, which is `other`.
///
/// Without jemalloc nothing tells what is allocated: then only `slabs`, `unsent` and `code_and_stacks` are known, and
/// the rest is `other`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Composition {
    /// The resident set, in bytes.
    pub resident_bytes: u64,
    /// Its parts, in the order of [`MemoryPart::ALL`].
    pub parts: [u64; MemoryPart::ALL.len()],
    /// What the allocator tells, if it is jemalloc.
    pub allocator: Option<AllocatorNumbers>,
}

/// The slabs' capacity and what of it is used, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct SlabBytes {
    /// Capacity of the live slabs.
    pub live_bytes: i64,
    /// Capacity of those that heads keep alive.
    pub pinned_bytes: i64,
    /// Bytes of the slices that are kept.
    pub used_bytes: i64,
}

impl SlabBytes {
    /// The numbers now, of both classes.
    #[must_use]
    pub fn read(metrics: &Metrics) -> Self {
        let sum = |gauges: &crate::observe::metrics::Labelled<SlabClass, prometheus::IntGauge>| {
            SlabClass::ALL.iter().map(|class| gauges[*class].get()).sum()
        };
        Self {
            live_bytes: sum(&metrics.slab_live_bytes),
            pinned_bytes: sum(&metrics.slab_pinned_bytes),
            used_bytes: sum(&metrics.slab_used_bytes),
        }
    }
}

impl Composition {
    /// Reads everything; `None` where the kernel does not tell.
    #[must_use]
    pub fn read(metrics: &Metrics, ledgers: &Ledgers) -> Option<Self> {
        let allocator = AllocatorNumbers::read();
        let slabs = SlabBytes::read(metrics);
        let claimed = MemoryPart::ALL.map(|part| ledgers.claimed(part));
        let resident = Resident::read()?;
        let live = u64::try_from(slabs.live_bytes).unwrap_or(0);
        Some(Self::of(&resident, allocator, claimed, live))
    }

    fn of(
        resident: &Resident,
        allocator: Option<AllocatorNumbers>,
        mut parts: [u64; MemoryPart::ALL.len()],
        live_slab_bytes: u64,
    ) -> Self {
        let claimed: u64 = parts.iter().sum();
        let untouched = live_slab_bytes.saturating_sub(parts[MemoryPart::Slabs.index()]);
        let slack = allocator.map_or(0, |allocator| {
            let touched = allocator.allocated.saturating_sub(allocator.cached + untouched);
            // Of what is claimed only HTTP may be more than there is: it counts what was given back elsewhere.
            let http = &mut parts[MemoryPart::Http.index()];
            *http -= claimed.saturating_sub(touched).min(*http);
            let claimed: u64 = parts.iter().sum();
            // Never more than what nobody claims.
            resident.heap.saturating_sub(touched.max(claimed))
        });
        parts[MemoryPart::AllocatorSlack.index()] = slack;
        parts[MemoryPart::CodeAndStacks.index()] = resident.code_and_stacks;
        let known: u64 = parts.iter().sum();
        parts[MemoryPart::Other.index()] = resident.total.saturating_sub(known);
        Self {
            resident_bytes: resident.total,
            parts,
            allocator,
        }
    }

    /// Bytes of one part.
    #[must_use]
    pub fn part(&self, part: MemoryPart) -> u64 {
        self.parts[part.index()]
    }

    /// Shows the numbers as series.
    pub fn show(&self, metrics: &Metrics) {
        let number = |bytes: u64| i64::try_from(bytes).unwrap_or(i64::MAX);
        for part in MemoryPart::ALL {
            metrics.memory_bytes[part].set(number(self.part(part)));
        }
        let Some(allocator) = self.allocator else { return };
        for (kind, bytes) in [
            (AllocatorKind::Allocated, allocator.allocated),
            (AllocatorKind::Active, allocator.active),
            (AllocatorKind::Metadata, allocator.metadata),
            (AllocatorKind::Resident, allocator.resident),
            (AllocatorKind::Retained, allocator.retained),
        ] {
            metrics.allocator_bytes[kind].set(number(bytes));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KIB: u64 = 1024;

    fn of(allocated: u64, tls: u64) -> Composition {
        let resident = Resident {
            total: 10_000 * KIB,
            code_and_stacks: 6_000 * KIB,
            c_heap: 100 * KIB,
            heap: 3_900 * KIB,
        };
        let allocator = AllocatorNumbers {
            allocated: allocated * KIB,
            active: 0,
            metadata: 0,
            resident: 0,
            retained: 0,
            cached: 400 * KIB,
        };
        let mut claimed = [0; MemoryPart::ALL.len()];
        claimed[MemoryPart::Slabs.index()] = 24 * KIB;
        claimed[MemoryPart::Tls.index()] = tls * KIB;
        Composition::of(&resident, Some(allocator), claimed, 1024 * KIB)
    }

    #[test]
    fn what_nobody_claims_is_other_and_what_nothing_is_in_is_slack() {
        let composition = of(3_400, 500);
        // 3,400 less 400 cached and 1,000 of the slab that was never touched.
        let touched = 2_000;
        assert_eq!(composition.part(MemoryPart::AllocatorSlack), (3_900 - touched) * KIB);
        assert_eq!(composition.part(MemoryPart::Other), (touched - 524 + 100) * KIB);
        assert_eq!(composition.parts.iter().sum::<u64>(), composition.resident_bytes);
    }

    #[test]
    fn http_gives_way_when_more_is_claimed_than_allocated() {
        let resident = Resident {
            total: 10_000 * KIB,
            code_and_stacks: 6_000 * KIB,
            c_heap: 0,
            heap: 4_000 * KIB,
        };
        let allocator = AllocatorNumbers {
            allocated: 3_000 * KIB,
            active: 0,
            metadata: 0,
            resident: 0,
            retained: 0,
            cached: 0,
        };
        let mut claimed = [0; MemoryPart::ALL.len()];
        claimed[MemoryPart::Tls.index()] = 1_000 * KIB;
        claimed[MemoryPart::Http.index()] = 9_000 * KIB;
        let composition = Composition::of(&resident, Some(allocator), claimed, 0);
        assert_eq!(composition.part(MemoryPart::Tls), 1_000 * KIB);
        assert_eq!(composition.part(MemoryPart::Http), 2_000 * KIB);
        assert_eq!(composition.part(MemoryPart::AllocatorSlack), 1_000 * KIB);
        assert_eq!(composition.parts.iter().sum::<u64>(), composition.resident_bytes);
    }

    #[test]
    fn a_claim_that_is_larger_than_what_is_allocated_takes_from_the_slack() {
        let composition = of(1_500, 500);
        assert_eq!(composition.part(MemoryPart::AllocatorSlack), (3_900 - 524) * KIB);
        assert_eq!(composition.part(MemoryPart::Other), 100 * KIB);
        assert_eq!(composition.parts.iter().sum::<u64>(), composition.resident_bytes);
    }
}
