//! What a successor is sent, as a fuzzer thinks of it (src/control/arrivals.rs).
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| headpin::control::fuzz_arrival(bytes));
