//! The integration tests, one binary.

#![allow(clippy::unwrap_used, reason = "a test that fails is to say where")]

mod load;
mod load_cli;
mod support;
mod upstream;
