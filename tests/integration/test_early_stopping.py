"""Early stopping: who is paused, who goes on later, and that nothing is trained twice for it."""

import dataclasses
import os
import random
import signal
from functools import partial

import numpy as np
import pytest
import torch

from attn_nas.cost import CostTable
from attn_nas.engine.early_stopping import EarlyStopping
from attn_nas.engine.search import Search
from attn_nas.errors import UsageError
from attn_nas.events.types import TrialPaused
from attn_nas.execution.settings import Local
from attn_nas.runs.record import Record
from attn_nas.sampling.baselines import at_random
from attn_nas.sampling.curve_model import CurveModel
from attn_nas.sampling.scale import LOGITS
from attn_nas.space.encoding import Encoding
from attn_nas.space.genotype import Genotype
from attn_nas.space.schema import ProxySettings
from attn_nas.testing import TableTrainer
from attn_nas.training import Checkpoint
from attn_nas.training.pauses import Pause
from attn_nas.training.protocol import Replicate


class CurveTrainer(TableTrainer):
    """Two epochs, as the tiny space has: the first says nearly all; attention in the first block costs twenty points."""

    noise = 0.002

    def _final(self, genotype):
        first = next(iter(genotype.sites))[1]
        return 0.7 + 0.02 * genotype.num_attended - (0.2 if first else 0.0)

    def __call__(self, genotype, seed, on_epoch):
        return self.train_until(2, genotype, seed, on_epoch)

    def train_until(self, epoch, genotype, seed, on_epoch):
        chance = random.Random(f"{genotype.key} {seed}")
        final = self._final(genotype) + self.noise * chance.gauss(0, 1)
        curve = (final - 0.1 + self.noise * chance.gauss(0, 1), final)[:epoch]
        self.table = {genotype.key: curve[-1]}
        trained = super().__call__(genotype, seed, on_epoch)
        return _with_curve(trained, curve)


def _with_curve(trained, curve):
    result = dataclasses.replace(
        trained.result,
        curve=curve,
        loss_curve=(1.0,) * len(curve),
        margin_curve=(0.0,) * len(curve),
        train_loss=(1.0,) * len(curve),
    )
    return dataclasses.replace(trained, result=result)


@pytest.fixture
def table_search(table_search, tiny_task):
    """With early stopping, and a trainer that can pause."""
    return partial(table_search, training=CurveTrainer(tiny_task), early_stopping=True)


def test_what_will_hardly_be_on_the_front_is_paused(table_search, tiny_task):
    """Of random proposals; paused ones count, have a part of a curve, no score, and are pruned trials for Optuna."""
    events = []
    run = table_search(n_trials=30, callbacks=[events.append], sampler=at_random)
    paused = [record for record in run.records if record.state == "paused"]
    assert len(paused) >= 3
    assert len(paused) == sum(isinstance(event, TrialPaused) for event in events)
    assert len(paused) + len(run.candidates) == 30
    trainer = CurveTrainer(tiny_task)
    for record in paused:
        assert len(record.partial.curve) == 1
        assert record.result is None
        assert record.reference is None
        rivals = [each.record.genotype for each in run.candidates if each.record.cost.flops <= record.cost.flops]
        assert trainer._final(record.genotype) <= max(map(trainer._final, rivals))
    states = {trial.number: trial.state.name for trial in run.study.trials}
    assert {states[record.number] for record in paused} == {"PRUNED"}
    assert events[-1].finished == 30


def test_without_it_everything_is_trained_to_its_end(table_search):
    """It is off unless asked for."""
    run = table_search(n_trials=30, early_stopping=None)
    assert len(run.candidates) == 30


class StubbornTrainer(CurveTrainer):
    """The first epoch says the opposite of the second."""

    def train_until(self, epoch, genotype, seed, on_epoch):
        trained = super().train_until(epoch, genotype, seed, on_epoch)
        curve = (1.2 - self._final(genotype), *trained.result.curve[1:])
        return _with_curve(trained, curve)


def test_a_rung_that_says_nothing_stops_nobody(table_search, tiny_task):
    """What a part of a curve is worth is learned from whole ones."""
    assert len(table_search(n_trials=25, training=StubbornTrainer(tiny_task)).candidates) == 25


class Interrupting:
    """Stops the search after so many candidates were paused."""

    def __init__(self, after):
        self.left = after

    def __call__(self, event):
        if isinstance(event, TrialPaused):
            self.left -= 1
            if self.left == 0:
                os.kill(os.getpid(), signal.SIGINT)


def test_a_stopped_search_goes_on_with_what_was_paused(table_search):
    """To the exact budget; nothing that was paused is proposed again."""
    table_search(n_trials=30, callbacks=[Interrupting(2)])
    run = table_search(resume=True, early_stopping=None)
    keys = [record.key for record in run.records if record.state in ("finished", "paused")]
    assert len(set(keys)) == 30
    assert run.manifest.early_stopping


def test_a_trainer_that_cannot_pause_is_refused(table_search, tmp_path, tiny_task):
    """Before anything is written."""
    with pytest.raises(UsageError, match="TableTrainer cannot pause"):
        table_search(training=TableTrainer(tiny_task))
    assert not (tmp_path / "run").exists()


