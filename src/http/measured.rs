//! Tasks whose memory is claimed for their connection.

use std::cell::Cell;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use headpin_ledger as ledger;
use pin_project_lite::pin_project;

use crate::worker::{ConnectionRecord, WorkerContext};

pin_project! {
    /// A future whose polls are measured: what it takes and keeps is claimed for the connection.
    ///
    /// For what runs until a connection is a tunnel. A tunnel's own polls are not measured: that would cost each
    /// message, and they keep nothing.
    struct Measured<F> {
        #[pin]
        future: Option<F>,
        record: Rc<ConnectionRecord>,
        task: Option<TaskMemory>,
    }
}

/// The memory of a task, claimed until the task has ended, and that of the record, which ends with it.
struct TaskMemory {
    record: Option<Rc<ConnectionRecord>>,
    bytes: Rc<Cell<i64>>,
}

impl Drop for TaskMemory {
    fn drop(&mut self) {
        let Some(record) = self.record.take() else { return };
        record.claim(-self.bytes.get());
        let tunnel = record.tunnel().cloned();
        let ((), taken) = ledger::measure(|| drop(record));
        // All that another connection has claimed ends with its record.
        if let Some(tunnel) = tunnel {
            tunnel.claim(taken);
        }
    }
}

impl<F: Future<Output = ()>> Future for Measured<F> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let mut this = self.project();
        let (poll, taken) = ledger::measure(|| {
            let Some(future) = this.future.as_mut().as_pin_mut() else {
                return Poll::Ready(());
            };
            ready!(future.poll(cx));
            // Dropped here, so that what it gives back is measured as well.
            this.future.set(None);
            Poll::Ready(())
        });
        this.record.claim(taken);
        poll
    }
}

/// `future`, measured; for a task that is spawned in a measured poll and ends before the connection is a tunnel: then
/// the memory of the task itself is taken and given back in measured polls as well.
pub(super) fn wrap(
    record: &Rc<ConnectionRecord>,
    future: impl Future<Output = ()> + 'static,
) -> impl Future<Output = ()> + 'static {
    Measured {
        future: Some(future),
        record: Rc::clone(record),
        task: None,
    }
}

/// Spawns `future` as the task of `record`'s connection. The memory of the task is claimed as well: nothing measures it.
pub(super) fn spawn(worker: &WorkerContext, record: &Rc<ConnectionRecord>, future: impl Future<Output = ()> + 'static) {
    let bytes = Rc::new(Cell::new(0));
    let task = TaskMemory {
        record: Some(Rc::clone(record)),
        bytes: Rc::clone(&bytes),
    };
    let measured = Measured {
        future: Some(future),
        record: Rc::clone(record),
        task: Some(task),
    };
    let (_, taken) = ledger::measure(|| worker.tracker.spawn_local(measured));
    record.claim(taken);
    bytes.set(taken);
}
