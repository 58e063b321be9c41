//! Every series that headpin exports, in one place.
//!
//! The registry is passed in, never global, so that two proxies in one process (as in the tests) do not share counters.
//! Label children are resolved once, here: counting is an atomic add and nothing else. What is counted per message goes
//! through a [`CounterWriter`] for each worker, so that workers never write to one another's cache lines and need no
//! locked instruction; a scrape sums them up.

mod slabs;
mod upstreams;
mod worker;

use std::fmt;
use std::marker::PhantomData;
use std::ops::Index;
use std::sync::Arc;

use prometheus::core::Collector;
use prometheus::{Gauge, Histogram, HistogramOpts, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry};

use crate::observe::labels::{
    AllocatorKind, CloseReason, Direction, DumpKind, HandedKind, HandoverLeft, HandoverResult, HandshakeResult,
    HeadPolicy, HttpClose, Label, MemoryPart, ReloadResult, SlabClass, StatusClass, UpgradeResult, UpstreamFailure,
};

pub use self::slabs::SlabMeter;
pub use self::upstreams::{RouteFamilies, RouteSeries, ServerSeries, UpstreamFamilies};
pub use self::worker::CounterWriter;
use self::worker::WorkerSum;

/// Upper bounds of the handshake histogram, in seconds: a resumed handshake on loopback to a slow phone.
const HANDSHAKE_SECONDS: [f64; 11] = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1.0, 5.0];
/// Upper bounds of the request histogram, in seconds, up to the default of `upstream.response_timeout`.
const REQUEST_SECONDS: [f64; 12] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0, 15.0, 60.0];
/// Upper bounds of the tunnel lifetime histogram, in seconds: from a failed page load to a day.
const TUNNEL_SECONDS: [f64; 9] = [1.0, 10.0, 60.0, 300.0, 900.0, 3600.0, 14400.0, 43200.0, 86400.0];

/// Upper bounds of the dump histogram, in seconds, up to the default of `admin.dump_timeout`.
const DUMP_SECONDS: [f64; 8] = [0.01, 0.05, 0.25, 1.0, 5.0, 15.0, 30.0, 60.0];

/// Upper bounds of the hand-over's pauses, in seconds, up to the time after which a successor is given up.
const PAUSE_SECONDS: [f64; 10] = [0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 1.0, 5.0];

/// The children of one family, one for each value of its label.
pub struct Labelled<L, M> {
    children: Box<[M]>,
    label: PhantomData<fn(L)>,
}

impl<L: Label, M> Labelled<L, M> {
    fn new(child: impl Fn(&'static str) -> M) -> Self {
        Self {
            children: L::VARIANTS.iter().map(|label| child(label.text())).collect(),
            label: PhantomData,
        }
    }
}

impl<L: Label, M> Index<L> for Labelled<L, M> {
    type Output = M;

    fn index(&self, label: L) -> &M {
        &self.children[label.index()]
    }
}

impl<L, M> fmt::Debug for Labelled<L, M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Labelled")
            .field("children", &self.children.len())
            .finish()
    }
}

