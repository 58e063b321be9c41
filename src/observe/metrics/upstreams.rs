//! The series of upstreams, their servers and routes, whose names come from the config.

use prometheus::{Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec};

use super::{Labelled, REQUEST_SECONDS, Registrar, opts};
use crate::observe::labels::StatusClass;

/// The families with the names of upstreams.
#[derive(Debug)]
pub struct UpstreamFamilies {
    up: IntGaugeVec,
    tunnels: IntGaugeVec,
    requests: IntCounterVec,
    failures: IntCounterVec,
    retries: IntCounterVec,
}

/// The series of one server of a config. The addresses of a name share them.
#[derive(Debug)]
pub struct ServerSeries {
    /// Addresses that take their turn.
    pub up: IntGauge,
    /// Tunnels to it.
    pub tunnels: IntGauge,
    /// Requests that it was sent.
    pub requests: IntCounter,
    /// Requests that it failed.
    pub failures: IntCounter,
}

/// The families with the names of routes.
#[derive(Debug)]
pub struct RouteFamilies {
    requests: IntCounterVec,
    seconds: HistogramVec,
    tunnels: IntGaugeVec,
}

/// The series of one route.
#[derive(Debug)]
pub struct RouteSeries {
    /// Requests answered.
    pub requests: Labelled<StatusClass, IntCounter>,
    /// From the head of a request to the head of its response.
    pub seconds: Histogram,
    /// Tunnels that are open.
    pub tunnels: IntGauge,
}

impl UpstreamFamilies {
    pub(super) fn register(r: &Registrar<'_>) -> Result<Self, prometheus::Error> {
        let both = &["upstream", "server"];
        Ok(Self {
            up: r.gauge_vec(
                "upstream_server_up",
                "Addresses of the server of the config that are tried in turn, 0 while it is passed over.",
                both,
            )?,
            tunnels: r.gauge_vec("upstream_tunnels_open", "Tunnels to the server.", both)?,
            requests: r.counter_vec("upstream_requests_total", "Requests that the server was sent.", both)?,
            failures: r.counter_vec(
                "upstream_server_failures_total",
                "Requests and connections that the server failed.",
                both,
            )?,
            retries: r.counter_vec(
                "upstream_retries_total",
                "Requests that went to another server, after one broke off without an answer.",
                &["upstream"],
            )?,
        })
    }

    /// The series of `server` in `upstream`.
    #[must_use]
    pub fn server(&self, upstream: &str, server: &str) -> ServerSeries {
        let both = &[upstream, server];
        ServerSeries {
            up: self.up.with_label_values(both),
            tunnels: self.tunnels.with_label_values(both),
            requests: self.requests.with_label_values(both),
            failures: self.failures.with_label_values(both),
        }
    }

    /// Repeated requests of `upstream`.
    #[must_use]
    pub fn retries(&self, upstream: &str) -> IntCounter {
        self.retries.with_label_values(&[upstream])
    }

    /// Takes a server that no config has any more out of what is shown.
    pub fn remove(&self, upstream: &str, server: &str) {
        let both = &[upstream, server];
        // A family that does not have it does not need to forget it.
        let _ = self.up.remove_label_values(both);
        let _ = self.requests.remove_label_values(both);
        let _ = self.failures.remove_label_values(both);
    }
}

impl RouteFamilies {
    pub(super) fn register(r: &Registrar<'_>) -> Result<Self, prometheus::Error> {
        let seconds = HistogramOpts {
            common_opts: opts(
                "route_request_seconds",
                "From the request head to the response head, by route.",
            ),
            buckets: REQUEST_SECONDS.to_vec(),
        };
        Ok(Self {
            requests: r.counter_vec(
                "route_requests_total",
                "Requests answered, by route and first digit of the status.",
                &["route", "status"],
            )?,
            seconds: r.add(HistogramVec::new(seconds, &["route"])?)?,
            tunnels: r.gauge_vec("route_tunnels_open", "Tunnels that relay, by route.", &["route"])?,
        })
    }

    /// The series of `route`.
    #[must_use]
    pub fn route(&self, route: &str) -> RouteSeries {
        RouteSeries {
            requests: Labelled::new(|status| self.requests.with_label_values(&[route, status])),
            seconds: self.seconds.with_label_values(&[route]),
            tunnels: self.tunnels.with_label_values(&[route]),
        }
    }
}
