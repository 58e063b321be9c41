//! `[tunnel]`: what an upgraded connection may take.

use std::time::Duration;

use headpin_settings::kind::{LONGEST, SHORTEST, duration, or_off, size};
use headpin_settings::{ByteSize, settings};

const MIN_RELAY_BUFFER: ByteSize = ByteSize::kib(4);
const MAX_RELAY_BUFFER: ByteSize = ByteSize::mib(1);

settings! {
    /// What an upgraded connection may take.
    pub struct TunnelConfig {
        /// Silence in both directions after which a tunnel is closed, or "off". The default is long enough for a service that
        /// sends no pings, and what is abandoned still goes.
        idle_timeout: Option<Duration> = or_off(duration(SHORTEST..=LONGEST)), default(Some(Duration::from_secs(60 * 60))),
            at_reload;
        /// Bytes that one direction of a tunnel has read and not yet written, 4KiB to 1MiB; with that much in flight it
        /// reads no more until the other side takes some. The default is four full TLS records.
        relay_buffer: ByteSize = size(MIN_RELAY_BUFFER..=MAX_RELAY_BUFFER), default(ByteSize::kib(64)), at_start;
    }
}