/// Every series, with the exported name minus the prefix `headpin_` as field name.
#[derive(Debug)]
#[allow(
    missing_docs,
    reason = "the help texts, a few lines below, are the documentation of these fields"
)]
pub struct Metrics {
    pub slabs_live: Labelled<SlabClass, IntGauge>,
    pub slab_live_bytes: Labelled<SlabClass, IntGauge>,
    pub slabs_pinned: Labelled<SlabClass, IntGauge>,
    pub slab_pinned_bytes: Labelled<SlabClass, IntGauge>,
    pub slab_used_bytes: Labelled<SlabClass, IntGauge>,
    pub heads_held: Labelled<SlabClass, IntGauge>,
    pub head_held_bytes: Labelled<SlabClass, IntGauge>,
    pub slabs_created_total: Labelled<SlabClass, IntCounter>,
    pub slabs_freed_total: Labelled<SlabClass, IntCounter>,
    pub head_policy: Labelled<HeadPolicy, IntGauge>,
    pub downstream_connections_open: IntGauge,
    pub downstream_connections_total: IntCounter,
    pub accept_errors_total: IntCounter,
    pub tls_handshakes_total: Labelled<HandshakeResult, IntCounter>,
    pub tls_handshake_seconds: Histogram,
    pub http_connections_closed_total: Labelled<HttpClose, IntCounter>,
    pub requests_total: Labelled<StatusClass, IntCounter>,
    pub requests_in_flight: IntGauge,
    pub request_seconds: Histogram,
    pub request_body_bytes_total: IntCounter,
    pub response_body_bytes_total: IntCounter,
    pub upgrades_total: Labelled<UpgradeResult, IntCounter>,
    pub tunnels_open: IntGauge,
    pub tunnels_closed_total: Labelled<CloseReason, IntCounter>,
    pub tunnel_seconds: Histogram,
    pub upstream_connections_open: IntGauge,
    pub upstream_failures_total: Labelled<UpstreamFailure, IntCounter>,
    pub upstreams: UpstreamFamilies,
    pub routes: RouteFamilies,
    pub config_reloads_total: Labelled<ReloadResult, IntCounter>,
    pub config_last_applied_timestamp_seconds: Gauge,
    pub config_last_reload_successful: IntGauge,
    pub certificate_expiry_timestamp_seconds: Gauge,
    pub handovers_total: Labelled<HandoverResult, IntCounter>,
    pub handover_taken: Labelled<HandedKind, IntGauge>,
    pub handover_left: Labelled<HandoverLeft, IntGauge>,
    pub handover_seconds: Gauge,
    pub handover_longest_pause_seconds: Gauge,
    pub handover_pause_seconds: Histogram,
    pub dumps_total: Labelled<DumpKind, IntCounter>,
    pub dumps_abandoned_total: Labelled<DumpKind, IntCounter>,
    pub dump_bytes_total: Labelled<DumpKind, IntCounter>,
    pub dump_seconds: Histogram,
    pub draining: IntGauge,
    pub memory_bytes: Labelled<MemoryPart, IntGauge>,
    pub memory_limit_bytes: IntGauge,
    pub allocator_bytes: Labelled<AllocatorKind, IntGauge>,
    pub memory_usage_trend_ratio: Gauge,
    pub memory_usage_base_bytes: Gauge,
    pub memory_usage_min_bytes: Gauge,
    pub memory_usage_max_bytes: Gauge,
    pub memory_usage_min_timestamp_seconds: Gauge,
    pub memory_usage_max_timestamp_seconds: Gauge,
    pub memory_leak_suspected: IntGauge,
    pub memory_leak_verdicts_total: IntCounter,
    pub log_lines_dropped_total: IntCounter,
    pub kernel_tcp_memory_bytes: IntGauge,
    pub kernel_tcp_sockets: IntGauge,
    workers: WorkerSum,
}

