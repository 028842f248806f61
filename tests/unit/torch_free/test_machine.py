"""Memory that a process may use, by the machine, by its control group and by its own limit."""

import resource

import pytest

from attn_nas import machine

GB = 2**30


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({}, 8 * GB),
        ({"memory.max": "max", "memory.current": f"{2 * GB}", "memory.stat": "anon 1\ninactive_file 5"}, 8 * GB),
        ({"memory.max": f"{6 * GB}", "memory.current": f"{2 * GB}", "memory.stat": f"inactive_file {GB}"}, 5 * GB),
        ({"memory.max": f"{GB}", "memory.current": f"{2 * GB}", "memory.stat": "inactive_file 0"}, 0),
        (
            {
                "memory/memory.limit_in_bytes": f"{4 * GB}",
                "memory/memory.usage_in_bytes": f"{GB}",
                "memory/memory.stat": "total_inactive_file 0",
            },
            3 * GB,
        ),
    ],
)
def test_the_memory_of_a_container_counts(monkeypatch, tmp_path, files, expected):
    """A control group of either version bounds it; pages of files that it can give back are free."""
    files = {**files, "meminfo": f"MemTotal: 9 kB\nMemAvailable: {8 * GB // 1024} kB\n", "self/statm": "0 0"}
    for name, content in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(content)
    for name in ("_CGROUP", "_PROC"):
        monkeypatch.setattr(machine, name, tmp_path)
    monkeypatch.setattr(machine.os, "sysconf", {"SC_PAGE_SIZE": 4096, "SC_PHYS_PAGES": 16 * GB // 4096}.get)
    monkeypatch.setattr(machine.resource, "getrlimit", lambda kind: (resource.RLIM_INFINITY,) * 2)
    assert machine.usable_memory() == expected


def test_the_limit_of_the_process_counts(monkeypatch):
    """``ulimit -v`` bounds the address space, of which the process has taken some."""
    monkeypatch.setattr(machine.resource, "getrlimit", lambda kind: (2**40, 2**40))
    free = machine.usable_memory()
    monkeypatch.setattr(machine.resource, "getrlimit", lambda kind: (1, 1))
    assert free > 0
    assert machine.usable_memory() == 0
