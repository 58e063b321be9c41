//! A successor takes over, and nobody notices.

mod bad_cases;
mod connections;
#[cfg(feature = "peers")]
mod page;
mod secrets;
mod tickets;
mod tunnels;
