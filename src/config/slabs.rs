//! `[slabs]`: the buffers that reads are carved from.

use headpin_settings::kind::{count, size};
use headpin_settings::{ByteSize, Sources, settings};

const MIN_CAPACITY: ByteSize = ByteSize::kib(64);
const MAX_CAPACITY: ByteSize = ByteSize::mib(1024);

/// More spares than this are a leak by configuration.
const MAX_SPARES: usize = 64;

settings! {
    /// The buffers that reads are carved from.
    pub struct SlabsConfig {
        /// Bytes of the slabs that downstream plaintext is carved from, 64KiB to 1GiB and at least tunnel.relay_buffer.
        /// A full slab retires, and is freed or used again when its last slice is gone. Each worker has its own. The default
        /// is that of SlabBuffer in Node 0.8's tls.js.
        tls_capacity: ByteSize = size(MIN_CAPACITY..=MAX_CAPACITY), default(ByteSize::mib(10)), at_start;
        /// The same for upstream plaintext. The default is SLAB_SIZE in Node 0.8's stream_wrap.cc.
        tcp_capacity: ByteSize = size(MIN_CAPACITY..=MAX_CAPACITY), default(ByteSize::mib(1)), at_start;
        /// Empty slabs that a worker keeps of each class under "pin", 0 to 64; more are freed. With one, the next slab is at
        /// hand without a page fault, and memory still falls after a peak.
        spares: usize = count(0..=MAX_SPARES), default(1), at_start;
    }
}

impl SlabsConfig {
    /// A relay must be able to fill its buffer from one slab.
    pub(super) fn check_room(&self, relay_buffer: ByteSize, sources: &Sources<'_>) {
        for (key, capacity) in [
            ("slabs.tls_capacity", self.tls_capacity),
            ("slabs.tcp_capacity", self.tcp_capacity),
        ] {
            if capacity < relay_buffer {
                let problem = format!("accepted is {key} of at least tunnel.relay_buffer; {capacity} < {relay_buffer}");
                sources.refuse_together(&[key, "tunnel.relay_buffer"], problem);
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
        let read = |slabs: &str| {
            let text = format!(
                "tls.certificates = [{{ cert = 'c', key = 'k' }}]\nupstream.servers = ['http://app']\n\
                 tunnel.relay_buffer = '128KiB'\n{slabs}"
            );
            Config::parse(&text, Path::new("headpin.toml")).map_err(|error| error.to_string())
        };
        assert_eq!(
            read("slabs.tcp_capacity = '64KiB'").unwrap_err(),
            "headpin.toml:4: slabs.tcp_capacity = '64KiB': accepted is slabs.tcp_capacity of at least \
             tunnel.relay_buffer; 64KiB < 128KiB"
        );
        assert!(read("slabs.tcp_capacity = '128KiB'").is_ok());
    }
}
