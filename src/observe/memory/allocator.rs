//! The allocator's own numbers.

/// Bytes in the thread caches of all arenas (4096 stands for all).
#[cfg(feature = "jemalloc")]
const ALL_CACHES: &[u8] = b"stats.arenas.4096.tcache_bytes\0";

/// What jemalloc says, in bytes. See its manual, `stats.*`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
pub struct AllocatorNumbers {
    /// Asked for and not given back; what thread caches hold counts as such.
    pub allocated: u64,
    /// In pages with at least one allocation.
    pub active: u64,
    /// Bookkeeping.
    pub metadata: u64,
    /// Mapped and backed by memory, as far as the allocator knows.
    pub resident: u64,
    /// Address space kept without memory behind it.
    pub retained: u64,
    /// Of `allocated`, what thread caches hold: nothing is in it.
    #[serde(skip)]
    pub cached: u64,
}

/// How long the allocator keeps memory that was given back before the kernel gets it, in milliseconds.
///
/// Its default is ten seconds. A burst of handshakes leaves tens of megabytes, and the next burst takes them from the
/// kernel again at the price of page faults: within a second, what comes and goes with the traffic is still reused.
#[cfg(feature = "jemalloc")]
const DECAY_MILLISECONDS: isize = 1000;

/// What the allocator's manual calls oversize, in bytes (`opt.oversize_threshold`).
#[cfg(feature = "jemalloc")]
const OVERSIZE: usize = 8 << 20;

/// Makes the allocator give memory back within about a second after it is free; the background thread does it, so no
/// worker waits. What is as large as a slab it gives back at once: the next slab would be the same memory, resident to its
/// end, though its front is all that is used. Without jemalloc it does nothing.
pub fn give_back_soon() {
    #[cfg(feature = "jemalloc")]
    {
        use tikv_jemalloc_ctl::{Access, AsName, Mib, arenas};

        // From 8 MiB on there is an arena for itself, behind those of the threads. With this it comes to be.
        drop(std::hint::black_box(Vec::<u8>::with_capacity(OVERSIZE)));
        // Arenas that come to be from now on.
        let default = b"arenas.dirty_decay_ms\0".name();
        let set = default.write(DECAY_MILLISECONDS);
        let arena = b"arena.0.dirty_decay_ms\0".name().mib();
        let of_threads = b"opt.narenas\0".name().read();
        let (Ok(()), Ok(count), Ok(arena), Ok(of_threads)) = (set, arenas::narenas::read(), arena, of_threads) else {
            tracing::warn!("the allocator cannot be told to give memory back soon: it takes ten seconds");
            return;
        };
        let (mut arena, of_threads): (Mib<[usize; 3]>, u32) = (arena, of_threads);
        for index in 0..count {
            arena[1] = index as usize;
            let decay = if index < of_threads { DECAY_MILLISECONDS } else { 0 };
            // Most do not exist yet, and that is the only error.
            let _ = arena.write(decay);
        }
    }
}

/// Makes the allocator take back what the calling thread's cache holds: after a burst that is up to a megabyte which the
/// thread will not ask for again soon. Some 100 µs. Without jemalloc it does nothing.
pub fn flush_thread_cache() {
    #[cfg(feature = "jemalloc")]
    {
        use tikv_jemalloc_ctl::{Access, AsName};

        // `thread.tcache.flush` takes no value, which only unsafe code can say. Switching the cache off flushes it.
        let enabled = b"thread.tcache.enabled\0".name();
        for on in [false, true] {
            // It cannot fail for a thread's own cache; and then the thread only keeps what it has.
            let _ = enabled.write(on);
        }
    }
}

/// What is allocated now, in bytes; `None` without the feature `jemalloc`. Some 10 µs.
pub(super) fn allocated_bytes() -> Option<u64> {
    #[cfg(feature = "jemalloc")]
    {
        use tikv_jemalloc_ctl::{epoch, stats};

        epoch::advance().ok()?;
        stats::allocated::read().ok().map(|bytes| bytes as u64)
    }
    #[cfg(not(feature = "jemalloc"))]
    None
}

impl AllocatorNumbers {
    /// The numbers now; `None` without the feature `jemalloc`.
    #[must_use]
    pub fn read() -> Option<Self> {
        #[cfg(feature = "jemalloc")]
        {
            use tikv_jemalloc_ctl::{Access, AsName, epoch, stats};

            // jemalloc gathers its statistics when the epoch is advanced.
            epoch::advance().ok()?;
            Some(Self {
                allocated: stats::allocated::read().ok()? as u64,
                active: stats::active::read().ok()? as u64,
                metadata: stats::metadata::read().ok()? as u64,
                resident: stats::resident::read().ok()? as u64,
                retained: stats::retained::read().ok()? as u64,
                cached: ALL_CACHES.name().read().unwrap_or(0_usize) as u64,
            })
        }
        #[cfg(not(feature = "jemalloc"))]
        None
    }
}
