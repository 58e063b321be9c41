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
