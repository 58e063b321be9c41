//! `[slabs]`: the buffers that reads are carved from.

use super::byte_size::ByteSize;
use super::printer::Printer;
use super::section::Section;
use super::source::Source;

const DEFAULT_TLS_CAPACITY: ByteSize = ByteSize::mib(10);
const DEFAULT_TCP_CAPACITY: ByteSize = ByteSize::mib(1);
const DEFAULT_SPARES: usize = 1;

const MIN_CAPACITY: ByteSize = ByteSize::kib(64);
const MAX_CAPACITY: ByteSize = ByteSize::mib(1024);

/// More spares than this are a leak by configuration.
const MAX_SPARES: usize = 64;

/// The buffers that reads are carved from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SlabsConfig {
    /// Bytes of a `tls` slab, which downstream plaintext is carved from; a full one retires. Default 10 MiB: as
    /// `SlabBuffer` in Node 0.8's tls.js. Takes effect at start.
    pub tls_capacity: ByteSize,
    /// Bytes of a `tcp` slab, which upstream plaintext is carved from; a full one retires. Default 1 MiB: as
    /// `SLAB_SIZE` in Node 0.8's stream_wrap.cc. Takes effect at start.
    pub tcp_capacity: ByteSize,
    /// Empty slabs that a worker keeps of each class under `pin` instead of freeing them. Default 1: the next slab is
    /// then at hand without a page fault, and memory still falls after a peak.
    pub spares: usize,
}

impl Default for SlabsConfig {
    fn default() -> Self {
        Self {
            tls_capacity: DEFAULT_TLS_CAPACITY,
            tcp_capacity: DEFAULT_TCP_CAPACITY,
            spares: DEFAULT_SPARES,
        }
    }
}

impl SlabsConfig {
    pub(super) fn read(mut section: Section<'_>) -> Self {
        let config = Self {
            tls_capacity: section.size("tls_capacity", DEFAULT_TLS_CAPACITY, MIN_CAPACITY..=MAX_CAPACITY),
            tcp_capacity: section.size("tcp_capacity", DEFAULT_TCP_CAPACITY, MIN_CAPACITY..=MAX_CAPACITY),
            spares: section.count("spares", DEFAULT_SPARES, 0..=MAX_SPARES),
        };
        section.finish();
        config
    }

    pub(super) fn print(&self, printer: &mut Printer) {
        let Self {
            tls_capacity,
            tcp_capacity,
            spares,
        } = self;
        printer.section("slabs");
        printer.quoted("tls_capacity", tls_capacity);
        printer.quoted("tcp_capacity", tcp_capacity);
        printer.bare("spares", spares);
    }

    /// A relay must be able to fill its buffer from one slab.
    pub(super) fn check_room(&self, relay_buffer: ByteSize, source: &Source<'_>) {
        for (key, capacity) in [
            ("slabs.tls_capacity", self.tls_capacity),
            ("slabs.tcp_capacity", self.tcp_capacity),
        ] {
            if capacity < relay_buffer {
                let problem = format!("accepted is {key} of at least tunnel.relay_buffer; {capacity} < {relay_buffer}");
                source.refuse_together([key, "tunnel.relay_buffer"], problem);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use crate::config::Config;

    #[test]
    fn a_slab_smaller_than_the_relay_buffer_is_refused_where_it_is_written() {
        let told = |slabs: &str| {
            let text = format!(
                "tls.certificates = [{{ cert = 'c', key = 'k' }}]\nupstream.servers = ['http://app']\n\
                 tunnel.relay_buffer = '128KiB'\n{slabs}"
            );
            Config::parse(&text, Path::new("headpin.toml")).map_err(|error| error.to_string())
        };
        assert_eq!(
            told("slabs.tcp_capacity = '64KiB'").unwrap_err(),
            "headpin.toml:4: slabs.tcp_capacity = '64KiB': accepted is slabs.tcp_capacity of at least \
             tunnel.relay_buffer; 64KiB < 128KiB"
        );
        assert!(told("slabs.tcp_capacity = '128KiB'").is_ok());
    }
}
