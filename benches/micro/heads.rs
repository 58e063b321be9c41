//! A head from the read that brought it to its end, by either policy.

use std::hint::black_box;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Waker};

use headpin::http::HeadIo;
use headpin::observe::labels::HeadPolicy;
use headpin_slab::{Head, SlabReader};
use tokio::io::{AsyncRead as _, ReadBuf};

use super::paths::{Meter, worker_slabs};
use super::wire::Wire;

/// A request of a browser's size.
const REQUEST: usize = 500;
/// A small frame behind it.
const HEAD: usize = 22;
/// What hyper reads into at first.
const BUFFER: usize = 8 * 1024;

pub(crate) fn paths(meter: &mut impl Meter) {
    for (policy, name) in [(HeadPolicy::Copy, "copy"), (HeadPolicy::Pin, "pin")] {
        meter.path(&format!("head_{name}"), || {
            let slabs = worker_slabs(policy);
            let mut buffer = vec![0; BUFFER];
            let run = move |wire: &mut Wire| {
                let mut io = HeadIo::new(SlabReader::new(wire.clone(), Rc::clone(&slabs)));
                let mut read = ReadBuf::new(&mut buffer);
                let polled = Pin::new(&mut io).poll_read(&mut Context::from_waker(Waker::noop()), &mut read);
                assert!(polled.is_ready());
                io.state().slot.keep();
                let (_, head) = io.into_head(&read.filled()[REQUEST..], policy);
                assert_eq!(head.bytes().len(), HEAD);
                // Held for as long as a tunnel lives, or nothing.
                let held = match head {
                    Head::Held(held) => Some(held),
                    Head::Copied(_) => None,
                };
                drop(black_box(held));
            };
            let prepare = || {
                let wire = Wire::default();
                wire.arrive(&mut vec![7; REQUEST + HEAD]);
                wire
            };
            (prepare, run)
        });
    }
}
