//! Active checks of servers.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{HOST, USER_AGENT};
use http::{HeaderValue, Request};
use http_body_util::{BodyExt, Empty};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::time::{Instant, MissedTickBehavior, interval, timeout_at};
use tokio_util::task::TaskTracker;

use super::group::Upstream;
use super::server::Server;
use super::state::causes;
use crate::config::{HealthConfig, HumanDuration};

/// As much of a body as is looked at, in bytes.
const MOST_OF_BODY: usize = 64 * 1024;
const NAME: HeaderValue = HeaderValue::from_static(concat!("headpin/", env!("CARGO_PKG_VERSION"), " (health check)"));

/// Checks every server of `upstream` at its interval, for as long as this is polled; returns at once if the config says none.
///
/// # Cancel safety
/// Dropped, checks that are under way end with `tasks`.
pub async fn check_servers(upstream: Arc<Upstream>, tasks: TaskTracker) {
    let Some(config) = upstream.config.health.clone() else {
        return;
    };
    let mut ticks = interval(config.interval);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        for server in &upstream.servers().servers {
            let (upstream, server, config) = (Arc::clone(&upstream), Arc::clone(server), config.clone());
            tasks.spawn_local(async move {
                let result = check(&upstream, &server, &config).await;
                note(&upstream, &server, &config, result);
            });
        }
    }
}

fn note(upstream: &Upstream, server: &Server, config: &HealthConfig, result: Result<(), String>) {
    let result = result.as_ref().map_err(String::as_str).copied();
    if !server.state.checked(result, config.fall.get(), config.rise.get()) {
        return;
    }
    let (upstream, address) = (&*upstream.name, &server.endpoint);
    match result {
        Ok(()) => tracing::info!(upstream, server = %server.url, %address, "a server is healthy again"),
        Err(why) => tracing::warn!(upstream, server = %server.url, %address, why, "a server is unhealthy"),
    }
}

/// One check. What is wrong is told in words.
async fn check(upstream: &Upstream, server: &Server, config: &HealthConfig) -> Result<(), String> {
    let deadline = Instant::now() + config.timeout;
    let late = || format!("its check took longer than {}", seconds(config.timeout));
    let stream = upstream.dialer.stream(server, deadline).await;
    let stream = stream.map_err(|error| format!("its check failed: {}", causes(&error)))?;
    let Some(path) = &config.path else { return Ok(()) };
    let broke = |error: hyper::Error| format!("its check broke off: {}", causes(&error));
    let exchange = async {
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(broke)?;
        let host = config.host.as_ref().map_or(&server.host, |host| host.value());
        let request = Request::get(path.to_string())
            .header(HOST, host)
            .header(USER_AGENT, NAME)
            .body(Empty::<Bytes>::new());
        let request = request.map_err(|error| error.to_string())?;
        let answering = async {
            let mut response = sender.send_request(request).await.map_err(broke)?;
            let status = response.status();
            if !config.status.has(status.as_u16()) {
                return Err(format!(
                    "its check was answered {}, not {}",
                    status.as_u16(),
                    config.status
                ));
            }
            let Some(wanted) = &config.body else { return Ok(()) };
            let mut body = Vec::new();
            while let Some(frame) = response.frame().await {
                body.extend_from_slice(frame.map_err(broke)?.data_ref().map_or(&[][..], |data| data));
                if body.windows(wanted.len()).any(|window| window == wanted.as_bytes()) {
                    return Ok(());
                }
                if body.len() >= MOST_OF_BODY {
                    break;
                }
            }
            Err(format!("the body of its check does not have {wanted:?}"))
        };
        // The connection has to be polled until there is an answer. Where it ends first, the answer is an error.
        let driving = async {
            drop(connection.await);
            std::future::pending().await
        };
        tokio::select! {
            answered = answering => answered,
            never = driving => never,
        }
    };
    timeout_at(deadline, exchange).await.unwrap_or_else(|_| Err(late()))
}

fn seconds(duration: Duration) -> String {
    HumanDuration(duration).to_string()
}
