"""Shared fixtures: a search space that trains in a second, and one core per test process."""

import pytest
import torch

from attn_nas.space.loading import parse_space
from attn_nas.space.schema import SearchSpace

torch.set_num_threads(1)

TINY = """
trunk: {name: cifar_resnet, depth: 8, width: 8}
data: {name: cluttered_digits, num_train: 256, num_validation: 200}
mechanisms:
  - {name: se, reductions: [2, 4], positions: [standard, pre]}
  - {name: eca, kernel_sizes: [adaptive, 5]}
  - {name: sk, reductions: [2]}
proxy: {epochs: 2, batch_size: 32, lr: 0.1, precision: fp32}
"""


@pytest.fixture
def tiny_space() -> SearchSpace:
    """A search space whose candidates train in about a second."""
    return parse_space(TINY, "tiny.yaml")
