//! `[http]`: what requests may take, and which headers are passed on.

use std::fmt;
use std::num::NonZeroUsize;
use std::time::Duration;

use super::byte_size::ByteSize;
use super::printer::Printer;
use super::section::Section;
use super::value::{LONGEST, SHORTEST};

const DEFAULT_HEADER_TIMEOUT: Duration = Duration::from_secs(15);
const DEFAULT_BODY_TIMEOUT: Duration = Duration::from_secs(30);
const DEFAULT_MAX_HEADER_BYTES: ByteSize = ByteSize::kib(32);
const DEFAULT_MAX_REQUESTS: NonZeroUsize = NonZeroUsize::new(10_000).expect("not zero");
const DEFAULT_FORWARDED: ForwardedPolicy = ForwardedPolicy::Replace;

/// hyper takes no read buffer below 8 KiB.
const MIN_HEADER_BYTES: ByteSize = ByteSize::kib(8);
const MAX_HEADER_BYTES: ByteSize = ByteSize::mib(1);

/// Far above what one machine can have in progress; more is a slip.
const MAX_REQUESTS: usize = 1 << 30;

/// What requests may take, and which headers are passed on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpConfig {
    /// From the first wait for a request to the end of its header; then the connection is closed. It also ends
    /// connections kept alive without a request. Default 15 s.
    pub header_timeout: Duration,
    /// The longest pause within a request's body; then the request is given up. Default 30 s: a mobile client that
    /// changes cells comes back sooner.
    pub body_timeout: Duration,
    /// A request's line and header together, in bytes; a larger one is answered 431. Default 32 KiB: room for the
    /// cookies of large applications.
    pub max_header_bytes: ByteSize,
    /// Requests in progress at once in the process; past that, new ones are answered 503. Open tunnels do not count.
    /// Default 10000.
    pub max_requests: NonZeroUsize,
    /// What becomes of `Forwarded` and `X-Forwarded-*` from the client. Default: replaced, as a client may write
    /// there what it likes.
    pub forwarded: ForwardedPolicy,
}

/// What becomes of the `Forwarded` and `X-Forwarded-*` headers that a client sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ForwardedPolicy {
    /// Ours is added to them: right only behind a proxy that is trusted.
    Append,
    /// They are removed, only ours goes upstream.
    Replace,
}

impl Default for HttpConfig {
    fn default() -> Self {
        Self {
            header_timeout: DEFAULT_HEADER_TIMEOUT,
            body_timeout: DEFAULT_BODY_TIMEOUT,
            max_header_bytes: DEFAULT_MAX_HEADER_BYTES,
            max_requests: DEFAULT_MAX_REQUESTS,
            forwarded: DEFAULT_FORWARDED,
        }
    }
}

impl HttpConfig {
    pub(super) fn read(mut section: Section<'_>) -> Self {
        let config = Self {
            header_timeout: section.duration("header_timeout", DEFAULT_HEADER_TIMEOUT, SHORTEST..=LONGEST),
            body_timeout: section.duration("body_timeout", DEFAULT_BODY_TIMEOUT, SHORTEST..=LONGEST),
            max_header_bytes: section.size(
                "max_header_bytes",
                DEFAULT_MAX_HEADER_BYTES,
                MIN_HEADER_BYTES..=MAX_HEADER_BYTES,
            ),
            max_requests: section.positive("max_requests", DEFAULT_MAX_REQUESTS, MAX_REQUESTS),
            forwarded: section.choice(
                "forwarded",
                DEFAULT_FORWARDED,
                &ForwardedPolicy::ALL,
                ForwardedPolicy::as_str,
            ),
        };
        section.finish();
        config
    }

    pub(super) fn print(&self, printer: &mut Printer) {
        let Self {
            header_timeout,
            body_timeout,
            max_header_bytes,
            max_requests,
            forwarded,
        } = self;
        printer.section("http");
        printer.duration("header_timeout", *header_timeout);
        printer.duration("body_timeout", *body_timeout);
        printer.quoted("max_header_bytes", max_header_bytes);
        printer.bare("max_requests", max_requests);
        printer.quoted("forwarded", forwarded);
    }
}

impl ForwardedPolicy {
    /// Every policy.
    pub const ALL: [Self; 2] = [Self::Append, Self::Replace];

    /// The policy as the configuration writes it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Append => "append",
            Self::Replace => "replace",
        }
    }
}

impl fmt::Display for ForwardedPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
