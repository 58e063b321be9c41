//! The pool against a model of it: any order of carving, holding, dropping, rewinding and trimming.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::rc::Rc;

use proptest::prelude::*;

use super::*;
use crate::SlabClass;

const CAPACITY: usize = 64;
const CLASS: SlabClass = SlabClass::Tls;

#[derive(Debug, Clone)]
enum Step {
    /// Carve this many bytes, in one, two or more pieces.
    Carve {
        len: usize,
        pieces: usize,
    },
    /// Begin to carve, and give up.
    GiveUp,
    /// Drop one of the slices that are out.
    DropSlice(prop::sample::Index),
    /// Make a head of one of the slices that are out.
    Hold {
        slice: prop::sample::Index,
        start: prop::sample::Index,
        empty: bool,
    },
    /// Let go of one of the heads.
    DropHead(prop::sample::Index),
    RewindIfIdle,
    KeepSpares(usize),
}

fn step() -> impl Strategy<Value = Step> {
    let index = any::<prop::sample::Index>;
    prop_oneof![
        6 => (1..=CAPACITY, 1..4_usize).prop_map(|(len, pieces)| Step::Carve { len, pieces }),
        1 => Just(Step::GiveUp),
        4 => index().prop_map(Step::DropSlice),
        2 => (index(), index(), any::<bool>()).prop_map(|(slice, start, empty)| Step::Hold { slice, start, empty }),
        2 => index().prop_map(Step::DropHead),
        1 => Just(Step::RewindIfIdle),
        1 => (0..3_usize).prop_map(Step::KeepSpares),
    ]
}

/// What a slab should be.
#[derive(Debug, Default)]
struct ModelSlab {
    carved: usize,
    slices: usize,
    heads: usize,
    head_bytes: usize,
}

/// A slice or a head that is out: what it was when it was carved.
struct Out<T> {
    real: T,
    slab: SlabId,
    /// Bytes that must never change.
    expected: Vec<u8>,
}

struct Model {
    pool: SlabPool,
    counts: Rc<Counts>,
    slabs: BTreeMap<SlabId, ModelSlab>,
    current: Option<SlabId>,
    slices: Vec<Out<SlabSlice>>,
    heads: Vec<Out<HeldHead>>,
    spares: usize,
    spare_limit: usize,
    created: usize,
    fill: u8,
}

impl Model {
    fn new() -> Self {
        let counts = Rc::<Counts>::default();
        let settings = PoolSettings {
            class: CLASS,
            worker: 0,
            capacity: CAPACITY,
        };
        let pool = SlabPool::new(settings, Rc::<Counts>::clone(&counts));
        Self {
            pool,
            counts,
            slabs: BTreeMap::new(),
            current: None,
            slices: Vec::new(),
            heads: Vec::new(),
            spares: 0,
            spare_limit: 0,
            created: 0,
            fill: 0,
        }
    }

    fn apply(&mut self, step: Step) {
        match step {
            Step::Carve { len, pieces } => self.carve(len, pieces),
            Step::GiveUp => {
                self.make_room(1);
                self.pool.carve(1).extend(&[0xff]);
                self.ensure_current();
            }
            Step::DropSlice(index) if !self.slices.is_empty() => {
                let out = self.slices.swap_remove(index.index(self.slices.len()));
                drop(out.real);
                self.one_slice_less(out.slab);
            }
            Step::Hold { slice, start, empty } if !self.slices.is_empty() => {
                let out = self.slices.swap_remove(slice.index(self.slices.len()));
                let start = start.index(out.expected.len() + 1);
                let end = if empty { start } else { out.expected.len() };
                let head = HeldHead::new(out.real, start..end);
                let slab = self.slabs.get_mut(&out.slab).expect("known");
                slab.heads += 1;
                slab.head_bytes += end - start;
                self.heads.push(Out {
                    real: head,
                    slab: out.slab,
                    expected: out.expected[start..end].to_vec(),
                });
            }
            Step::DropHead(index) if !self.heads.is_empty() => {
                let out = self.heads.swap_remove(index.index(self.heads.len()));
                drop(out.real);
                let slab = self.slabs.get_mut(&out.slab).expect("known");
                slab.heads -= 1;
                slab.head_bytes -= out.expected.len();
                self.one_slice_less(out.slab);
            }
            Step::RewindIfIdle => {
                let idle = self.current.is_some_and(|id| self.slabs[&id].slices == 0);
                assert_eq!(
                    self.pool.rewind_if_idle(),
                    idle,
                    "rewinding happens only with no slice out"
                );
                if idle {
                    self.current_slab().carved = 0;
                }
            }
            Step::KeepSpares(limit) => {
                self.pool.keep_spares(limit);
                self.spare_limit = limit;
                self.spares = self.spares.min(limit);
            }
            _ => {}
        }
    }

    fn carve(&mut self, len: usize, pieces: usize) {
        self.make_room(len);
        let mut carving = self.pool.carve(len);
        let mut expected = Vec::new();
        for piece in 0..pieces {
            let end = len * (piece + 1) / pieces;
            self.fill = self.fill.wrapping_add(1);
            let bytes = vec![self.fill; end - expected.len()];
            carving.extend(&bytes);
            expected.extend(bytes);
        }
        let real = carving.finish().expect("not empty");
        self.ensure_current();
        let slab = self.current.expect("just made");
        assert_eq!(real.slab_id(), slab);
        let current = self.current_slab();
        current.carved += len;
        current.slices += 1;
        self.slices.push(Out { real, slab, expected });
    }

