//! The closed enums that metrics use as label values.

use headpin_labels::labels;
pub use headpin_labels::{Label, UnknownLabel};
pub use headpin_ledger::MemoryPart;
pub use headpin_slab::{HeadPolicy, SlabClass};

labels! {
    /// What a tunnel does with bytes that the side they go to does not take.
    RelayPolicy {
        /// The cure: read no more until the rest has gone. Backpressure.
        Pipe = "pipe",
        /// The bug: read on, and queue in memory without limit.
        Queue = "queue",
    }

    /// The direction of a relay or of a body.
    Direction {
        /// From the client to the origin.
        ToUpstream = "to_upstream",
        /// From the origin to the client.
        ToDownstream = "to_downstream",
    }

    /// How a TLS handshake ended.
    HandshakeResult {
        /// Done, by a full exchange.
        Full = "full",
        /// Done, from a ticket.
        Resumed = "resumed",
        /// The client spoke plain HTTP.
        PlainHttp = "plain_http",
        /// The deadline passed.
        Timeout = "timeout",
        /// TLS said no: no common version or cipher, garbage, a broken record, an alert of the client.
        Tls = "tls_error",
        /// The client went away.
        Closed = "closed",
    }

    /// How an upgrade request ended.
    UpgradeResult {
        /// 101 on both sides, the tunnel runs.
        Switched = "switched",
        /// The request is not a WebSocket handshake as RFC 6455 section 4.2.1 wants it.
        BadRequest = "bad_request",
        /// The upstream answered something other than 101, which the client got as it was.
        Declined = "declined",
        /// The upstream's 101 does not prove that it understood (RFC 6455 section 4.2.2), or is no HTTP.
        BadResponse = "bad_response",
        /// No upstream server could be reached, or it closed before it answered.
        Unreachable = "unreachable",
        /// The upstream did not connect or answer in time.
        Timeout = "timeout",
        /// The client left before the upstream had answered.
        Abandoned = "abandoned",
    }

    /// Why a tunnel ended.
    CloseReason {
        /// Both ends exchanged Close frames, or the side that closed first was the client.
        ClientClose = "client_close",
        /// The upstream sent the first Close frame.
        UpstreamClose = "upstream_close",
        /// Both sides ended their streams without a Close frame, the client first.
        ClientEnd = "client_end",
        /// Both sides ended their streams without a Close frame, the upstream first.
        UpstreamEnd = "upstream_end",
        /// The client's connection broke.
        ClientError = "client_error",
        /// The upstream's connection broke.
        UpstreamError = "upstream_error",
        /// Nothing moved for `tunnel.idle_timeout`.
        Idle = "idle",
        /// Drained: both sides got Close 1001 and answered it, or ended.
        Drain = "drain",
        /// Still open when the grace of the drain was over.
        Abandoned = "abandoned",
        /// Its route is gone from the config: both sides got Close 1001.
        RouteGone = "route_gone",
        /// Its server is gone from the config or from its name: both sides got Close 1012, in waves.
        ServerGone = "server_gone",
    }

    /// How an HTTP connection (one that did not become a tunnel) ended.
    HttpClose {
        /// Keep-alive ended by either side, between requests.
        Done = "done",
        /// The request head did not arrive in time.
        HeaderTimeout = "header_timeout",
        /// The request was no HTTP, or its head was too large.
        BadRequest = "bad_request",
        /// The connection broke in the middle of a message.
        Incomplete = "incomplete",
        /// Reading or writing failed.
        Io = "io",
        /// It became a tunnel.
        Upgraded = "upgraded",
        /// It went to another process, between requests.
        HandedOver = "handed_over",
    }

    /// How a config reload ended.
    ReloadResult {
        /// The file is in force.
        Applied = "applied",
        /// The file is faulty, nothing changed.
        Refused = "refused",
    }

    /// How a hand-over to a successor ended.
    HandoverResult {
        /// The successor has everything that could go.
        Given = "given",
        /// It has not; this process serves on.
        Failed = "failed",
    }

    /// What goes to a successor.
    HandedKind {
        /// A tunnel.
        Tunnel = "tunnel",
        /// A connection between two requests.
        Connection = "connection",
    }

    /// Why something did not go to a successor.
    HandoverLeft {
        /// rustls has the keys of TLS 1.2.
        Tls12 = "tls_1_2",
        /// The successor could not go on with it.
        Refused = "refused",
        /// The predecessor died, or gave up, before it went.
        Broken = "broken",
    }

    /// A large answer of the admin endpoints.
    DumpKind {
        /// `/snapshot`.
        HeapSnapshot = "heap_snapshot",
        /// `/debug/pprof/heap`.
        HeapProfile = "heap_profile",
    }

    /// Why an upstream server could not be used.
    UpstreamFailure {
        /// Connecting was refused or the route failed.
        Connect = "connect",
        /// Connecting took longer than `upstream.connect_timeout`.
        ConnectTimeout = "connect_timeout",
        /// The name did not resolve.
        Resolve = "resolve",
        /// The TLS handshake with an https server failed.
        Tls = "tls",
        /// The connection broke, or what came was no HTTP.
        Protocol = "protocol",
        /// No response head within `upstream.response_timeout`.
        ResponseTimeout = "response_timeout",
    }

    /// The first digit of a response's status code.
    StatusClass {
        /// Informational, here only 101.
        Informational = "1xx",
        /// The request was served.
        Success = "2xx",
        /// Look elsewhere.
        Redirect = "3xx",
        /// The client's fault.
        ClientError = "4xx",
        /// The upstream's fault, or ours.
        ServerError = "5xx",
    }

    /// What jemalloc tells of itself; see its manual, `stats.*`.
    AllocatorKind {
        /// Asked for and not given back, thread caches included.
        Allocated = "allocated",
        /// Pages with at least one allocation in them.
        Active = "active",
        /// The allocator's own bookkeeping.
        Metadata = "metadata",
        /// Active pages, bookkeeping and dirty pages; also such as were never touched.
        Resident = "resident",
        /// Address space kept for later, not resident.
        Retained = "retained",
    }
}
