//! The record layer against rustls's own, on traffic that a fuzzer thinks of (src/tls/tests/differential.rs).
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| headpin_tls::fuzz_records(bytes));
