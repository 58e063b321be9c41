//! Whole runs of the laboratory, as its program: what it claims, how it ends, what it says of bad input.
//!
//! Experiments need the proxy's program beside it: `cargo nextest run --workspace` builds both.

#![allow(
    clippy::unwrap_used,
    reason = "a test that meets something unexpected is to fail there and then"
)]
#![allow(unreachable_pub, reason = "nothing outside can reach into a test")]

mod claims;
mod ends;
mod input;
mod processes;
mod support;
