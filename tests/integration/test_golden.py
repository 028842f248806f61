"""A two-trial search on one thread, held to recorded figures."""

import json
import os
from pathlib import Path

import pytest
import torch

from attn_nas.engine.search import Search
from attn_nas.execution.settings import Local

GOLDEN = Path(__file__).parents[1] / "data" / "golden.json"


def _processor():
    cpuinfo = Path("/proc/cpuinfo")
    wanted = ("model name", "cpu family", "model", "stepping")
    pairs = [line.partition(":") for line in cpuinfo.read_text().splitlines()] if cpuinfo.exists() else []
    return ", ".join({key.strip(): value.strip() for key, _, value in pairs if key.strip() in wanted}.values())


def test_two_trials_give_the_recorded_figures(tiny_space, tmp_path, monkeypatch):
    """Placements and costs exactly; accuracy exactly on the recorded torch and processor, within 15 points elsewhere."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {0})
    run = Search(tiny_space, run=tmp_path / "run").optimize(n_trials=2, confirm=0, execution=Local(workers=1))
    found = {
        "torch": torch.__version__,
        "processor": _processor(),
        "trials": [
            {
                "genotype": candidate.record.genotype.to_dict(),
                "cost": candidate.record.cost.to_dict(),
                "curve": list(candidate.record.result.curve),
            }
            for candidate in run.candidates
        ],
    }
    golden = json.loads(GOLDEN.read_text())
    same_machine = (found["torch"], found["processor"]) == (golden["torch"], golden["processor"])
    for trial, expected in zip(found["trials"], golden["trials"], strict=True):
        assert trial["genotype"] == expected["genotype"]
        assert trial["cost"] == expected["cost"]
        assert trial["curve"] == pytest.approx(expected["curve"], abs=1e-6 if same_machine else 0.15)
