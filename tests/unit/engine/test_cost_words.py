"""What a pick costs, in words."""

from math import nan
from types import SimpleNamespace

import pytest

from attn_nas.cost import Cost
from attn_nas.runs.pick_words import cost_words

BARE = Cost(10_000, 8_000, 0, 500)
SAVING = Cost(9_974, 8_000, 0, 505)
"""Fewer FLOPs, as of a mechanism in the place of a convolution, and more parameters."""


def words(cost, axes, num_attended=1, **times):
    run = SimpleNamespace(axes=axes, manifest=SimpleNamespace(bare_cost=BARE))
    record = SimpleNamespace(cost=cost, genotype=SimpleNamespace(num_attended=num_attended))
    return cost_words(SimpleNamespace(run=run, record=record, costs=times))


@pytest.mark.parametrize(
    ("cost", "axes", "times", "expected"),
    [
        (Cost(10_027, 8_000, 0, 500), ("flops",), {}, "It costs +0.27 % FLOPs."),
        (SAVING, ("flops",), {}, "It saves 0.26 % FLOPs."),
        (BARE, ("flops",), {}, "It costs no extra FLOPs."),
        (
            SAVING,
            ("params", "macs"),
            {},
            "It costs +1.00 % parameters and costs no extra MACs and saves 0.26 % FLOPs. Cheaper is decided by parameters and "
            "then MACs.",
        ),
        (
            SAVING,
            ("latency",),
            {"latency": 1.204},
            "It saves 0.26 % FLOPs. Inference of one image takes 1.20x as long as without attention. Cheaper is decided by the "
            "time of inference of one image.",
        ),
        (
            SAVING,
            ("flops", "step_time"),
            {"step_time": nan},
            "It saves 0.26 % FLOPs. A training step was not timed. Cheaper is decided by FLOPs and then the time of a training "
            "step.",
        ),
    ],
    ids=["added", "saved", "nothing", "counted", "latency", "not timed"],
)
def test_every_cost_that_decided_is_said(cost, axes, times, expected):
    assert words(cost, axes, **times) == expected


def test_the_network_without_attention_has_no_ratio_to_itself():
    assert words(BARE, ("step_time",), num_attended=0, step_time=1.01) == (
        "It costs no extra FLOPs. Cheaper is decided by the time of a training step."
    )
