"""Confirmation: who is trained again with new seeds, what it costs, and that a stopped one goes on."""

import dataclasses
import io
import json
import math
import os
import random
import signal
import sys
from collections import Counter
from functools import partial

import pytest
import warm
from rich.console import Console

from attn_nas.engine.search import Search
from attn_nas.errors import AttnNasError, UsageError
from attn_nas.events.progress import SearchProgress
from attn_nas.events.types import ConfirmationStarted, SearchFinished, TrialFinished
from attn_nas.execution.settings import Local
from attn_nas.export import export_front
from attn_nas.format import likely
from attn_nas.terminal.closing import claim_lines
from attn_nas.terminal.lines import Lines
from attn_nas.terminal.live.picture import picture
from attn_nas.terminal.tables import front_table
from attn_nas.testing import TableTrainer


class NoisyTrainer(TableTrainer):
    """Attended sites help by 2 points each; a training is off by half a point, and its seed by one for all networks.

    It says that it took a second for each attended site, and half a second.
    """

    def __call__(self, genotype, seed, on_epoch):
        chance = random.Random(f"{genotype.key} {seed}")
        shift = 0.01 * random.Random(seed).gauss(0, 1)
        self.table = {genotype.key: 0.7 + 0.02 * genotype.num_attended + 0.005 * chance.gauss(0, 1) + shift}
        trained = super().__call__(genotype, seed, on_epoch)
        seconds = 0.5 + genotype.num_attended
        return dataclasses.replace(trained, result=dataclasses.replace(trained.result, seconds=seconds))


@pytest.fixture
def table_search(table_search, tiny_task):
    """Twelve candidates, confirmed with two seeds, or as before if it is resumed, with noise."""
    begun = partial(table_search, training=NoisyTrainer(tiny_task), n_trials=12)
    return lambda resume=False, **given: begun(resume=resume, **{"confirm": None if resume else 2, **given})


@pytest.fixture(scope="module")
def confirmed(search_in, tiny_task, tmp_path_factory):
    """A run of twelve candidates, confirmed, with noise, and all events that it told; to be read only."""
    events = []
    folder = tmp_path_factory.mktemp("confirmed")
    run = search_in(folder, training=NoisyTrainer(tiny_task), n_trials=12, confirm=2, callbacks=[events.append])
    return run, tuple(events)


def _by_seed(run):
    found = {}
    for record in run.records:
        found.setdefault(record.seed, []).append(record.key)
    return found


def _bare(run):
    """The reference without attention."""
    return next(reference for reference in run.references if reference.record.reference == "none")


def test_what_may_be_on_the_front_and_the_best_references_are_trained_with_two_new_seeds(confirmed):
    """The front is confirmed, hopeless candidates are not, and the budget counts the search alone."""
    run, _ = confirmed
    trained = _by_seed(run)
    assert {seed: len(keys) for seed, keys in trained.items() if seed == 0} == {0: 12}
    assert set(trained) == {0, 1, 2}
    references = {reference.record.key for reference in run.references}
    for seed in (1, 2):
        assert len(set(trained[seed])) == len(trained[seed])
        assert _bare(run).record.key in trained[seed]
        assert set(trained[seed]) < set(trained[0])
        assert len(set(trained[seed]) - references) <= 8
    assert set(trained[2]) >= {candidate.record.key for candidate in run.front}
    assert len(run.candidates) == 12
    assert len(_bare(run).results) == 3


def test_no_confirmation_is_done_when_none_is_wanted(table_search):
    """And a resumed run may have one after all, and then another."""
    run = table_search(confirm=0)
    assert set(_by_seed(run)) == {0}
    assert set(_by_seed(table_search(resume=True))) == {0}
    run = table_search(resume=True, confirm=1)
    assert set(_by_seed(run)) == {0, 1}
    assert set(_by_seed(table_search(resume=True, confirm=2))) == {0, 1, 2}
    with pytest.raises(UsageError, match="confirm = -1"):
        table_search(resume=True, confirm=-1)


