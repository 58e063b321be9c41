//! Where memory went, in user space and in the kernel: what the proxy says at `GET /api/memory`, and where it does not,
//! what the allocator and the machine say.

use std::collections::BTreeMap;
use std::fs;
use std::net::SocketAddr;

use anyhow::{Context as _, bail};
use serde::Deserialize;

use super::observe::{Sample, exchange};

const MEMORY: &str = "/api/memory";
const OF_SOCKETS: &str = "/api/memory?sockets=true";
/// Linux on x86-64 and most others.
const PAGE: f64 = 4096.0;
/// How the kernel's memory is named when it is that of one process.
const OWN_SOCKETS: &str = "socket buffers, the proxy's own sockets";
/// And when nothing tells whose it is.
const ALL_SOCKETS: &str = "TCP buffers, the whole network namespace";
const OBJECTS: &str = "objects, the whole machine";

/// One moment's memory by part, in bytes.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Account {
    /// The proxy's resident memory.
    pub(super) resident: f64,
    /// Its parts; together they are that.
    pub(super) user: Vec<(String, f64)>,
    /// The kernel's, each with its scope.
    pub(super) kernel: Vec<(String, f64)>,
}

impl Account {
    /// All of it, the kernel's apart.
    pub(super) fn parts(&self) -> impl Iterator<Item = (String, f64)> {
        let user = self.user.iter().cloned();
        user.chain(
            self.kernel
                .iter()
                .map(|(name, bytes)| (format!("kernel: {name}"), *bytes)),
        )
    }

    /// Asks the proxy. `sample` was taken at the same moment.
    ///
    /// # Errors
    /// If it answers with something else than was agreed, or not at all.
    pub(super) async fn read(admin: SocketAddr, sample: &Sample) -> anyhow::Result<Self> {
        let (mut status, mut body) = exchange(admin, "GET", OF_SOCKETS, b"").await?;
        if status != 200 {
            // It may not ask the kernel, or does not know how to: the rest it tells all the same.
            (status, body) = exchange(admin, "GET", MEMORY, b"").await?;
        }
        let memory = match status {
            404 => None,
            200 => Some(serde_json::from_str(&body).with_context(|| format!("{MEMORY} is not what was agreed"))?),
            _ => bail!("{MEMORY} was answered with {status}: {}", body.trim()),
        };
        Ok(Self::of(memory, sample, &Machine::read()))
    }

    fn of(memory: Option<Memory>, sample: &Sample, machine: &Machine) -> Self {
        let memory = memory.unwrap_or_default();
        // With its parts, so that both are of one moment.
        let resident = match (&memory.parts, memory.resident_bytes) {
            (Some(_), Some(bytes)) => bytes,
            _ => sample.rss_bytes,
        };
        let user = match memory.parts {
            Some(mut parts) => {
                let mut take = |part: &str| parts.remove(part).unwrap_or(0.0);
                // Named as they are for people; what is left over keeps its name.
                let [tls, tunnels, http, unsent, slabs, slack, code] = [
                    "tls",
                    "tunnels",
                    "http",
                    "unsent",
                    "slabs",
                    "allocator_slack",
                    "code_and_stacks",
                ]
                .map(&mut take);
                let mut user = vec![
                    ("connection state: TLS".to_owned(), tls),
                    ("connection state: tunnels".to_owned(), tunnels),
                    ("HTTP".to_owned(), http),
                    ("waiting to be written".to_owned(), unsent),
                    ("slabs".to_owned(), slabs),
                    ("allocator slack".to_owned(), slack),
                    ("code and stacks".to_owned(), code),
                ];
                user.extend(parts);
                user
            }
            None => vec![
                (
                    "connection state".to_owned(),
                    sample.allocated_bytes - sample.live_bytes(),
                ),
                ("slabs".to_owned(), sample.live_bytes()),
                (
                    "allocator slack, code and stacks".to_owned(),
                    sample.rss_bytes - sample.allocated_bytes,
                ),
            ],
        };
        let sockets = memory.kernel.unwrap_or_default().sockets;
        let kernel = match sockets {
            Some(sockets) => (OWN_SOCKETS, sockets.total_bytes),
            None => (ALL_SOCKETS, machine.tcp_bytes),
        };
        Self {
            resident,
            user,
            kernel: [kernel, (OBJECTS, machine.object_bytes)]
                .map(|(name, bytes)| (name.to_owned(), bytes))
                .into(),
        }
    }
}

