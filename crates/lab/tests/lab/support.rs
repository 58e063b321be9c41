//! What the proxy's tests are made of, as far as it is of use here.

use std::time::Duration;

use headpin::certificates::DevelopmentCertificates;

#[allow(dead_code, reason = "the proxy's tests use more of it")]
#[path = "../../../../tests/it/support/program.rs"]
pub mod program;

/// The program that is tested.
pub const PROGRAM: &str = env!("CARGO_BIN_EXE_headpin-lab");
/// Nothing here takes this long; what does hangs.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// A certificate for localhost and its authority, made for this run.
pub fn certificates() -> DevelopmentCertificates {
    DevelopmentCertificates::make(["localhost", "127.0.0.1"]).expect("valid names")
}