def test_real_trainings_pause_and_go_on(tiny_space, tmp_path, monkeypatch):
    """A paused candidate keeps its state in the run; promoted, it ends as if it had never been paused."""
    proxy = ProxySettings.model_validate({**tiny_space.proxy.model_dump(), "epochs": 4})
    space = tiny_space.model_copy(update={"proxy": proxy})
    whole = Search(space, run=tmp_path / "whole").optimize(n_trials=6, confirm=0, execution=Local(workers=1))
    told = []
    monkeypatch.setattr(EarlyStopping, "goes_on", lambda *_: False)
    monkeypatch.setattr(EarlyStopping, "promoted", lambda *_: None)
    run = Search(space, run=tmp_path / "run").optimize(
        n_trials=6, confirm=0, early_stopping=True, callbacks=[told.append], execution=Local(workers=1)
    )
    paused = [record for record in run.records if record.state == "paused"]
    assert [record.reference for record in run.records if record.state == "finished"] == [
        reference.record.reference for reference in run.references
    ]
    assert len(paused) == 6 - len(run.references)
    assert all(len(record.partial.curve) == 1 for record in paused)
    assert len([*run.folder.pauses.glob("*.safetensors")]) == len(paused)

    monkeypatch.undo()
    monkeypatch.setattr(EarlyStopping, "goes_on", lambda *_: True)
    waiting = [record.key for record in paused]

    def promoted(stopping, records):
        over = {record.key for record in records if record.state in ("finished", "running")}
        return next((record for record in records if record.key in waiting and record.key not in over), None)

    monkeypatch.setattr(EarlyStopping, "promoted", promoted)
    run = Search.load(tmp_path / "run").optimize(execution=Local(workers=1))
    assert len(run.candidates) == 6
    curves = {candidate.record.key: candidate.record.result.curve for candidate in whole.candidates}
    shared = [candidate for candidate in run.candidates if candidate.record.key in curves]
    assert {candidate.record.key for candidate in shared} & set(waiting)
    assert all(candidate.record.result.curve == curves[candidate.record.key] for candidate in shared)
    assert not [*run.folder.pauses.glob("*.safetensors")]


def test_of_what_was_paused_twice_the_last_counts(tiny_space, tiny_task):
    """Otherwise it would be promoted and paused without end."""
    encoding = Encoding(tiny_space)
    costs = CostTable(encoding.trunk, tiny_task)
    rng, found = np.random.default_rng(0), {}
    while len(found) < 13:
        genotype = encoding.decode(encoding.random(rng))
        found.setdefault(genotype.key, genotype)
    *others, twice = sorted(found.values(), key=lambda genotype: costs.cost(genotype).flops)
    result = TableTrainer(tiny_task)(twice, 0, lambda *_: None).result

    def record(state, genotype, *curve):
        trained = dataclasses.replace(result, curve=curve, accuracy=curve[-1])
        whole, part = (trained, None) if state == "finished" else (None, trained)
        return Record(0, state, genotype, 0, costs.cost(genotype), None, whole, None, None, part)

    finals = np.linspace(0.7, 0.8, len(others))
    records = [
        record("finished", each, final - 0.2, final - 0.1, final) for each, final in zip(others, finals.tolist(), strict=True)
    ]
    stopping = EarlyStopping((1, 2), 1, 3, ("flops",))
    once = record("paused", twice, 0.7)
    assert stopping.promoted([*records, once]) == once
    assert stopping.promoted([*records, once, record("paused", twice, 0.7, 0.3)]) is None


@pytest.mark.parametrize(
    ("epochs", "warm", "rungs"), [(1, 0, ()), (2, 0, (1,)), (3, 0, (1, 2)), (16, 0, (4, 8)), (16, 8, (10, 12)), (2, 1, ())]
)
def test_rungs_are_at_a_quarter_and_at_a_half(epochs, warm, rungs):
    """Of the epochs that a candidate is trained for itself."""
    proxy = ProxySettings.model_validate({"epochs": epochs, "batch_size": 10, "lr": 0.1, "warm_epochs": warm})
    stopping = EarlyStopping.of(proxy, ["flops"])
    assert stopping.rungs == rungs
    assert stopping.next_rung(0) == (rungs[0] if rungs else epochs)


def test_a_reading_is_unbiased_and_as_unsure_as_the_rung():
    """From curves whose rungs are half the final logit, with noise: value and variance as they were made."""
    rng = np.random.default_rng(0)
    final = rng.normal(1.0, 0.5, size=400)
    rung = 0.5 * final - 0.3 + rng.normal(0, 0.1, size=400)
    model = CurveModel(LOGITS.back(np.stack([rung, final], 1)), LOGITS)
    reading = model.extrapolate([float(LOGITS.back(np.array(0.5 * 1.4 - 0.3)))])
    assert reading.value == pytest.approx(1.4, abs=0.05)
    assert reading.variance == pytest.approx((0.1 / 0.5) ** 2, rel=0.2)
    assert model.extrapolate([0.5, 0.6]) is None
    assert model.extrapolate([]) is None
    assert CurveModel(LOGITS.back(np.stack([rung, final], 1)[:5]), LOGITS).extrapolate([0.5]) is None


def test_a_damaged_pause_is_none(tiny_space, tmp_path, tiny_task):
    """Then the training begins anew."""
    replicate = Replicate(Genotype.bare(tiny_space.trunk.trunk()), 0)
    pause = Pause(tmp_path / "pauses", replicate)
    assert pause.load() is None
    trained = CurveTrainer(tiny_task).train_until(1, replicate.genotype, 0, lambda *_: None)
    pause.keep(trained, Checkpoint(1, {"a": torch.zeros(3)}, {}, torch.Generator().get_state()))
    assert pause.load().trained == trained
    for path in (tmp_path / "pauses").glob("*.safetensors"):
        path.write_bytes(path.read_bytes()[:20])
    assert pause.load() is None
    pause.drop()
    assert not [*(tmp_path / "pauses").iterdir()]
