"""What takes less time in tests than for users: fewer repetitions of the same, and nothing left out."""

from collections.abc import Callable
from importlib import import_module
from typing import Any

FITS: dict[str, Any] = {"attn_nas.sampling.hyperparameters._STEPS": 5, "attn_nas.sampling.hyperparameters._BETWEEN": 1}
"""Hyperparameters of models are fitted in few steps, and every step of a chain is a draw: this takes a third of the time."""
TIMES: dict[str, Any] = {"attn_nas.training.step_profile._ROUNDS": {"step": 1, "latency_1": 1, "latency_128": 1}}
"""Networks are timed in one round."""
IMAGES: dict[str, Any] = {"attn_nas.data.digits._NUM_TEST": 400}
"""Networks are tested on a tenth of the composed images."""


def apply(values: dict[str, Any], change: Callable[[object, str, Any], None]) -> dict[str, Any]:
    """Set names of modules to these values by ``change``, which takes what `setattr` takes; returns the values before."""
    before = {}
    for place, value in values.items():
        module, _, name = place.rpartition(".")
        before[place] = getattr(import_module(module), name)
        change(import_module(module), name, value)
    return before
