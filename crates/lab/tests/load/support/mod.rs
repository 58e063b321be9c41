//! What the tests run against.

pub(crate) mod demo;
pub(crate) mod nginx;
pub(crate) mod pki;
pub(crate) mod redis;

use std::time::Duration;

/// How long anything may take before a test gives up; generous, because the machine is shared.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// Waits for `what`, at most [`PATIENCE`].
pub(crate) async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future)
        .await
        .unwrap_or_else(|_| panic!("{what} did not happen in {PATIENCE:?}"))
}

/// Asks again and again until the answer is there, at most [`PATIENCE`].
pub(crate) async fn wait_for<T>(what: &str, mut ask: impl AsyncFnMut() -> Option<T>) -> T {
    soon(what, async {
        loop {
            if let Some(answer) = ask().await {
                return answer;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await
}
