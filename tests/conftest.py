"""Shared fixtures: a search space that trains in a second, and one core per test process."""

from pathlib import Path

import pytest
import torch

from attn_nas import plugins
from attn_nas.space.loading import load_space
from attn_nas.space.schema import SearchSpace

torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def _forgotten(monkeypatch):
    """What a test loads into this process is gone after it."""
    for registry in plugins._registries:
        for name in ("_records", "_aliases", "_origins"):
            monkeypatch.setattr(registry, name, dict(getattr(registry, name)))
    monkeypatch.setattr(plugins, "_active", dict(plugins._active))


@pytest.fixture(scope="session")
def tiny_space() -> SearchSpace:
    """A search space whose candidates train in about a second."""
    return load_space(Path(__file__).parent / "data" / "tiny.yaml")
