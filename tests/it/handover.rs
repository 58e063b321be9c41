//! A successor takes over, and nobody notices.

mod bad_cases;
mod connections;
mod secrets;
mod tickets;
mod tunnels;
