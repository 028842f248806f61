"""Unit tests are pure and fast: most of them do without torch, and none of them computes for long."""

import time
from collections.abc import Iterator

import pytest

MOST = 5.0
"""Seconds of this process's processors that one unit test may take on a busy machine; few take a tenth of one."""


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call() -> Iterator[None]:
    """Fail a test that takes too long, however loaded the machine is."""
    before = time.process_time()
    yield
    taken = time.process_time() - before
    assert taken < MOST, f"it has computed for {taken:.1f} s: move it to the integration tests, or make it lighter"
