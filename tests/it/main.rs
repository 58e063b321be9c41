//! The proxy from outside, over real sockets.

#![allow(
    clippy::unwrap_used,
    reason = "a test that meets something unexpected is to fail there and then"
)]
#![allow(unreachable_pub, reason = "nothing outside can reach into a test")]

mod admin;
mod drain;
mod heads;
mod heap_profile;
mod lab;
mod layers;
mod leak;
mod snapshot;
mod support;
mod tunnel;