impl Metrics {
    /// Makes every series and registers it.
    ///
    /// # Errors
    /// When the registry already holds one of the names: give each proxy a registry of its own.
    pub fn register(registry: &Registry) -> Result<Arc<Self>, prometheus::Error> {
        let r = Registrar { registry };
        let build = r.gauge_vec("build_info", "Always 1; the version that runs.", &["version"])?;
        build.with_label_values(&[env!("CARGO_PKG_VERSION")]).set(1);
        let workers = WorkerSum::default();
        registry.register(Box::new(workers.clone()))?;
        #[cfg(target_os = "linux")]
        registry.register(Box::new(prometheus::process_collector::ProcessCollector::for_self()))?;
        Ok(Arc::new(Self {
            slabs_live: r.gauges("slabs_live", "Slabs whose memory exists.", "class")?,
            slab_live_bytes: r.gauges("slab_live_bytes", "Capacity of the live slabs.", "class")?,
            slabs_pinned: r.gauges("slabs_pinned", "Retired slabs that a held head keeps alive.", "class")?,
            slab_pinned_bytes: r.gauges(
                "slab_pinned_bytes",
                "Capacity of the retired slabs that a held head keeps alive.",
                "class",
            )?,
            slab_used_bytes: r.gauges(
                "slab_used_bytes",
                "Bytes of the live slabs that a slice is kept for: heads, and what HTTP connections remember.",
                "class",
            )?,
            heads_held: r.gauges("heads_held", "Heads that tunnels hold as slices of a slab.", "class")?,
            head_held_bytes: r.gauges("head_held_bytes", "Bytes of the heads that tunnels hold.", "class")?,
            slabs_created_total: r.counters("slabs_created_total", "Slabs allocated.", "class")?,
            slabs_freed_total: r.counters("slabs_freed_total", "Slabs whose memory was given back.", "class")?,
            head_policy: r.gauges("head_policy", "1 for the head policy in force.", "policy")?,
            downstream_connections_open: r.gauge("downstream_connections_open", "Connections from clients.")?,
            downstream_connections_total: r.counter("downstream_connections_total", "Connections accepted.")?,
            accept_errors_total: r.counter(
                "accept_errors_total",
                "Failed accepts, peers that left the backlog not counted; file descriptors run out this way.",
            )?,
            tls_handshakes_total: r.counters("tls_handshakes_total", "TLS handshakes, by how they ended.", "result")?,
            tls_handshake_seconds: r.histogram(
                "tls_handshake_seconds",
                "From accept to the end of a TLS handshake that succeeded.",
                &HANDSHAKE_SECONDS,
            )?,
            http_connections_closed_total: r.counters(
                "http_connections_closed_total",
                "Ends of HTTP connections; those that became a tunnel go on as one.",
                "reason",
            )?,
            requests_total: r.counters(
                "requests_total",
                "Requests answered, by first digit of the status.",
                "status",
            )?,
            requests_in_flight: r.gauge("requests_in_flight", "Requests whose response is not complete.")?,
            request_seconds: r.histogram(
                "request_seconds",
                "From the request head to the response head.",
                &REQUEST_SECONDS,
            )?,
            request_body_bytes_total: r.counter("request_body_bytes_total", "Body bytes forwarded to upstreams.")?,
            response_body_bytes_total: r.counter("response_body_bytes_total", "Body bytes sent to clients.")?,
            upgrades_total: r.counters("upgrades_total", "Upgrade requests, by how they ended.", "result")?,
            tunnels_open: r.gauge("tunnels_open", "Tunnels that relay.")?,
            tunnels_closed_total: r.counters("tunnels_closed_total", "Tunnels that ended, by cause.", "reason")?,
            tunnel_seconds: r.histogram("tunnel_seconds", "Lifetime of tunnels that ended.", &TUNNEL_SECONDS)?,
            upstream_connections_open: r.gauge("upstream_connections_open", "Connections to upstream servers.")?,
            upstream_failures_total: r.counters(
                "upstream_failures_total",
                "Attempts that an upstream server failed, by cause.",
                "cause",
            )?,
            upstreams: UpstreamFamilies::register(&r)?,
            routes: RouteFamilies::register(&r)?,
            config_reloads_total: r.counters("config_reloads_total", "Reloads of the config, by result.", "result")?,
            config_last_applied_timestamp_seconds: r.float_gauge(
                "config_last_applied_timestamp_seconds",
                "When the config in force was applied.",
            )?,
            config_last_reload_successful: r.gauge(
                "config_last_reload_successful",
                "0 from a refused reload until one is applied: the file on disk is faulty, an older one is in force.",
            )?,
            certificate_expiry_timestamp_seconds: r.float_gauge(
                "certificate_expiry_timestamp_seconds",
                "When the first of the certificates in force ends to be valid, those of the chains included.",
            )?,
            handovers_total: r.counters(
                "handovers_total",
                "Hand-overs to a successor that this process has tried, by result.",
                "result",
            )?,
            handover_taken: r.gauges(
                "handover_taken",
                "What this process has taken over from its predecessor.",
                "kind",
            )?,
            handover_left: r.gauges(
                "handover_left",
                "Tunnels and connections that the predecessor did not hand over to this process, by why.",
                "reason",
            )?,
            handover_seconds: r.float_gauge(
                "handover_seconds",
                "How long it took to take over what the predecessor had.",
            )?,
            handover_longest_pause_seconds: r.float_gauge(
                "handover_longest_pause_seconds",
                "The longest time in which no process looked after one of the tunnels and connections that were taken over.",
            )?,
            handover_pause_seconds: r.histogram(
                "handover_pause_seconds",
                "How long no process looked after each of the tunnels and connections that were taken over.",
                &PAUSE_SECONDS,
            )?,
            dumps_total: r.counters(
                "dumps_total",
                "Heap snapshots and heap profiles that a client has read.",
                "kind",
            )?,
            dumps_abandoned_total: r.counters(
                "dumps_abandoned_total",
                "Heap snapshots and heap profiles whose client left or was too slow.",
                "kind",
            )?,
            dump_bytes_total: r.counters(
                "dump_bytes_total",
                "Bytes of the heap snapshots and heap profiles that a client has read.",
                "kind",
            )?,
            dump_seconds: r.histogram(
                "dump_seconds",
                "From the request for a heap snapshot or heap profile to its last byte.",
                &DUMP_SECONDS,
            )?,
            draining: r.gauge("draining", "1 from the start of a drain.")?,
            memory_bytes: r.gauges(
                "memory_bytes",
                "What the resident set is made of: the parts are exclusive, their sum is the resident set.",
                "part",
            )?,
            memory_limit_bytes: r.gauge(
                "memory_limit_bytes",
                "The least of the machine's memory and the limits of the process's cgroups.",
            )?,
            allocator_bytes: r.gauges("allocator_bytes", "What jemalloc tells of itself.", "kind")?,
            memory_usage_trend_ratio: r.float_gauge(
                "memory_usage_trend_ratio",
                "Recent against long-term mean of allocated memory: lastingly above 0, it leaks.",
            )?,
            memory_usage_base_bytes: r.float_gauge(
                "memory_usage_base_bytes",
                "Allocated memory when least of it is in use: the lowest sample of the last window.",
            )?,
            memory_usage_min_bytes: r.float_gauge("memory_usage_min_bytes", "The least allocated memory sampled.")?,
            memory_usage_max_bytes: r.float_gauge("memory_usage_max_bytes", "The most allocated memory sampled.")?,
            memory_usage_min_timestamp_seconds: r.float_gauge(
                "memory_usage_min_timestamp_seconds",
                "When the least allocated memory was sampled.",
            )?,
            memory_usage_max_timestamp_seconds: r.float_gauge(
                "memory_usage_max_timestamp_seconds",
                "When the most allocated memory was sampled.",
            )?,
            memory_leak_suspected: r.gauge(
                "memory_leak_suspected",
                "1 after the base of allocated memory has grown five times in a row, until it falls or rests.",
            )?,
            memory_leak_verdicts_total: r
                .counter("memory_leak_verdicts_total", "Times that a leak came to be suspected.")?,
            log_lines_dropped_total: r.counter(
                "log_lines_dropped_total",
                "Lines of the log that are lost, because nobody read standard error in time.",
            )?,
            kernel_tcp_memory_bytes: r.gauge(
                "kernel_tcp_memory_bytes",
                "Kernel memory for the buffers of TCP sockets, those of other processes included; in no resident set.",
            )?,
            kernel_tcp_sockets: r.gauge("kernel_tcp_sockets", "TCP sockets that the kernel counts, as above.")?,
            workers,
        }))
    }

