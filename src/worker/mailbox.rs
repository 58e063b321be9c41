//! Orders to a tunnel's task.

use std::cell::Cell;
use std::fmt;
use std::task::{Context, Waker};

use crate::observe::labels::CloseReason;

/// What a tunnel must do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// Send Close 1001 to both sides at the next frame boundary, and end when they have answered.
    Close(CloseReason),
    /// End now.
    End(CloseReason),
}

/// Whether a tunnel leaves for another process.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Leave {
    #[default]
    NotAsked,
    Asked,
    Stays,
}

/// The order in force, and the task that is woken by a new one.
#[derive(Default)]
pub struct Mailbox {
    order: Cell<Option<Order>>,
    leave: Cell<Leave>,
    waker: Cell<Option<Waker>>,
}

impl Mailbox {
    /// The order in force.
    pub fn order(&self) -> Option<Order> {
        self.order.get()
    }

    /// Gives an order and wakes the tunnel's task if that changed anything.
    pub fn give(&self, order: Order) {
        if self.set_order(order) {
            self.wake();
        }
    }

    /// Asks the tunnel to leave for another process, and wakes its task. False if it was asked before.
    pub fn ask_to_leave(&self) -> bool {
        let is_new = self.leave.get() == Leave::NotAsked;
        if is_new {
            self.leave.set(Leave::Asked);
            self.wake();
        }
        is_new
    }

    /// Whether it is to leave.
    pub fn is_leaving(&self) -> bool {
        self.leave.get() == Leave::Asked
    }

    /// It cannot leave, and need not be asked again.
    pub fn stay(&self) {
        self.leave.set(Leave::Stays);
    }

    /// Nobody asks any more.
    pub fn forget_leave(&self) {
        self.leave.set(Leave::NotAsked);
    }

    fn wake(&self) {
        if let Some(waker) = self.waker.take() {
            waker.wake_by_ref();
            self.waker.set(Some(waker));
        }
    }

    /// Puts an order in force, for the tunnel itself, which needs no waking; false if one that ranks as high is already.
    /// One to end outranks one to close, which outranks none.
    pub fn set_order(&self, order: Order) -> bool {
        let outranks = matches!(
            (self.order.get(), order),
            (None, _) | (Some(Order::Close(_)), Order::End(_))
        );
        if outranks {
            self.order.set(Some(order));
        }
        outranks
    }

    /// The task to wake when an order is given.
    pub fn watch(&self, cx: &Context<'_>) {
        let waker = self.waker.take().filter(|waker| waker.will_wake(cx.waker()));
        self.waker.set(Some(waker.unwrap_or_else(|| cx.waker().clone())));
    }
}

impl fmt::Debug for Mailbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mailbox")
            .field("order", &self.order)
            .finish_non_exhaustive()
    }
}
