"""A network of the run's own: loopback alone, without packet filter, connection tracking and other traffic."""

import ctypes
import fcntl
import os
import pathlib
import socket
import struct

CLONE_NEWNET = 0x4000_0000
SIOCSIFFLAGS = 0x8914
IFF_UP = 0x1
CONGESTION = pathlib.Path("/proc/sys/net/ipv4/tcp_congestion_control")


def enter():
    """Moves this process, and all that it starts from now on, into a new network namespace. Says where it is then.

    What a firewall or a container engine has left in the machine's own network costs every segment of every proxy, differs from
    machine to machine, and is nothing that a proxy could do better or worse. Who is not root measures in the machine's own.
    """
    congestion = CONGESTION.read_text().strip()
    if ctypes.CDLL(None, use_errno=True).unshare(CLONE_NEWNET):
        return f"the machine's own network, as no namespace could be made ({os.strerror(ctypes.get_errno())}), {congestion}"
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
        # struct ifreq; netdevice(7).
        fcntl.ioctl(asking, SIOCSIFFLAGS, struct.pack("16sH22x", b"lo", IFF_UP))
    return f"a network namespace of its own, {congestion}"
