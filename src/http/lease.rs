//! What a request holds of its upstream until its response is complete.

use crate::upstream::{Checkout, InUse, ReadPace};

/// A place in a server, and the connection to it; both are given back when this is dropped.
#[derive(Debug)]
pub(crate) struct Lease {
    /// First: who waits for the place finds the connection idle.
    checkout: Option<Checkout>,
    _place: InUse,
}

impl Lease {
    /// Of a request that went over a connection of the pool.
    pub(crate) fn of_request(place: InUse, checkout: Checkout) -> Self {
        Self {
            checkout: Some(checkout),
            _place: place,
        }
    }

    /// Of an upgrade that was declined: its connection is its own, and ends with the response.
    pub(crate) fn of_upgrade(place: InUse) -> Self {
        Self {
            checkout: None,
            _place: place,
        }
    }

    /// How much of the response is read at once, if that can be set.
    pub(crate) fn pace(&mut self) -> Option<ReadPace> {
        self.checkout.as_mut().map(|checkout| checkout.sender().pace.clone())
    }
}
