"""What tests of processes share: the environment of those they start, and patience with them on a busy machine."""

import os
import time
from collections.abc import Callable

import pytest

PATIENCE = 300.0
"""Seconds after which something that should happen is taken not to happen."""


@pytest.fixture(scope="session")
def child_env() -> dict[str, str]:
    """That of this process, with one thread for torch."""
    return {**os.environ, "OMP_NUM_THREADS": "1"}


@pytest.fixture(scope="session")
def wait_until() -> Callable[[Callable[[], object]], None]:
    """Waits until something is true, and fails if it does not become so."""

    def wait(found: Callable[[], object]) -> None:
        deadline = time.monotonic() + PATIENCE
        while not found():
            assert time.monotonic() < deadline
            time.sleep(0.02)

    return wait
