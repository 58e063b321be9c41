//! The stream against a rustls client, in one thread and without sockets: each test says what the wire does when.
//!
//! A fuzzer has the differential test, and what that needs.
#![allow(clippy::unwrap_used, reason = "tests, also where a fuzzer builds them")]
#![cfg_attr(not(test), allow(dead_code, reason = "most of it is for the tests"))]

#[cfg(test)]
mod client;
#[cfg(test)]
mod closing;
#[cfg(test)]
mod contexts;
pub(super) mod differential;
#[cfg(test)]
mod failures;
mod fixture;
mod forge;
#[cfg(test)]
mod handover;
#[cfg(test)]
mod hostile;
#[cfg(test)]
mod key_schedule;
#[cfg(test)]
mod key_updates;
#[cfg(test)]
mod matrix;
mod pair;
#[cfg(test)]
mod random;
#[cfg(test)]
mod resumption;
#[cfg(test)]
mod rfc8446;
#[cfg(test)]
mod rfc8448;
#[cfg(test)]
mod secrets;
#[cfg(test)]
mod state;
mod wire;