def test_its_cost_is_announced_before_it_begins(confirmed):
    """As many trainings as are then done, and the seconds of the same networks' first ones."""
    _, events = confirmed
    begun = [index for index, event in enumerate(events) if isinstance(event, ConfirmationStarted)]
    assert len(begun) == 2
    ends = [*begun[1:], len(events)]
    for number, (index, end) in enumerate(zip(begun, ends, strict=True), start=1):
        event = events[index]
        done = [each for each in events[index:end] if isinstance(each, TrialFinished)]
        assert (event.round, event.rounds, event.seed) == (number, 2, number)
        assert len(done) == event.trainings == event.candidates + event.references
        assert all(each.seed == number for each in done)
        assert event.seconds == pytest.approx(sum(each.seconds for each in done))
    assert events[-1].confirmed == events[begun[0]].trainings


class StoppingListener:
    """StopSignals the search after so many trainings of the confirmation."""

    def __init__(self, after):
        self.left = after
        self.ended = None

    def __call__(self, event):
        if isinstance(event, TrialFinished) and event.seed > 0:
            self.left -= 1
            if self.left == 0:
                os.kill(os.getpid(), signal.SIGINT)
        if isinstance(event, SearchFinished):
            self.ended = event


def test_a_stopped_confirmation_goes_on_and_repeats_nothing(confirmed, table_search):
    """Its rounds are those of a search that was never stopped."""
    whole, _ = confirmed
    listener = StoppingListener(3)
    table_search(callbacks=[listener])
    assert listener.ended.why == "interrupted"
    run = table_search(resume=True)
    done = Counter((record.key, record.seed) for record in run.records if record.result)
    assert set(done.values()) == {1}
    assert {seed: set(keys) for seed, keys in _by_seed(run).items()} == {
        seed: set(keys) for seed, keys in _by_seed(whole).items()
    }


def test_a_killed_confirmation_goes_on_and_repeats_nothing(table_search, tmp_path, tiny_file):
    """After kill -9 in its midst: the same rounds, to their ends."""
    script = tmp_path / "script.py"
    script.write_text(KILLED.format(run=str(tmp_path / "run"), tiny=str(tiny_file)))
    process = warm.Popen([sys.executable, str(script)], env={**os.environ, "OMP_NUM_THREADS": "1"})
    assert process.wait(120) == -signal.SIGKILL
    run = table_search(resume=True, n_trials=None)
    done = Counter((record.key, record.seed) for record in run.records if record.result)
    assert set(done.values()) == {1}
    assert len(run.candidates) == 12
    assert len(_bare(run).results) == 3
    assert not any(record.state == "running" for record in run.records)


KILLED = """
import os, signal
from pathlib import Path
from attn_nas.space.task import Task
from attn_nas.engine.search import Search
from attn_nas.execution.settings import Local
from attn_nas.testing import TableTrainer

class Killed(TableTrainer):
    def __call__(self, genotype, seed, on_epoch):
        if seed == 1 and genotype.num_attended == 3:
            os.kill(os.getpid(), signal.SIGKILL)
        return super().__call__(genotype, seed, on_epoch)

if __name__ == "__main__":
    search = Search({tiny!r}, run={run!r}, training=Killed(Task(3, 16, 16, 10)))
    search.optimize(n_trials=12, confirm=2, execution=Local(workers=1))
"""


class FailingTrainer(NoisyTrainer):
    """Every network without attention fails with new seeds."""

    def __call__(self, genotype, seed, on_epoch):
        if seed and not genotype.num_attended:
            raise AttnNasError("loss is not finite")
        return super().__call__(genotype, seed, on_epoch)


def test_a_training_that_fails_is_told_and_not_tried_again(table_search, tiny_task):
    """The candidate keeps what it had."""
    run = table_search(training=FailingTrainer(tiny_task))
    bare = _bare(run)
    assert len(bare.results) == 1
    failed = [(record.key, record.seed) for record in run.failures]
    assert failed == [(bare.record.key, 1), (bare.record.key, 2)]
    again = table_search(resume=True, training=FailingTrainer(tiny_task))
    assert len(again.records) == len(run.records)


