//! The closed enums that metrics use as label values.
//!
//! A label must never carry anything that a peer chooses, or its cardinality is theirs to choose too. So each label is
//! an enum here, with the text that metrics, logs, config and the admin API show for it.

use std::fmt;
use std::str::FromStr;

/// A text that names no variant of the label it was parsed as.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown value, accepted is one of: {}", .accepted.join(", "))]
pub struct UnknownLabel {
    /// Every text that would have been understood.
    pub accepted: &'static [&'static str],
}

/// What every label enum offers to code that works with any of them.
pub trait Label: Copy + 'static {
    /// Every variant, in the order of declaration.
    const VARIANTS: &'static [Self];

    /// Place in [`Self::VARIANTS`].
    fn index(self) -> usize;

    /// The text used as label value.
    fn text(self) -> &'static str;
}

macro_rules! labels {
    ($($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $text:literal,)+ })+) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum $name {
            $($(#[$variant_doc])* $variant,)+
        }

        impl $name {
            /// Every variant, in the order of declaration.
            pub const ALL: [Self; [$(Self::$variant),+].len()] = [$(Self::$variant),+];

            /// The text used as label value, in logs and in config.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $text,)+
                }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl Label for $name {
            const VARIANTS: &'static [Self] = &Self::ALL;

            fn index(self) -> usize {
                self as usize
            }

            fn text(self) -> &'static str {
                self.as_str()
            }
        }

        impl FromStr for $name {
            type Err = UnknownLabel;

            fn from_str(text: &str) -> Result<Self, UnknownLabel> {
                match text {
                    $($text => Ok(Self::$variant),)+
                    _ => Err(UnknownLabel { accepted: &[$($text),+] }),
                }
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.as_str())
            }
        }
    )+};
}

labels! {
    /// What becomes of a head once its tunnel runs.
    HeadPolicy {
        /// The cure: copy the head to an allocation of its own size, forward it, let it go.
        Copy = "copy",
        /// The bug: hold the slice that the head was cut from for the tunnel's life.
        Pin = "pin",
    }

    /// What a tunnel does with bytes that the side they go to does not take.
    RelayPolicy {
        /// The cure: read no more until the rest has gone. Backpressure.
        Pipe = "pipe",
        /// The bug: read on, and queue in memory without limit.
        Queue = "queue",
    }

    /// Which reads a slab serves.
    SlabClass {
        /// Plaintext of downstream TLS connections (10 MiB, as `SlabBuffer` in Node 0.8's tls.js).
        Tls = "tls",
        /// Plaintext of upstream connections (1 MiB, as `SLAB_SIZE` in Node 0.8's stream_wrap.cc).
        Tcp = "tcp",
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
    }

    /// How a config reload ended.
    ReloadResult {
        /// The file is in force.
        Applied = "applied",
        /// The file is faulty, nothing changed.
        Refused = "refused",
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

    /// A part of the process's resident memory. The parts are exclusive, and their sum is the resident set.
    MemoryPart {
        /// Resident pages of the live slabs.
        Slabs = "slabs",
        /// TLS sessions, their keys included, and the workers' buffers for ciphertext.
        Tls = "tls",
        /// Tunnels: tasks, relays, records, registrations of their sockets.
        Tunnels = "tunnels",
        /// HTTP connections with their requests, those in the handshake included.
        Http = "http",
        /// Bytes that wait: the rest of blocked writes, partial records, queues.
        Unsent = "unsent",
        /// Resident memory of the allocator that nothing is in: caches, gaps, dirty pages, its own bookkeeping.
        AllocatorSlack = "allocator_slack",
        /// The program and its libraries, their data, the stacks of all threads.
        CodeAndStacks = "code_and_stacks",
        /// What no other part claims: config, metrics, the admin endpoints, the runtimes, pooled upstream connections.
        Other = "other",
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_label_parses_back_from_its_text() {
        for policy in HeadPolicy::ALL {
            assert_eq!(policy.as_str().parse(), Ok(policy));
        }
        let unknown = "pinned".parse::<HeadPolicy>().expect_err("no such policy");
        assert_eq!(unknown.to_string(), "unknown value, accepted is one of: copy, pin");
    }
}
