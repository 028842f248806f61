"""The processor cores and the memory that this process may use, by its limits and those of its control group."""

from __future__ import annotations

import os
import resource
from contextlib import suppress
from pathlib import Path

_CGROUP = Path("/sys/fs/cgroup")
_PROC = Path("/proc")
_QUOTA_FILES = (("cpu.max",), ("cpu/cpu.cfs_quota_us", "cpu/cpu.cfs_period_us"))
"""Files of a control group (version 2, version 1) with its quota of processor time and the period that it is for."""
_MEMORY_FILES = (
    ("memory.max", "memory.current", "memory.stat", "inactive_file"),
    ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes", "memory/memory.stat", "total_inactive_file"),
)
"""Files of a control group (version 2, version 1) with its limit, its use, and the entry of the use that can be given back."""


def usable_cores() -> int:
    """Return the number of cores that this process may use, by its affinity and the quota of its control group."""
    allowed = len(os.sched_getaffinity(0))
    for files in _QUOTA_FILES:
        try:
            quota, period = " ".join((_CGROUP / file).read_text() for file in files).split()
            if int(quota) > 0:
                allowed = min(allowed, max(1, int(quota) // int(period)))
        except (OSError, ValueError):
            continue  # no such file, or "max"
    return allowed


def usable_memory() -> int:
    """Return the bytes of memory that this process can still take.

    They are bounded by the free memory of the machine, by the control group, and by the limit of the process's address space
    (``ulimit -v``).
    """
    bounds = [os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")]
    with suppress(OSError, KeyError, ValueError):
        bounds.append(_entries(_PROC / "meminfo")["MemAvailable"] * 1024)
    for limit, use, statistics, reclaimable in _MEMORY_FILES:
        with suppress(OSError, KeyError, ValueError):
            taken = int((_CGROUP / use).read_text()) - _entries(_CGROUP / statistics)[reclaimable]
            bounds.append(int((_CGROUP / limit).read_text()) - taken)
    limit_of_process = resource.getrlimit(resource.RLIMIT_AS)[0]
    if limit_of_process != resource.RLIM_INFINITY:
        with suppress(OSError, ValueError):
            pages = int((_PROC / "self" / "statm").read_text().split()[0])
            bounds.append(limit_of_process - pages * os.sysconf("SC_PAGE_SIZE"))
    return max(0, min(bounds))


def _entries(path: Path) -> dict[str, int]:
    """The numbers of a file with a name and a number in each line."""
    lines = (line.replace(":", " ").split() for line in path.read_text().splitlines())
    return {name: int(number) for name, number, *_ in lines}
