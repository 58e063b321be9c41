//! The slabs of one worker: a pool a class, and the policy in force.

use std::cell::{Cell, RefCell, RefMut};
use std::rc::{Rc, Weak};

use super::{HeadSlot, PoolSettings, SlabPool, SlabReport, SlicePlace};
use crate::{HeadPolicy, Meter, SlabClass};

/// What the slabs of a worker are made from.
#[derive(Debug, Clone)]
pub struct SlabSettings {
    /// The worker that they belong to, from 0.
    pub worker: usize,
    /// Bytes of a `tls` slab.
    pub tls_capacity: usize,
    /// Bytes of a `tcp` slab.
    pub tcp_capacity: usize,
    /// Empty slabs of each class that are kept under `pin`.
    pub spares: usize,
}

/// Both pools of a worker. A connection reaches them through an `Rc`, for the length of a poll.
#[derive(Debug)]
pub struct WorkerSlabs {
    tls: RefCell<SlabPool>,
    tcp: RefCell<SlabPool>,
    policy: Cell<HeadPolicy>,
    /// Some heads are pinned whatever the policy says.
    pins_some: Cell<bool>,
    /// Spares kept under `pin`. Under `copy` none is needed: the current slab rewinds.
    spares: usize,
    /// What upstream connections remember while they speak HTTP; those that are gone are swept out.
    upstream_slots: RefCell<Vec<Weak<dyn AsRef<HeadSlot>>>>,
}

/// Room for this many costs less than making it again and again.
const FEW_SLOTS: usize = 32;

impl WorkerSlabs {
    /// Two empty pools.
    #[must_use]
    pub fn new(settings: &SlabSettings, policy: HeadPolicy, meter: &Rc<dyn Meter>) -> Rc<Self> {
        let pool = |class, capacity| {
            let settings = PoolSettings {
                class,
                worker: settings.worker,
                capacity,
            };
            RefCell::new(SlabPool::new(settings, Rc::clone(meter)))
        };
        let slabs = Self {
            tls: pool(SlabClass::Tls, settings.tls_capacity),
            tcp: pool(SlabClass::Tcp, settings.tcp_capacity),
            policy: Cell::new(policy),
            pins_some: Cell::new(false),
            spares: settings.spares,
            upstream_slots: RefCell::default(),
        };
        slabs.set_policy(policy);
        Rc::new(slabs)
    }

    /// The policy in force.
    #[must_use]
    #[inline]
    pub fn policy(&self) -> HeadPolicy {
        self.policy.get()
    }

    /// What becomes of slices that are read where a head may begin: they are remembered as under `pin` also when only some heads
    /// are to be pinned, since whose it is shows when it has been read.
    #[must_use]
    #[inline]
    pub fn reading_policy(&self) -> HeadPolicy {
        match self.pins_some.get() {
            true => HeadPolicy::Pin,
            false => self.policy(),
        }
    }

    /// Whether some heads are to be pinned whatever the policy says, from now on.
    pub fn set_pins_some(&self, pins_some: bool) {
        self.pins_some.set(pins_some);
    }

    /// Changes the policy for what is read from now on. Heads that are held, and slices that downstream connections
    /// remember, stay: their holders let them go.
    pub fn set_policy(&self, policy: HeadPolicy) {
        self.policy.set(policy);
        let spares = match policy {
            HeadPolicy::Copy => 0,
            HeadPolicy::Pin => self.spares,
        };
        for class in SlabClass::ALL {
            self.pool(class).borrow().keep_spares(spares);
        }
        if policy == HeadPolicy::Copy {
            let slots = self.upstream_slots.borrow();
            slots
                .iter()
                .filter_map(Weak::upgrade)
                .for_each(|slot| (*slot).as_ref().release());
        }
    }

    /// The pool of `class`, ready for one read: under `copy` rewound, since no slice of an earlier poll is out.
    #[inline]
    pub fn for_read(&self, class: SlabClass) -> RefMut<'_, SlabPool> {
        let mut pool = self.pool(class).borrow_mut();
        if self.policy() == HeadPolicy::Copy {
            pool.rewind_if_idle();
        }
        pool
    }

    /// Calls `sample` at every turnover of a tls slab.
    pub fn on_turnover(&self, sample: Box<dyn Fn()>) {
        self.tls.borrow_mut().on_turnover(sample);
    }

    /// Includes what has the slot of an upstream connection in the census and in changes of the policy, until it is gone.
    pub fn watch(&self, slot: &Rc<dyn AsRef<HeadSlot>>) {
        self.upstream_slots.borrow_mut().push(Rc::downgrade(slot));
    }

    /// Gives back what nothing is in, see [`SlabPool::sweep`], and forgets upstream connections that are gone or are
    /// tunnels by now; to be called about once a second.
    pub fn sweep(&self) {
        let rewinds = self.policy() == HeadPolicy::Copy;
        for class in SlabClass::ALL {
            self.pool(class).borrow_mut().sweep(rewinds);
        }
        let mut slots = self.upstream_slots.borrow_mut();
        slots.retain(|slot| slot.strong_count() > 0);
        let room = slots.len().max(FEW_SLOTS) * 2;
        slots.shrink_to(room);
    }

    /// The slices that upstream connections remember.
    #[must_use]
    pub fn upstream_slices(&self) -> Vec<SlicePlace> {
        let slots = self.upstream_slots.borrow();
        let slots = slots.iter().filter_map(Weak::upgrade);
        slots.filter_map(|slot| (*slot).as_ref().remembered()).collect()
    }

    /// Size of each slab of `class`, in bytes.
    #[must_use]
    pub fn capacity(&self, class: SlabClass) -> usize {
        self.pool(class).borrow().capacity()
    }

    /// Every live slab of the worker, spares left out.
    #[must_use]
    pub fn census(&self) -> Vec<SlabReport> {
        SlabClass::ALL
            .iter()
            .flat_map(|class| self.pool(*class).borrow().census())
            .collect()
    }

    /// Slabs whose memory is kept for the next one; they are live, but nothing of them is in use.
    #[must_use]
    pub fn spares(&self) -> usize {
        SlabClass::ALL.iter().map(|class| self.spares_of(*class)).sum()
    }

    /// Those of one class.
    #[must_use]
    pub fn spares_of(&self, class: SlabClass) -> usize {
        self.pool(class).borrow().spares()
    }

    #[inline]
    fn pool(&self, class: SlabClass) -> &RefCell<SlabPool> {
        match class {
            SlabClass::Tls => &self.tls,
            SlabClass::Tcp => &self.tcp,
        }
    }
}
