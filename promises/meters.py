"""What a process uses, by what Linux counts of it."""

import os
import re
import time
from pathlib import Path

MEGABYTE = 2**20


def cpu_seconds(pid: int) -> float:
    """Return the CPU time that a process has had, in all its threads."""
    return time.clock_gettime(~pid << 3 | 2)  # what clock_getcpuclockid() returns


def memory_bytes(pid: int) -> int:
    """Return how much of a process is in memory."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def forget_peak(pid: int) -> None:
    """Let a process's peak be what it has in memory now."""
    Path(f"/proc/{pid}/clear_refs").write_text("5")


def peak_memory_bytes(pid: int) -> int:
    """Return the most that a process has had in memory since its peak was forgotten."""
    [line] = re.findall(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    return int(line) * 1024


def open_descriptors(pid: int) -> int:
    """Return how many files and sockets a process has open."""
    return len(list(Path(f"/proc/{pid}/fd").iterdir()))


def traffic(pid: int) -> tuple[int, int]:
    """Return the bytes that a process has read and written, and the calls that it took."""
    lines = Path(f"/proc/{pid}/io").read_text().splitlines()
    counts = {name: int(value) for name, value in (line.split(": ") for line in lines)}
    return counts["rchar"] + counts["wchar"], counts["syscr"] + counts["syscw"]
