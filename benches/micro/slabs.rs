//! Carving a slice, and getting its room back.

use std::rc::Rc;

use headpin::observe::labels::{HeadPolicy, SlabClass};

use super::paths::{Meter, worker_slabs};

/// Most that a relay reads at once, by default.
const MOST: usize = 64 * 1024;

pub(crate) fn paths(meter: &mut impl Meter) {
    // Under `copy` every read begins at the front, under `pin` only when the slab is full.
    for (policy, name) in [(HeadPolicy::Copy, "copy"), (HeadPolicy::Pin, "pin")] {
        for (bytes, size) in [(128, "128B"), (16 * 1024, "16KiB")] {
            meter.path(&format!("carve_{size}_{name}"), || {
                let slabs = worker_slabs(policy);
                let text = vec![7; bytes];
                let run = move |(): &mut ()| {
                    let mut pool = slabs.for_read(SlabClass::Tls);
                    let mut carving = pool.carve(MOST);
                    carving.extend(&text);
                    carving.finish()
                };
                (|| (), run)
            });
        }
    }
    meter.path("rewind", || {
        let slabs = worker_slabs(HeadPolicy::Copy);
        let prepare = {
            let slabs = Rc::clone(&slabs);
            move || {
                let mut pool = slabs.for_read(SlabClass::Tls);
                let mut carving = pool.carve(MOST);
                carving.extend(&[7; 128]);
                drop(carving.finish());
            }
        };
        let run = move |(): &mut ()| drop(slabs.for_read(SlabClass::Tls));
        (prepare, run)
    });
}
