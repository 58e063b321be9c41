//! Where a result was measured, and by which build.

use std::fs;

use serde::{Deserialize, Serialize};

/// The machine and the build.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Machine {
    /// Model of the processor.
    pub processor: String,
    /// How many cores this process may use.
    pub cores: usize,
    /// Memory, in bytes.
    pub memory_bytes: u64,
    /// Kernel.
    pub kernel: String,
    /// Version of headpin.
    pub version: String,
    /// Commit that it was built from, if `HEADPIN_COMMIT` told it to the build; nothing is built anew because a commit was made.
    pub commit: String,
    /// `release` or `debug`.
    pub build: String,
    /// `jemalloc`, or the system's.
    pub allocator: String,
}

impl Machine {
    /// This one.
    #[must_use]
    pub fn this() -> Self {
        let unknown = || "unknown".to_owned();
        let field = |path: &str, name: &str| {
            let text = fs::read_to_string(path).ok()?;
            let line = text.lines().find_map(|line| line.strip_prefix(name))?;
            Some(line.trim_start_matches([' ', '\t', ':']).trim().to_owned())
        };
        let memory = field("/proc/meminfo", "MemTotal");
        let memory = memory.and_then(|text| text.trim_end_matches("kB").trim().parse::<u64>().ok());
        Self {
            processor: field("/proc/cpuinfo", "model name").unwrap_or_else(unknown),
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            memory_bytes: memory.unwrap_or(0) * 1024,
            kernel: fs::read_to_string("/proc/sys/kernel/osrelease")
                .map_or_else(|_| unknown(), |text| text.trim().to_owned()),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            commit: option_env!("HEADPIN_COMMIT").unwrap_or("unknown").to_owned(),
            build: if cfg!(debug_assertions) { "debug" } else { "release" }.to_owned(),
            allocator: if cfg!(feature = "jemalloc") {
                "jemalloc"
            } else {
                "the system's"
            }
            .to_owned(),
        }
    }
}
