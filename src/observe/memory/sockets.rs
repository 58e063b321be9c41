//! What the kernel holds for this process's own TCP sockets: sock_diag(7), `INET_DIAG_SKMEMINFO`.

use std::collections::HashSet;
use std::io;
use std::time::Duration;

use netlink_packet_core::{NLM_F_DUMP, NLM_F_REQUEST, NetlinkHeader, NetlinkMessage, NetlinkPayload};
use netlink_packet_sock_diag::SockDiagMessage;
use netlink_packet_sock_diag::constants::{AF_INET, AF_INET6, IPPROTO_TCP};
use netlink_packet_sock_diag::inet::nlas::{MemInfo, Nla};
use netlink_packet_sock_diag::inet::{ExtensionFlags, InetRequest, SocketId, StateFlags};
use netlink_sys::protocols::NETLINK_SOCK_DIAG;
use netlink_sys::{Socket, SocketAddr};
use tokio::time::Instant;

use super::SocketMemory;

/// How much of a dump is taken at once, in bytes; the kernel fills at most 32 KiB.
const CHUNK: usize = 64 * 1024;
/// How long a dump may take in all. It takes about 2 µs a socket of the network namespace.
const PATIENCE: Duration = Duration::from_secs(5);

/// Asks the kernel for all TCP sockets of the network namespace and sums up those of this process, in IPv4 and IPv6.
pub(super) fn read() -> io::Result<SocketMemory> {
    let own = own_inodes()?;
    let mut socket = Socket::new(NETLINK_SOCK_DIAG)?;
    socket.bind_auto()?;
    socket.connect(&SocketAddr::new(0, 0))?;
    socket2::SockRef::from(&socket).set_read_timeout(Some(PATIENCE))?;
    let deadline = Instant::now() + PATIENCE;
    let mut sum = SocketMemory::default();
    for (family, any) in [(AF_INET, SocketId::new_v4()), (AF_INET6, SocketId::new_v6())] {
        dump(&socket, family, any, deadline, |inode, memory| {
            if own.contains(&inode) {
                add(&mut sum, memory);
            }
        })?;
    }
    Ok(sum)
}

fn add(sum: &mut SocketMemory, memory: &MemInfo) {
    sum.count += 1;
    for (sum_of, bytes) in [
        (&mut sum.receive_bytes, memory.receive_queue),
        (&mut sum.send_bytes, memory.send_queue),
        // Signed in the kernel, and below zero for a moment while it is settled.
        (
            &mut sum.forward_bytes,
            memory.cache.cast_signed().max(0).cast_unsigned(),
        ),
        (&mut sum.option_bytes, memory.options),
        (&mut sum.backlog_bytes, memory.backlog_queue_length),
    ] {
        *sum_of += u64::from(bytes);
        sum.total_bytes += u64::from(bytes);
    }
}

/// Inodes of the sockets that this process has open; sock_diag tells 32 bits of them.
fn own_inodes() -> io::Result<HashSet<u32>> {
    let mut inodes = HashSet::new();
    for entry in std::fs::read_dir("/proc/self/fd")? {
        // A file that was closed since is none of ours any more.
        let Ok(target) = std::fs::read_link(entry?.path()) else {
            continue;
        };
        let name = target.to_string_lossy();
        let inode = name.strip_prefix("socket:[").and_then(|rest| rest.strip_suffix(']'));
        inodes.extend(
            inode
                .and_then(|inode| inode.parse::<u64>().ok())
                .map(|inode| inode as u32),
        );
    }
    Ok(inodes)
}

/// Calls `each` with inode and memory of every TCP socket of `family`.
fn dump(
    socket: &Socket,
    family: u8,
    any: SocketId,
    deadline: Instant,
    mut each: impl FnMut(u32, &MemInfo),
) -> io::Result<()> {
    let mut header = NetlinkHeader::default();
    header.flags = NLM_F_REQUEST | NLM_F_DUMP;
    let request = InetRequest {
        family,
        protocol: IPPROTO_TCP,
        extensions: ExtensionFlags::SKMEMINFO,
        states: StateFlags::all(),
        socket_id: any,
    };
    let mut message = NetlinkMessage::new(header, SockDiagMessage::InetRequest(request).into());
    message.finalize();
    let mut bytes = vec![0; message.buffer_len()];
    message.serialize(&mut bytes);
    socket.send(&bytes, 0)?;

    let mut chunk = Vec::with_capacity(CHUNK);
    loop {
        if Instant::now() >= deadline {
            return Err(io::ErrorKind::TimedOut.into());
        }
        chunk.clear();
        socket.recv(&mut chunk, 0)?;
        let mut rest = &chunk[..];
        while !rest.is_empty() {
            let message = NetlinkMessage::<SockDiagMessage>::deserialize(rest).map_err(io::Error::other)?;
            match message.payload {
                NetlinkPayload::InnerMessage(SockDiagMessage::InetResponse(found)) => {
                    let memory = found.nlas.iter().find_map(|nla| match nla {
                        Nla::MemInfo(memory) => Some(memory),
                        _ => None,
                    });
                    if let Some(memory) = memory {
                        each(found.header.inode, memory);
                    }
                }
                NetlinkPayload::Done(_) => return Ok(()),
                NetlinkPayload::Error(error) => return Err(error.to_io()),
                NetlinkPayload::Overrun(_) => return Err(io::Error::other("the dump is incomplete")),
                _ => {}
            }
            // Messages begin at multiples of four (netlink(7)); a length of nothing would never end.
            let length = (message.header.length as usize).max(1).next_multiple_of(4);
            rest = rest.get(length..).unwrap_or_default();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream};

    use super::*;

    #[test]
    fn what_nobody_reads_is_found_in_both_families() {
        for address in [
            SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            SocketAddr::from((Ipv6Addr::LOCALHOST, 0)),
        ] {
            let listener = TcpListener::bind(address).expect("a port");
            let mut writer = TcpStream::connect(listener.local_addr().expect("its address")).expect("a connection");
            let (_reader, _) = listener.accept().expect("the other side");
            writer.write_all(&[7; 20_000]).expect("the kernel takes that much");
            let memory = SocketMemory::read().expect("the kernel tells");
            // Other tests of this process have sockets as well.
            assert!(memory.count >= 3, "{memory:?}");
            assert!(memory.receive_bytes >= 20_000, "{memory:?}");
            let parts = [
                memory.receive_bytes,
                memory.send_bytes,
                memory.forward_bytes,
                memory.option_bytes,
                memory.backlog_bytes,
            ];
            assert_eq!(parts.iter().sum::<u64>(), memory.total_bytes);
        }
    }
}