def test_a_lucky_training_is_found_out(table_search, tiny_task):
    """The front of one seed has a winner by chance; new seeds put it back."""

    class LuckyTrainer(NoisyTrainer):
        def __call__(self, genotype, seed, on_epoch):
            trained = super().__call__(genotype, seed, on_epoch)
            if seed or genotype.num_attended != 1:
                return trained
            self.table[genotype.key] += 0.1
            return TableTrainer.__call__(self, genotype, seed, on_epoch)

    before = table_search(confirm=0, training=LuckyTrainer(tiny_task), n_trials=20)
    lucky = [each for each in before.candidates if each.record.genotype.num_attended == 1]
    after = table_search(resume=True, confirm=3, training=LuckyTrainer(tiny_task))
    for each in lucky:
        assert after.candidate(each.record.key).accuracy < each.measured.value - 0.02


def test_a_front_of_real_trainings_has_weights(tiny_space, tmp_path):
    """Whatever the measured front was while they were thrown away, and of the seed that the file says."""
    run = Search(tiny_space, run=tmp_path / "run").optimize(n_trials=7, confirm=1, execution=Local(workers=2))
    folders = export_front(run, tmp_path / "models")
    exported = run.front if run.pick in run.front else [*run.front, run.pick]
    for candidate, folder in zip(exported, folders, strict=True):
        described = json.loads((folder / "config.json").read_text())
        assert described["weights_seed"] in {result.seed for result in candidate.results}
        assert described["belief"]["chance"] == candidate.belief.chance
        assert len(described["results"]) == len(candidate.results)
        assert f"with {len(candidate.results)} seed" in (folder / "README.md").read_text()


def test_the_words_and_the_table_say_what_can_be_told_apart(confirmed):
    """Means with doubts, seeds, chances, and leads over the references with their probability."""
    run, _ = confirmed
    out = Console(width=200, file=io.StringIO(), record=True)
    out.print(front_table(run.front, "front"))
    table = out.export_text()
    for candidate in run.front:
        line = next(line for line in table.splitlines() if candidate.record.key in line)
        assert candidate.expected.hundredths() in line
        assert f"({len(candidate.results)})" in line
        assert ("~" in line) == (candidate.belief.lead is not None and candidate.belief.lead < 0.9)
    assert run.verdict.allows_claims
    for reference in run.references:
        if reference is not run.pick:
            lead = run.beliefs.difference(run.pick.record.key, reference.record.key)
            assert any(
                lead.mean.hundredths(signed=True) in line and likely(lead.probability) in line for line in claim_lines(run)
            )


def test_the_views_follow_the_rounds(confirmed):
    """A line that announces each round and one per training; a bar that begins anew."""
    progress, out = SearchProgress(), Console(width=200, file=io.StringIO(), record=True)
    lines = Lines(out)
    seen = []

    def look(event):
        if isinstance(event, TrialFinished) and event.seed == 2:
            screen = Console(width=120, file=io.StringIO(), record=True)
            screen.print(picture(progress))
            seen.append(screen.export_text())

    run, events = confirmed
    for event in events:
        for view in (progress, lines, look):
            view(event)
    count = len(_by_seed(run)[2])
    assert f"confirm {count}/{count} (round 2 of 2)" in seen[-1]
    text = out.export_text()
    assert "Confirming, round 1 of 2" in text
    assert f"[seed 2: {count}/{count}]" in text
    assert "[12/12]" in text


def test_documents_have_means_errors_seeds_and_chances(confirmed):
    """JSON of the front: of every point what was measured, and what is believed."""
    run, _ = confirmed
    document = run.to_dict()
    assert document["noise_of_one_training"] > 0
    for point in document["front"]:
        by_seed = [*point["by_seed"].values()]
        assert point["measured"]["mean"] == pytest.approx(math.fsum(by_seed) / len(by_seed))
        assert (point["measured"]["standard_error"] is None) == (len(by_seed) == 1)
        assert point["belief"]["low"] < point["accuracy"] < point["belief"]["high"]
        assert 0 <= point["belief"]["chance"] <= 1
