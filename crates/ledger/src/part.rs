//! The parts of a process's memory.

use headpin_labels::labels;

labels! {
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
}
