"""What the operating system says of a process and its children: CPU time and memory."""

import os
import statistics
import time
from collections.abc import Iterable, Sequence
from pathlib import Path

_SCHEDULED = 2
"""The clock of a whole process, every thread of it, in nanoseconds."""


class BenchmarkError(Exception):
    """A measurement that would mean nothing."""


def cpu_seconds(pid: int) -> float:
    """Return the CPU time of a process with all of its threads and children so far."""
    return sum(time.clock_gettime((~each << 3) | _SCHEDULED) for each in family(pid))


def resident_bytes(pid: int) -> int:
    """Return the memory that a process and its children hold now."""
    return sum(_resident(each) for each in family(pid))


def family(pid: int) -> list[int]:
    """Return a process and everything below it."""
    found = [pid]
    for each in found:
        for task in Path(f"/proc/{each}/task").iterdir():
            found += [int(child) for child in (task / "children").read_text().split()]
    return found


def _resident(pid: int) -> int:
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def median(values: Iterable[float]) -> float:
    """Return the median."""
    return statistics.median(values)


def percentile(values: Sequence[float], percent: float) -> float:
    """Return the smallest value that so many percent of the values do not exceed."""
    ordered = sorted(values)
    return ordered[max(0, min(len(ordered) - 1, round(len(ordered) * percent / 100 + 0.5) - 1))]
