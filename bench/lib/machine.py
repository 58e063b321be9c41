"""The machine, and what the kernel tells of processes: proc(5)."""

import os
import pathlib
import re
import resource

PROC = pathlib.Path("/proc")
TICKS = os.sysconf("SC_CLK_TCK")


def describe():
    """What figures depend on besides the programs."""
    processor = re.search(r"^model name\s*: (.*)$", (PROC / "cpuinfo").read_text(), re.MULTILINE)
    return {
        "processor": processor.group(1) if processor else os.uname().machine,
        "cores": len(os.sched_getaffinity(0)),
        "memory_bytes": meminfo("MemTotal"),
        "kernel": f"{os.uname().sysname} {os.uname().release}",
    }


def busy_seconds():
    """Time that the machine's cores did something, in seconds since it started."""
    user, nice, system, _idle, _wait, interrupts, soft, stolen, *_ = (PROC / "stat").read_text().split("\n")[0].split()[1:]
    return sum(map(int, (user, nice, system, interrupts, soft, stolen))) / TICKS


def own_seconds():
    """Processor time of this program and of all that it started and that has ended."""
    return sum(sum(resource.getrusage(who)[:2]) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))


def meminfo(name):
    """One figure of the machine's memory, in bytes."""
    (kilobytes,) = re.findall(rf"^{name}: +(\d+) kB$", (PROC / "meminfo").read_text(), re.MULTILINE)
    return int(kilobytes) * 1024


def socket_bytes():
    """What the kernel's slabs hold for all TCP sockets of the machine, in bytes; proc_slabinfo(5).

    Sockets and their inodes are counted by pages. A socket has one file, one directory entry and, in every program that is
    measured here, one entry in epoll: these are in slabs that compilers and the like fill as well, so they are counted by
    size. Who may not read slabinfo gets all of the kernel's slabs.
    """
    try:
        lines = (PROC / "slabinfo").read_text().splitlines()
    except PermissionError:
        return meminfo("Slab")
    caches = {fields[0]: [int(field) for field in fields if field.isdigit()] for fields in map(str.split, lines[2:])}
    # Objects in use, objects, size, objects a slab, pages a slab, three tunables, slabs in use, slabs.
    pages = lambda name: caches[name][9] * caches[name][4] * os.sysconf("SC_PAGE_SIZE")
    beside = sum(caches[name][2] for name in ("filp", "dentry", "eventpoll_epi"))
    return pages("TCP") + pages("sock_inode_cache") + caches["sock_inode_cache"][0] * beside


def tree(root):
    """A process and its descendants."""
    children = {}
    for entry in PROC.iterdir():
        if entry.name.isdigit() and (fields := stat_of(entry)):
            children.setdefault(int(fields[1]), []).append(int(entry.name))
    found = [root]
    for pid in found:
        found += children.get(pid, [])
    return found


def cpu_seconds(root):
    """User and system time of a process tree, in seconds."""
    stats = filter(None, (stat_of(PROC / str(pid)) for pid in tree(root)))
    return sum(int(ticks) for fields in stats for ticks in fields[11:15]) / TICKS


def resident_bytes(root):
    """The resident sets of a process tree. Pages that are shared count for each process."""
    total = 0
    for pid in tree(root):
        try:
            status = (PROC / str(pid) / "status").read_text()
        except FileNotFoundError:
            continue
        total += sum(int(kilobytes) * 1024 for kilobytes in re.findall(r"^VmRSS:\s+(\d+) kB", status, re.MULTILINE))
    return total


def thread_seconds(pid, name):
    """Time on a core of the threads whose name begins so, in seconds, to the nanosecond (unlike stat's)."""
    total = 0
    for task in (PROC / str(pid) / "task").iterdir():
        if (task / "comm").read_text().startswith(name):
            total += int((task / "schedstat").read_text().split()[0])
    return total / 1e9


def stat_of(place):
    """The fields behind the name, so that the first is the state; `None` if it has ended."""
    try:
        return (place / "stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
