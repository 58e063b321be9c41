//! Kernel memory of TCP, which no resident set shows.

use std::fs;
use std::io;
use std::sync::OnceLock;

use serde::Serialize;

/// What `/proc/net/sockstat` says of TCP, in IPv4 and IPv6 together.
///
/// The kernel counts both over all network namespaces (`sockstat_seq_show` in `net/ipv4/proc.c`): on a machine that
/// does other things as well they are an upper bound.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct TcpMemory {
    /// `mem`, in bytes: buffers of all TCP sockets, as the limits in `net.ipv4.tcp_mem` see them.
    pub tcp_memory_bytes: u64,
    /// `alloc`: TCP sockets that exist, those without a process included.
    pub tcp_sockets: u64,
}

impl TcpMemory {
    /// The numbers now; `None` where there is no such file.
    #[must_use]
    pub fn read() -> Option<Self> {
        let text = fs::read_to_string("/proc/net/sockstat").ok()?;
        Self::parse(&text, page_bytes())
    }

    fn parse(text: &str, page_bytes: u64) -> Option<Self> {
        let line = text.lines().find_map(|line| line.strip_prefix("TCP: "))?;
        let mut words = line.split_whitespace();
        let mut value = |name: &str| -> Option<u64> {
            words.find(|word| *word == name)?;
            words.next()?.parse().ok()
        };
        let tcp_sockets = value("alloc")?;
        let pages = value("mem")?;
        Some(Self {
            tcp_memory_bytes: pages * page_bytes,
            tcp_sockets,
        })
    }
}

/// Memory that the kernel holds for sockets, in bytes. Field by field the `sk_meminfo` of sock_diag(7).
///
/// These are the buffers. What a socket itself takes (`struct tcp_sock`, its inode and file: some 3 KB) is in the
/// kernel's slabs and in none of these.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct SocketMemory {
    /// Sockets counted.
    pub count: u64,
    /// Arrived and not read (`rmem_alloc`).
    pub receive_bytes: u64,
    /// Written and not acknowledged (`wmem_queued`).
    pub send_bytes: u64,
    /// Set aside for the next bytes (`fwd_alloc`).
    pub forward_bytes: u64,
    /// Options (`optmem`).
    pub option_bytes: u64,
    /// Arrived while the socket was in use (`backlog`).
    pub backlog_bytes: u64,
    /// All of these.
    pub total_bytes: u64,
}

impl SocketMemory {
    /// Asks the kernel for all TCP sockets of the network namespace and sums up those of this process.
    ///
    /// Blocks for as long as that takes: some milliseconds a thousand sockets.
    ///
    /// # Errors
    /// What the kernel reports; `TimedOut` after five seconds; `Unsupported` where there is no sock_diag.
    pub fn read() -> io::Result<Self> {
        #[cfg(target_os = "linux")]
        {
            super::sockets::read()
        }
        #[cfg(not(target_os = "linux"))]
        Err(io::ErrorKind::Unsupported.into())
    }
}

/// Size of a page of memory, in bytes.
pub(super) fn page_bytes() -> u64 {
    static BYTES: OnceLock<u64> = OnceLock::new();
    *BYTES.get_or_init(|| {
        let maps = fs::read_to_string("/proc/self/smaps").unwrap_or_default();
        let kibibytes = maps.lines().find_map(|line| line.strip_prefix("KernelPageSize:"));
        let kibibytes = kibibytes.and_then(|rest| rest.trim().strip_suffix("kB")?.trim().parse::<u64>().ok());
        kibibytes.map_or(4096, |kibibytes| kibibytes * 1024)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOCKSTAT: &str = "sockets: used 47\nTCP: inuse 3 orphan 0 tw 1 alloc 5 mem 397\nUDP: inuse 0 mem 0\n";

    #[test]
    fn pages_become_bytes() {
        let expected = TcpMemory {
            tcp_memory_bytes: 397 * 4096,
            tcp_sockets: 5,
        };
        assert_eq!(TcpMemory::parse(SOCKSTAT, 4096), Some(expected));
        assert_eq!(TcpMemory::parse("sockets: used 47\n", 4096), None);
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn the_kernel_is_read() {
        assert!(TcpMemory::read().is_some());
        assert!(page_bytes().is_power_of_two());
    }
}
