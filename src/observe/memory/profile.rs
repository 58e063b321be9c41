//! Where the live memory was allocated.
//!
//! jemalloc samples a stack for about every 512 KiB that are allocated, if it was told so when the process started. Such a
//! profile names who *allocated* memory, never who keeps it: of a pinned slab it shows the pool. Who keeps it is what a
//! [heap snapshot](crate::observe::snapshot) shows.

/// Why there is no profile.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ProfileError {
    /// The operator did not ask for profiling.
    #[error(
        "heap profiling is off; start headpin with the environment variable MALLOC_CONF=prof:true to turn it on \
         (it then samples every 512 KiB; prof:true,lg_prof_sample:N samples every 2^N bytes)"
    )]
    Off,
    /// This build cannot.
    #[error(
        "this build of headpin has no heap profiling; build it with the cargo feature heap-profile, which is on by default"
    )]
    NotBuilt,
    /// The allocator or the file system failed.
    #[error("the heap profile cannot be made, for which a file in the temporary folder (TMPDIR) is needed: {0}")]
    Failed(String),
}

/// A profile of what is allocated now, in pprof's format (gzip around protobuf), with the names of functions.
///
/// Takes some hundred milliseconds, and in a process that was never profiled memory for the program's debug information.
///
/// # Errors
/// [`ProfileError`].
#[cfg(feature = "heap-profile")]
pub fn heap_profile() -> Result<Vec<u8>, ProfileError> {
    let control = jemalloc_pprof::PROF_CTL.as_ref().ok_or(ProfileError::Off)?;
    let mut control = control.blocking_lock();
    control
        .dump_pprof()
        .map_err(|error| ProfileError::Failed(format!("{error:#}")))
}

/// Not in this build.
///
/// # Errors
/// [`ProfileError::NotBuilt`].
#[cfg(not(feature = "heap-profile"))]
pub fn heap_profile() -> Result<Vec<u8>, ProfileError> {
    Err(ProfileError::NotBuilt)
}
