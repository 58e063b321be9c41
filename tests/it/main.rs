//! The proxy from outside, over real sockets.

#![allow(
    clippy::unwrap_used,
    reason = "a test that meets something unexpected is to fail there and then"
)]
#![allow(unreachable_pub, reason = "nothing outside can reach into a test")]

mod admin;
mod api_upstreams;
mod command_line;
mod configuration;
mod drain;
mod echo_origin;
mod files;
mod handover;
mod heads;
mod heap_profile;
mod http;
mod https_upstream;
mod informational;
mod layers;
mod leak;
mod log;
mod memory;
mod metrics_reference;
mod other_protocols;
#[cfg(feature = "peers")]
mod page;
mod routes;
mod service;
mod signals;
mod snapshot;
mod support;
mod tunnel;
mod upstreams;