    /// The counters of one more worker, summed into the exported series from now on, also after the worker's end. Each
    /// worker asks on its own thread.
    #[must_use]
    pub fn worker(&self) -> CounterWriter {
        self.workers.add()
    }

    /// Bytes that the tunnels of all workers have relayed.
    #[must_use]
    pub fn tunnel_bytes(&self, direction: Direction) -> u64 {
        self.workers.tunnel_bytes(direction)
    }

    /// Shows `policy` as the one in force.
    pub fn set_head_policy(&self, policy: HeadPolicy) {
        for each in HeadPolicy::ALL {
            self.head_policy[each].set(i64::from(each == policy));
        }
    }
}

/// Makes and registers in one step, so that none can be forgotten.
struct Registrar<'a> {
    registry: &'a Registry,
}

impl Registrar<'_> {
    fn add<C: Collector + Clone + 'static>(&self, collector: C) -> Result<C, prometheus::Error> {
        self.registry.register(Box::new(collector.clone()))?;
        Ok(collector)
    }

    fn gauge(&self, name: &str, help: &str) -> Result<IntGauge, prometheus::Error> {
        self.add(IntGauge::with_opts(opts(name, help))?)
    }

    fn float_gauge(&self, name: &str, help: &str) -> Result<Gauge, prometheus::Error> {
        self.add(Gauge::with_opts(opts(name, help))?)
    }

    fn counter(&self, name: &str, help: &str) -> Result<IntCounter, prometheus::Error> {
        self.add(IntCounter::with_opts(opts(name, help))?)
    }

    fn gauge_vec(&self, name: &str, help: &str, labels: &[&str]) -> Result<IntGaugeVec, prometheus::Error> {
        self.add(IntGaugeVec::new(opts(name, help), labels)?)
    }

    fn counter_vec(&self, name: &str, help: &str, labels: &[&str]) -> Result<IntCounterVec, prometheus::Error> {
        self.add(IntCounterVec::new(opts(name, help), labels)?)
    }

    fn gauges<L: Label>(
        &self,
        name: &str,
        help: &str,
        label: &str,
    ) -> Result<Labelled<L, IntGauge>, prometheus::Error> {
        let family = self.gauge_vec(name, help, &[label])?;
        Ok(Labelled::new(|value| family.with_label_values(&[value])))
    }

    fn counters<L: Label>(
        &self,
        name: &str,
        help: &str,
        label: &str,
    ) -> Result<Labelled<L, IntCounter>, prometheus::Error> {
        let family = self.counter_vec(name, help, &[label])?;
        Ok(Labelled::new(|value| family.with_label_values(&[value])))
    }

    fn histogram(&self, name: &str, help: &str, buckets: &[f64]) -> Result<Histogram, prometheus::Error> {
        let opts = HistogramOpts {
            common_opts: opts(name, help),
            buckets: buckets.to_vec(),
        };
        self.add(Histogram::with_opts(opts)?)
    }
}

