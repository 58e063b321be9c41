//! `[http]`: what requests may take, and which headers are passed on.

use std::num::NonZeroUsize;
use std::time::Duration;

use headpin_labels::labels;
use headpin_settings::kind::{LONGEST, SHORTEST, choice, count, duration, list, parsed, positive, size};
use headpin_settings::{ByteSize, settings};

use super::upgrade_protocol::UpgradeProtocol;

/// hyper takes no read buffer below 8 KiB.
const MIN_HEADER_BYTES: ByteSize = ByteSize::kib(8);
const MAX_HEADER_BYTES: ByteSize = ByteSize::mib(1);

const REQUESTS: NonZeroUsize = NonZeroUsize::new(10_000).expect("not zero");
/// Far above what one machine can have in progress; more is a slip.
const MAX_REQUESTS: usize = 1 << 30;

/// What hyper takes without memory of its own.
pub(crate) const HEADERS: usize = 100;
/// More fields than any application sends.
const MAX_HEADERS: usize = 10_000;

pub(super) const PROTOCOLS: &str = r#"["tcp", "SPDY/3.1"]"#;
pub(super) const PROTOCOL: &str =
    r#"a protocol's name such as "tcp" or "SPDY/3.1"; WebSocket needs no entry, and HTTP/2 cannot have one"#;

labels! {
    /// How header names are written.
    HeaderCase {
        /// In lower case.
        Lower = "lower",
        /// As the other side wrote them.
        AsSent = "as_sent",
    }

    /// What becomes of the `Forwarded` and `X-Forwarded-*` headers that a client sends.
    ForwardedPolicy {
        /// Ours is added to them: right only behind a proxy that is trusted.
        Append = "append",
        /// They are removed, only ours goes upstream.
        Replace = "replace",
    }
}

settings! {
    /// What requests may take, and which headers are passed on.
    pub struct HttpConfig {
        /// How long a connection may take to send a request's header, waiting for the request included; then it is closed.
        header_timeout: Duration = duration(SHORTEST..=LONGEST), default(Duration::from_secs(15)), at_reload;
        /// The longest pause within a request's body; then the request is given up. A mobile client that changes cells comes
        /// back sooner than the default.
        body_timeout: Duration = duration(SHORTEST..=LONGEST), default(Duration::from_secs(30)), at_reload;
        /// A request's line and header together, 8KiB to 1MiB; a larger one is answered 431. The default has room for the
        /// cookies of large applications.
        max_header_bytes: ByteSize = size(MIN_HEADER_BYTES..=MAX_HEADER_BYTES), default(ByteSize::kib(32)), at_reload;
        /// Header fields of a request or of a response; a request with more is answered 431, a response with more is a 502. Above
        /// the default, each head costs some more of the processor.
        max_headers: usize = count(16..=MAX_HEADERS), default(HEADERS), at_reload;
        /// How header names are written, both ways: "lower" in lower case, as HTTP/2 has them; "as_sent" as the other side
        /// wrote them, for devices that compare names as if their case meant something.
        header_case: HeaderCase = choice(), default(HeaderCase::Lower), at_reload;
        /// Protocols other than WebSocket that a request may switch to by its Upgrade header, such as "tcp" for docker attach or
        /// "SPDY/3.1" for kubectl exec. A request for any other is answered as if it had not asked. Such a tunnel carries bytes
        /// and not frames: no messages are counted, and where a WebSocket gets a Close, it ends.
        upgrades: Vec<UpgradeProtocol> = list(parsed::<UpgradeProtocol>(PROTOCOL), PROTOCOLS), default(Vec::new()), at_reload;
        /// Requests in progress at once in the process; past that, new ones are answered 503. Open tunnels do not count.
        max_requests: NonZeroUsize = positive(MAX_REQUESTS), default(REQUESTS), at_start;
        /// What becomes of Forwarded and X-Forwarded headers that the client sends: "replace" removes them and sends ours, as
        /// a client may write there what it likes; "append" adds ours to them, which is right only behind a proxy that is
        /// trusted.
        forwarded: ForwardedPolicy = choice(), default(ForwardedPolicy::Replace), at_reload;
    }
}