    /// What `carve` must do first when the current slab has less room than `len`.
    fn make_room(&mut self, len: usize) {
        let Some(id) = self.current else { return };
        let slab = self.slabs.get_mut(&id).expect("known");
        if slab.carved + len <= CAPACITY {
            return;
        }
        if slab.slices == 0 {
            slab.carved = 0;
        } else {
            self.current = None;
        }
    }

    fn ensure_current(&mut self) {
        if self.current.is_none() {
            let reports = self.pool.census();
            let id = reports.last().expect("a current slab").id;
            assert!(
                self.slabs.insert(id, ModelSlab::default()).is_none(),
                "a name is never used again"
            );
            self.current = Some(id);
            if self.spares > 0 {
                self.spares -= 1;
            } else {
                self.created += 1;
            }
        }
    }

    fn current_slab(&mut self) -> &mut ModelSlab {
        self.slabs.get_mut(&self.current.expect("there is one")).expect("known")
    }

    fn one_slice_less(&mut self, id: SlabId) {
        let slab = self.slabs.get_mut(&id).expect("known");
        slab.slices -= 1;
        if slab.slices == 0 && self.current != Some(id) {
            self.slabs.remove(&id);
            if self.spares < self.spare_limit {
                self.spares += 1;
            }
        }
    }

    fn check(&self) {
        for out in &self.slices {
            assert_eq!(&out.real[..], &out.expected[..], "a slice changed");
        }
        for out in &self.heads {
            assert_eq!(out.real.bytes(), &out.expected[..], "a head changed");
        }
        self.check_that_no_two_slices_overlap();

        let counts = self.counts.of(CLASS);
        let gauge = |cell: &Cell<i64>| usize::try_from(cell.get()).expect("never below zero");
        let live = self.slabs.len() + self.spares;
        assert_eq!(counts.live(), live);
        assert_eq!(counts.live_bytes.get(), live * CAPACITY);
        assert_eq!(counts.allocated.get(), self.created);
        assert_eq!(counts.freed.get(), self.created - live);
        let pinned = self
            .slabs
            .iter()
            .filter(|(id, slab)| self.current != Some(**id) && slab.heads > 0)
            .count();
        assert_eq!(gauge(&counts.pinned), pinned);
        assert_eq!(gauge(&counts.pinned_bytes), pinned * CAPACITY);
        assert_eq!(gauge(&counts.heads), self.heads.len());
        assert_eq!(
            gauge(&counts.head_bytes),
            self.slabs.values().map(|s| s.head_bytes).sum::<usize>()
        );
        assert_eq!(self.pool.spares(), self.spares);

        let census = self.pool.census();
        assert_eq!(census.len(), self.slabs.len());
        for report in census {
            let slab = &self.slabs[&report.id];
            assert_eq!(
                (report.carved_bytes, report.slices, report.heads, report.head_bytes),
                (slab.carved, slab.slices, slab.heads, slab.head_bytes)
            );
            assert_eq!(report.state == SlabState::Current, self.current == Some(report.id));
        }
    }

    fn check_that_no_two_slices_overlap(&self) {
        let slices = self.slices.iter().map(|out| out.real.as_ptr_range());
        let heads = self.heads.iter().map(|out| out.real.bytes().as_ptr_range());
        let mut ranges: Vec<_> = slices.chain(heads).filter(|range| !range.is_empty()).collect();
        ranges.sort_by_key(|range| range.start);
        assert!(
            ranges.windows(2).all(|pair| pair[0].end <= pair[1].start),
            "live slices overlap"
        );
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_pool_does_what_the_model_does(steps in prop::collection::vec(step(), 1..120)) {
        let mut model = Model::new();
        for step in steps {
            model.apply(step);
            model.check();
        }
        let Model { pool, counts, slices, heads, .. } = model;
        drop(pool);
        drop(slices);
        drop(heads);
        let counts = counts.of(CLASS);
        prop_assert_eq!(counts.live(), 0, "memory is left behind");
        for gauge in [&counts.pinned, &counts.heads, &counts.head_bytes, &counts.used_bytes] {
            prop_assert_eq!(gauge.get(), 0, "something is left behind");
        }
    }
}

#[test]
fn an_empty_head_keeps_its_slab() {
    let mut model = Model::new();
    model.carve(10, 1);
    let slice = model.slices.pop().expect("carved").real;
    let head = HeldHead::new(slice, 10..10);
    let _ = model.pool.carve(CAPACITY).finish();
    assert_eq!(model.counts.of(CLASS).pinned.get(), 1);
    assert_eq!(model.counts.of(CLASS).head_bytes.get(), 0);
    drop(head);
    assert_eq!(model.counts.of(CLASS).pinned.get(), 0);
    assert_eq!(model.counts.of(CLASS).freed.get(), 1);
}

#[test]
fn a_turnover_is_one_slabs_worth_of_bytes_however_the_slab_rewinds() {
    let mut model = Model::new();
    let turnovers = std::rc::Rc::new(std::cell::Cell::new(0));
    let seen = std::rc::Rc::clone(&turnovers);
    model.pool.on_turnover(Box::new(move || seen.set(seen.get() + 1)));
    for _ in 0..16 {
        model.pool.rewind_if_idle();
        let mut carving = model.pool.carve(8);
        carving.extend(&[0; 8]);
        drop(carving.finish());
    }
    assert_eq!(turnovers.get(), 2);
}
