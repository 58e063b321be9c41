//! Telling connections and tunnels to go, and where what leaves goes to.

use std::cell::{Cell, RefCell};

use tokio::sync::mpsc::UnboundedSender;
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

use crate::handed::Departure;

/// What a connection is to do when it is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Going {
    /// It stays: it was told, and that was taken back.
    Stays,
    /// It ends after the request under way.
    Ends,
    /// It leaves for another process as soon as no request is under way.
    Leaves,
}

/// How connections and tunnels of a worker leave.
#[derive(Debug)]
pub struct Departures {
    going: Cell<Going>,
    drains: Cell<bool>,
    /// Cancelled when they are told.
    told: RefCell<CancellationToken>,
    /// Takes what leaves.
    taker: RefCell<Option<UnboundedSender<Departure>>>,
}

impl Default for Departures {
    fn default() -> Self {
        Self {
            going: Cell::new(Going::Stays),
            drains: Cell::new(false),
            told: RefCell::default(),
            taker: RefCell::default(),
        }
    }
}

impl Departures {
    /// Waits until connections are told to go. Then ask [`Self::going`].
    ///
    /// # Cancel safety
    /// Safe: it only waits.
    pub fn told(&self) -> WaitForCancellationFutureOwned {
        self.told.borrow().clone().cancelled_owned()
    }

    /// What a connection is to do now.
    #[must_use]
    pub fn going(&self) -> Going {
        self.going.get()
    }

    /// The drain begins: connections end. Those that leave for another process still do.
    pub fn drain(&self) {
        self.drains.set(true);
        if self.going.get() == Going::Stays {
            self.going.set(Going::Ends);
        }
        self.told.borrow().cancel();
    }

    /// Connections leave from now on, to `taker`; tunnels do so when each is told.
    pub fn begin(&self, taker: UnboundedSender<Departure>) {
        self.taker.replace(Some(taker));
        self.going.set(Going::Leaves);
        self.told.borrow().cancel();
    }

    /// Nobody takes anything any more: they stay, or end if this process drains, which it returns.
    pub fn take_back(&self) -> bool {
        self.taker.replace(None);
        let drains = self.drains.get();
        self.going.set(if drains { Going::Ends } else { Going::Stays });
        if !drains {
            self.told.take();
        }
        drains
    }

    /// Gives `departure` to who takes it; back if there is nobody.
    ///
    /// # Errors
    /// `departure`, which this process has to go on with.
    pub fn send(&self, departure: Departure) -> Result<(), Departure> {
        match &*self.taker.borrow() {
            Some(taker) => taker.send(departure).map_err(|error| error.0),
            None => Err(departure),
        }
    }

    /// Whether connections and tunnels leave.
    #[must_use]
    pub fn is_leaving(&self) -> bool {
        self.going.get() == Going::Leaves
    }
}
