"""Tests of what works without torch, which takes seconds to be imported."""

import sys
from collections.abc import Iterator

import pytest


@pytest.fixture(autouse=True, scope="package")
def _without_torch() -> Iterator[None]:
    """Run alone, these tests do not import torch."""
    before = "torch" in sys.modules
    yield
    assert before or "torch" not in sys.modules, "a test of this folder has imported torch"
