//! Which path is answered by what.

use std::sync::Arc;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::http::{HeaderMap, Method, StatusCode, Uri, header};
use axum::middleware::{from_fn_with_state, map_response};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};

use super::events::{self, Entrance};
use super::guard::guard;
use super::problem::problem;
use super::steer::MAX_BODY_BYTES;
use super::{AdminState, heap_profile, inspect, memory, page, probes, snapshot, steer, upstreams};

pub(super) fn router(state: AdminState, entrance: Entrance) -> Router {
    Router::new()
        .route("/", get(index))
        .route("/page/{file}", get(page::file))
        .route("/api/events", get(events::events).with_state(entrance))
        .route("/metrics", get(inspect::metrics))
        .route("/livez", get(probes::live))
        .route("/readyz", get(probes::ready))
        .route("/api/slabs", get(inspect::slabs))
        .route("/api/connections", get(inspect::connections))
        .route("/api/memory", get(memory::memory))
        .route("/snapshot", get(snapshot::snapshot))
        .route("/debug/pprof/heap", get(heap_profile::heap_profile))
        .route("/api/head_policy", get(steer::head_policy).put(steer::set_head_policy))
        .route("/api/upstreams", get(upstreams::upstreams).put(upstreams::set_draining))
        .route("/api/reload", post(steer::reload))
        .route("/api/drain", post(steer::drain))
        .method_not_allowed_fallback(wrong_method)
        .fallback(unknown)
        .layer(map_response(page::harden))
        .layer(DefaultBodyLimit::max(MAX_BODY_BYTES))
        .layer(from_fn_with_state(Arc::clone(&state.hosts), guard))
        .with_state(state)
}

/// A browser gets the live page, curl a list; HEAD and If-None-Match as usual.
async fn index(headers: HeaderMap) -> Response {
    if page::is_wanted(&headers) {
        return page::document(&headers);
    }
    let text = concat!(
        "headpin ",
        env!("CARGO_PKG_VERSION"),
        "\n\n",
        "GET  /                   the live page, in a browser\n",
        "GET  /metrics            every series, for Prometheus\n",
        "GET  /livez /readyz      probes\n",
        "GET  /api/slabs          every live slab and who pins it\n",
        "GET  /api/connections    every connection\n",
        "GET  /api/memory         resident set by parts, kernel memory, usage trend\n",
        "GET  /api/events         what the live page shows, as server-sent events\n",
        "GET  /snapshot           a V8 heap snapshot, for Chrome's DevTools\n",
        "GET  /debug/pprof/heap   a heap profile, for pprof\n",
        "GET  /api/head_policy    the policy in force\n",
        "PUT  /api/head_policy    {\"head_policy\": \"copy\"} or {\"head_policy\": \"pin\"}\n",
        "GET  /api/upstreams      upstream servers: state and why, requests, tunnels, latency\n",
        "PUT  /api/upstreams      {\"upstream\": \"default\", \"server\": \"http://127.0.0.1:9001\", \"drain\": true}\n",
        "POST /api/reload         read the config file again\n",
        "POST /api/drain          stop accepting, close every tunnel with 1001, exit\n",
    );
    let headers = [
        (header::CONTENT_TYPE, "text/plain; charset=utf-8"),
        (header::VARY, "Accept"),
    ];
    (headers, text).into_response()
}

async fn wrong_method(method: Method, uri: Uri) -> Response {
    problem(
        StatusCode::METHOD_NOT_ALLOWED,
        format!("{} does not take {method}; GET / lists what does", uri.path()),
    )
}

async fn unknown(uri: Uri) -> Response {
    problem(
        StatusCode::NOT_FOUND,
        format!("there is no {}; GET / lists what is there", uri.path()),
    )
}
