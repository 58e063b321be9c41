//! Open files: one for each connection.

use std::num::NonZeroUsize;

use super::fault::LoadError;

/// Files that a run has open besides its connections: runtimes, `/proc`, standard streams, the caller's own.
const BESIDES: u64 = 64;
/// Files of a thread's runtime.
const PER_THREAD: u64 = 8;

/// Raises the soft limit as far as it goes.
///
/// # Errors
/// If even the hard limit is too low for so many connections.
pub(super) fn allow(connections: u64, threads: NonZeroUsize) -> Result<(), LoadError> {
    // Where the limit cannot be read, the first connection that fails will tell.
    let limit = rlimit::increase_nofile_limit(u64::MAX).unwrap_or(u64::MAX);
    let besides = BESIDES + PER_THREAD * threads.get() as u64;
    let needed = connections.saturating_add(besides);
    if needed > limit {
        return Err(LoadError::FileDescriptors {
            needed,
            limit,
            most: limit.saturating_sub(besides),
        });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn too_many_connections_are_refused_with_both_numbers() {
        let one = NonZeroUsize::MIN;
        assert!(allow(10, one).is_ok());
        let refusal = allow(u64::MAX / 2, one).unwrap_err().to_string();
        assert!(
            refusal.contains("ulimit -n") && refusal.contains("at most"),
            "{refusal}"
        );
    }
}
