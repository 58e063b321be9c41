//! The words for slabs and heads, as configs, metrics and logs write them.

use headpin_labels::labels;

labels! {
    /// What becomes of a head once its tunnel runs.
    HeadPolicy {
        /// The cure: copy the head to an allocation of its own size, forward it, let it go.
        Copy = "copy",
        /// The bug: hold the slice that the head was cut from for the tunnel's life.
        Pin = "pin",
    }

    /// Which reads a slab serves.
    SlabClass {
        /// Plaintext of downstream TLS connections (10 MiB, as `SlabBuffer` in Node 0.8's tls.js).
        Tls = "tls",
        /// Plaintext of upstream connections (1 MiB, as `SLAB_SIZE` in Node 0.8's stream_wrap.cc).
        Tcp = "tcp",
    }
}