fn opts(name: &str, help: &str) -> Opts {
    Opts::new(name, help).namespace("headpin")
}

/// Adds to a gauge for as long as it lives, so that no early return or cancelled future can leave it too high.
#[derive(Debug)]
#[must_use = "the gauge falls when this is dropped"]
pub struct GaugeGuard(IntGauge);

impl GaugeGuard {
    /// Adds 1 now, takes it back on drop.
    pub fn new(gauge: &IntGauge) -> Self {
        gauge.inc();
        Self(gauge.clone())
    }
}

impl Drop for GaugeGuard {
    fn drop(&mut self) {
        self.0.dec();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::Ordering;

    use super::*;

    #[test]
    fn workers_are_summed_and_the_sum_survives_them() {
        let registry = Registry::new();
        let metrics = Metrics::register(&registry).expect("an empty registry");
        for carved in [40, 2] {
            metrics
                .worker()
                .slab_carved(SlabClass::Tls)
                .store(carved, Ordering::Relaxed);
        }
        let text = prometheus::TextEncoder::new()
            .encode_to_string(&registry.gather())
            .expect("encodes");
        assert!(
            text.contains("headpin_slab_carved_bytes_total{class=\"tls\"} 42"),
            "{text}"
        );
    }

    #[test]
    fn a_guard_takes_back_what_it_added() {
        let gauge = IntGauge::new("g", "h").expect("valid");
        let guard = GaugeGuard::new(&gauge);
        assert_eq!(gauge.get(), 1);
        drop(guard);
        assert_eq!(gauge.get(), 0);
    }
}
