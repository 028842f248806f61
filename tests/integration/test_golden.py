"""A two-trial search on one thread, held to recorded figures."""

import json
from pathlib import Path

import pytest

pytestmark = pytest.mark.usefixtures("full_fits")

GOLDEN = Path(__file__).parents[1] / "data" / "golden.json"


def test_two_trials_give_the_recorded_figures(table_search):
    """Placements and costs exactly; losses to a thousandth.

    Between processors with AVX-512, with AVX2 and without either, and without oneDNN, these losses differ by 3e-5 at most.
    """
    run = table_search(n_trials=2, training=None)
    found = [
        {
            "genotype": candidate.record.genotype.to_dict(),
            "cost": candidate.record.cost.to_dict(),
            "train_loss": [*candidate.record.result.train_loss],
            "loss_curve": [*candidate.record.result.loss_curve],
        }
        for candidate in run.candidates
    ]
    for trial, expected in zip(found, json.loads(GOLDEN.read_text()), strict=True):
        assert (trial["genotype"], trial["cost"]) == (expected["genotype"], expected["cost"])
        assert trial["train_loss"] == pytest.approx(expected["train_loss"], rel=1e-3)
        assert trial["loss_curve"] == pytest.approx(expected["loss_curve"], rel=1e-3)
