//! `[tunnel]`: what an upgraded connection may take.

use std::time::Duration;

use super::byte_size::ByteSize;
use super::printer::Printer;
use super::section::Section;
use super::value::{LONGEST, SHORTEST};

const DEFAULT_IDLE_TIMEOUT: Option<Duration> = Some(Duration::from_secs(60 * 60));
const DEFAULT_RELAY_BUFFER: ByteSize = ByteSize::kib(64);

const MIN_RELAY_BUFFER: ByteSize = ByteSize::kib(4);
const MAX_RELAY_BUFFER: ByteSize = ByteSize::mib(1);

/// What an upgraded connection may take.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TunnelConfig {
    /// Silence in both directions after which a tunnel is closed; `None`: never. Default 1 h: long enough for a
    /// service that sends no pings, and what is abandoned still goes.
    pub idle_timeout: Option<Duration>,
    /// Bytes that one relay has read and not yet written; with that much waiting it reads no more. Default 64 KiB:
    /// four full TLS records.
    pub relay_buffer: ByteSize,
}

impl Default for TunnelConfig {
    fn default() -> Self {
        Self {
            idle_timeout: DEFAULT_IDLE_TIMEOUT,
            relay_buffer: DEFAULT_RELAY_BUFFER,
        }
    }
}

impl TunnelConfig {
    pub(super) fn read(mut section: Section<'_>) -> Self {
        let config = Self {
            idle_timeout: section.duration_or_off("idle_timeout", DEFAULT_IDLE_TIMEOUT, SHORTEST..=LONGEST),
            relay_buffer: section.size(
                "relay_buffer",
                DEFAULT_RELAY_BUFFER,
                MIN_RELAY_BUFFER..=MAX_RELAY_BUFFER,
            ),
        };
        section.finish();
        config
    }

    pub(super) fn print(&self, printer: &mut Printer) {
        let Self {
            idle_timeout,
            relay_buffer,
        } = self;
        printer.section("tunnel");
        printer.duration_or_off("idle_timeout", *idle_timeout);
        printer.quoted("relay_buffer", relay_buffer);
    }
}
