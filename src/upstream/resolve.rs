//! The addresses of servers' names, asked for again when they are no longer valid.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use hickory_resolver::TokioResolver;
use hickory_resolver::config::LookupIpStrategy;
use tokio::time::{Instant, sleep, sleep_until};

use super::group::Upstream;
use crate::config::ServerUrl;

/// The shortest time from an answer to the next question, whatever the time to live says.
const SHORTEST: Duration = Duration::from_secs(1);
/// The longest time to that question: an operator may change a record that is still valid for a day.
const LONGEST: Duration = Duration::from_secs(300);
/// After a question without an answer.
const AGAIN: Duration = Duration::from_secs(2);

/// Keeps the servers of `upstream` at the addresses of their names, for as long as this is polled; returns at once if none
/// has a name.
///
/// # Cancel safety
/// Safe: dropped, the addresses stay as they are.
pub async fn resolve_names(upstream: Arc<Upstream>) {
    let names = upstream
        .config
        .servers
        .iter()
        .filter(|server| server.url.name().is_some());
    join_all(names.map(|server| keep(&upstream, &server.url))).await;
}

async fn keep(upstream: &Upstream, url: &ServerUrl) {
    let Some((host, port)) = url.name() else { return };
    // Said once for each time that it begins.
    let mut fails = false;
    loop {
        match ask(host).await {
            Ok((addresses, valid_until)) => {
                let addresses: Vec<_> = addresses.iter().map(|ip| SocketAddr::new(*ip, port)).collect();
                if upstream.resolved(url, &addresses) || fails {
                    tracing::info!(upstream = &*upstream.name, server = %url, ?addresses, "a name has new addresses");
                }
                fails = false;
                let now = Instant::now();
                sleep_until(valid_until.clamp(now + SHORTEST, now + LONGEST)).await;
            }
            Err(error) => {
                if !fails {
                    tracing::warn!(
                        upstream = &*upstream.name,
                        server = %url,
                        error = &*error as &dyn std::error::Error,
                        "the name of a server does not resolve; the server keeps the addresses that it had, if any"
                    );
                }
                fails = true;
                sleep(AGAIN).await;
            }
        }
    }
}

type Answer = (Vec<std::net::IpAddr>, Instant);

/// Asks as the system's configuration and hosts file say, which are read anew: both may have changed.
async fn ask(host: &str) -> Result<Answer, Box<dyn std::error::Error + Send + Sync>> {
    let mut builder = TokioResolver::builder_tokio()?;
    let options = builder.options_mut();
    options.ip_strategy = LookupIpStrategy::Ipv4AndIpv6;
    // Nothing is asked twice before its time: there is nothing to keep.
    options.cache_size = 0;
    let found = builder.build()?.lookup_ip(host).await?;
    let valid_for = found.valid_until().saturating_duration_since(now_of_the_resolver());
    let mut addresses: Vec<_> = found.iter().collect();
    addresses.sort_unstable();
    Ok((addresses, Instant::now() + valid_for))
}

#[allow(clippy::disallowed_types, reason = "the resolver tells times by it")]
fn now_of_the_resolver() -> std::time::Instant {
    std::time::Instant::now()
}