/// What `GET /api/memory` answers, as far as the lab reads it.
#[derive(Debug, Default, Deserialize)]
struct Memory {
    resident_bytes: Option<f64>,
    /// Bytes by part; together the resident memory.
    parts: Option<BTreeMap<String, f64>>,
    kernel: Option<Kernel>,
}

#[derive(Debug, Default, Deserialize)]
struct Kernel {
    /// Of the proxy's own sockets, where it may ask for them.
    sockets: Option<Sockets>,
}

#[derive(Debug, Deserialize)]
struct Sockets {
    total_bytes: f64,
}

/// The kernel's memory, all processes together.
#[derive(Debug, Default)]
struct Machine {
    /// In TCP's buffers: pages, `mem` of `/proc/net/sockstat`.
    tcp_bytes: f64,
    /// In the kernel's own objects: `Slab` of `/proc/meminfo`.
    object_bytes: f64,
}

impl Machine {
    fn read() -> Self {
        Self {
            tcp_bytes: tcp_pages(&fs::read_to_string("/proc/net/sockstat").unwrap_or_default()) * PAGE,
            object_bytes: object_kilobytes(&fs::read_to_string("/proc/meminfo").unwrap_or_default()) * 1024.0,
        }
    }
}

/// `TCP: inuse 5 orphan 0 tw 0 alloc 6 mem 3` (Documentation/networking/proc_net_tcp, sockstat).
fn tcp_pages(sockstat: &str) -> f64 {
    let tcp = sockstat.lines().find(|line| line.starts_with("TCP:"));
    tcp.and_then(|line| line.rsplit(' ').next()?.parse().ok())
        .unwrap_or(0.0)
}

fn object_kilobytes(meminfo: &str) -> f64 {
    let slab = meminfo.lines().find_map(|line| line.strip_prefix("Slab:"));
    slab.and_then(|text| text.trim().trim_end_matches("kB").trim().parse().ok())
        .unwrap_or(0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PARTS: &str = r#""parts": { "slabs": 1, "tls": 2, "tunnels": 3, "http": 4, "unsent": 5,
        "allocator_slack": 6, "code_and_stacks": 7, "other": 8 }"#;

    fn account(json: &str) -> Account {
        let machine = Machine {
            tcp_bytes: 100.0,
            object_bytes: 200.0,
        };
        let sample = Sample {
            rss_bytes: 50.0,
            allocated_bytes: 30.0,
            ..Sample::default()
        };
        Account::of(Some(serde_json::from_str(json).unwrap()), &sample, &machine)
    }

    #[test]
    fn the_proxys_own_parts_and_sockets_are_taken_where_it_tells_them() {
        let account = account(&format!(
            r#"{{ "resident_bytes": 36, {PARTS}, "kernel": {{ "tcp_memory_bytes": 9, "tcp_sockets": 2,
            "sockets": {{ "count": 2, "receive_bytes": 1, "send_bytes": 2, "forward_bytes": 3, "option_bytes": 4,
            "backlog_bytes": 0, "total_bytes": 10 }} }} }}"#
        ));
        assert_eq!(account.user.iter().map(|part| part.1).sum::<f64>(), account.resident);
        assert_eq!(account.user[0], ("connection state: TLS".to_owned(), 2.0));
        assert!(account.user.contains(&("other".to_owned(), 8.0)));
        assert_eq!(account.kernel[0], (OWN_SOCKETS.to_owned(), 10.0));
    }

    #[test]
    fn without_the_proxys_own_sockets_it_is_said_whose_they_are() {
        for json in [
            format!(r#"{{ {PARTS}, "kernel": {{ "tcp_memory_bytes": 9, "sockets": null }} }}"#),
            "{}".to_owned(),
        ] {
            let account = account(&json);
            assert_eq!(account.kernel[0], (ALL_SOCKETS.to_owned(), 100.0), "{json}");
        }
        // The allocator's numbers add up to the resident memory as well.
        let account = account("{}");
        assert_eq!(account.user.iter().map(|part| part.1).sum::<f64>(), account.resident);
    }

    #[test]
    fn the_kernels_files_are_read() {
        assert_eq!(
            tcp_pages("sockets: used 9\nTCP: inuse 5 orphan 0 tw 0 alloc 6 mem 3\nUDP: inuse 1 mem 8\n"),
            3.0
        );
        assert_eq!(object_kilobytes("MemTotal: 9 kB\nSlab:     41 kB\n"), 41.0);
    }
}
