"""Budgets, limits and warm starts: when a search ends, what it may spend, and what it knows before it begins."""

import time

import pytest

from attn_nas.cost import Cost, Limits
from attn_nas.engine.time_budget import TimeBudget
from attn_nas.engine.warm_start import prior_trainings
from attn_nas.errors import SpaceError, UsageError
from attn_nas.events.types import ConfirmationStarted, SearchFinished, SearchStarted
from attn_nas.format import parse_seconds, written_duration
from attn_nas.sampling.baselines import at_random
from attn_nas.space.limits import most_allowed
from attn_nas.space.schema import LimitSettings
from attn_nas.testing import TableTrainer


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90", 90), ("90s", 90), ("45m", 2700), ("1h30m", 5400), ("1.5h", 5400), ("2d", 172800), ("1h 5s", 3605)],
)
def test_durations_are_read_as_people_type_them(text, seconds):
    """With units, without, and in parts; what is written for them to copy is read back."""
    assert parse_seconds("--time-budget", text) == seconds
    assert parse_seconds("--time-budget", written_duration(seconds)) == seconds


@pytest.mark.parametrize("text", ["", "soon", "0", "-5m", "30m1h", "nan", "inf", "1w"])
def test_other_durations_are_refused(text):
    """With an example of what is understood."""
    with pytest.raises(UsageError, match="1h30m"):
        parse_seconds("--time-budget", text)


@pytest.mark.parametrize(
    ("limit", "most"), [(500, 500), ("500", 500), ("45M", 45_000_000), ("+200k", 201_234), ("+5%", 1295), ("+0.5%", 1240)]
)
def test_limits_are_in_all_or_added(limit, most):
    """Of a bare trunk that costs 1,234; shares are rounded down."""
    assert most_allowed(limit, 1234) == most


@pytest.mark.parametrize("limit", ["5%", "-3", "+", "much", "1e6", "+5 %", "", "1" * 41, "9" * 5000, 0, -1, True, 1.5])
def test_other_limits_are_refused(limit):
    """As they are when the file is read."""
    with pytest.raises(ValueError, match="max_flops"):
        LimitSettings.model_validate({"max_flops": limit})


def test_a_limit_that_is_too_long_is_named_by_its_beginning():
    """Thousands of digits are more than Python converts to a number."""
    with pytest.raises(SpaceError, match=r"^'9999999999\.\.\. \(5000 characters\)' is not a limit: write a total \(45M\)"):
        most_allowed("9" * 5000, 1234)


def test_a_limit_below_the_bare_trunk_is_refused():
    """With how to limit what is added instead."""
    bare = Cost(flops=1000, macs=900, fvcore_default=900, params=10)
    with pytest.raises(SpaceError, match=r"has 1,000 already.*\+5%"):
        Limits.of(LimitSettings.model_validate({"max_flops": 999}), bare)
    assert Limits.of(LimitSettings.model_validate({"max_flops": 1000}), bare).allow(bare)


def test_limits_given_later_replace_those_of_the_file(tiny_space, table_search, command):
    """Exactly: nothing above them is trained. They are those of the whole run."""
    run = table_search(tiny_space.with_limits(max_flops="+1%", max_params="+300"), n_trials=10)
    bare = run.manifest.bare_cost
    assert len(run.candidates) > 3
    for candidate in run.candidates:
        assert candidate.record.cost.flops <= 1.01 * bare.flops
        assert candidate.record.cost.params <= bare.params + 300
    code, _, error = command("search", "--resume", "--run", run.folder.path, "--max-flops", "+2%")
    assert (code, "limits and a warm start are for new runs" in error) == (2, True)
    with pytest.raises(SpaceError, match=r"limits\.max_flops = lots: 'lots' is not a limit"):
        tiny_space.with_limits(max_flops="lots")


def test_the_clock_keeps_a_reserve_of_at_most_half():
    """For what comes after the search."""
    assert TimeBudget(time.monotonic()).allows(1e9, 1e9)
    assert TimeBudget(time.monotonic(), 100.0).allows(40.0, 1e9)
    assert not TimeBudget(time.monotonic(), 100.0).allows(51.0, 1e9)
    assert not TimeBudget(time.monotonic() - 99.0, 100.0).allows(2.0, 0.0)


class SlowTrainer(TableTrainer):
    """A tenth of a second each, which it reports."""

    def __call__(self, genotype, seed, on_epoch):
        time.sleep(0.1)
        trained = super().__call__(genotype, seed, on_epoch)
        object.__setattr__(trained.result, "seconds", 0.1)
        return trained


def test_a_time_budget_ends_the_search_and_leaves_time_to_confirm(table_search, tiny_task):
    """Without a budget of trials; what was begun is finished, and a run resumed without time only confirms."""
    events = []
    begun = time.monotonic()
    run = table_search(timeout=10.0, confirm=1, training=SlowTrainer(tiny_task), callbacks=[events.append])
    assert time.monotonic() - begun < 13
    started = next(event for event in events if isinstance(event, SearchStarted))
    assert (started.budget, started.time_budget) == (None, 10.0)
    ended = events[-1]
    assert isinstance(ended, SearchFinished)
    assert ended.why in ("time", "exhausted")
    assert any(isinstance(event, ConfirmationStarted) for event in events)
    count = len(run.candidates)
    events.clear()
    again = table_search(resume=True, confirm=1, callbacks=[events.append])
    assert len(again.candidates) == count
    assert events[-1].why == "time"
    more = table_search(resume=True, confirm=1, timeout=1.5, training=SlowTrainer(tiny_task))
    assert len(more.candidates) >= count


def test_trials_may_end_before_the_time(table_search, tmp_path):
    """Whichever comes first; a budget below one is refused."""
    events = []
    table_search(n_trials=3, timeout=1000.0, callbacks=[events.append])
    assert (events[-1].why, events[-1].finished) == ("budget", 3)
    with pytest.raises(UsageError, match="timeout 0: write a duration"):
        table_search(folder=tmp_path / "other", timeout=0)


class AdditiveTrainer(TableTrainer):
    """Squeeze-and-excitation in the first block is what counts; ``level`` is where all networks are."""

    level = 0.5

    def __call__(self, genotype, seed, on_epoch):
        first = next(iter(genotype.sites))[1]
        gain = 0.1 if first and first.mechanism == "se" else 0.0
        self.table = {genotype.key: self.level + gain - 0.01 * genotype.num_attended}
        return super().__call__(genotype, seed, on_epoch)


class LaterTrainer(AdditiveTrainer):
    """The same task, where all is more accurate."""

    level = 0.8


def _best_after(run, references):
    """The best accuracy of the candidates right after the references."""
    return max(candidate.measured.value for candidate in run.candidates[references : references + 2])


def test_a_warm_start_knows_what_is_good(tiny_space, tmp_path, table_search, tiny_task):
    """From a run at another level of accuracy and with other choices; kept in the study, so a resumed search knows it too."""
    first = table_search(folder=tmp_path / "first", n_trials=20, sampler=at_random, training=AdditiveTrainer(tiny_task))
    fewer = tiny_space.model_copy(update={"mechanisms": tiny_space.mechanisms[:2]})
    references = len(table_search(fewer, folder=tmp_path / "cold", n_trials=6, training=LaterTrainer(tiny_task)).references)
    warm = table_search(
        fewer, folder=tmp_path / "warm", n_trials=references, training=LaterTrainer(tiny_task), warm_start=first.folder.path
    )
    kept = warm.study.user_attrs["warm_start"]
    assert 0 < len(kept) < 20
    warm = table_search(folder=tmp_path / "warm", n_trials=references + 2, resume=True, training=LaterTrainer(tiny_task))
    assert _best_after(warm, references) == pytest.approx(0.8 + 0.1 - 0.01, abs=1e-6)


def test_a_warm_start_that_cannot_help_is_refused(tiny_space, tmp_path, table_search, command):
    """Another trunk, no common mechanism, a run to be resumed."""
    others = [settings for settings in tiny_space.mechanisms if settings.name == "sk"]
    alone = table_search(tiny_space.model_copy(update={"mechanisms": others}), folder=tmp_path / "alone", n_trials=4)
    rest = [settings for settings in tiny_space.mechanisms if settings.name != "sk"]
    with pytest.raises(UsageError, match="no candidate whose mechanisms"):
        table_search(tiny_space.model_copy(update={"mechanisms": rest}), folder=tmp_path / "rest", warm_start=alone.folder.path)
    first = table_search(folder=tmp_path / "first", n_trials=6)
    deeper = tiny_space.model_copy(update={"trunk": tiny_space.trunk.model_copy(update={"depth": 14})})
    with pytest.raises(UsageError, match="says nothing about"):
        table_search(deeper, folder=tmp_path / "second", warm_start=first.folder.path)
    assert not (tmp_path / "second").exists()
    other = tiny_space.with_training(metric="balanced_accuracy")
    with pytest.raises(UsageError, match="it was judged by accuracy, this search is by balanced_accuracy"):
        prior_trainings(first, other)
    path = first.folder.path
    code, _, error = command("search", "--resume", "--run", path, "--warm-start", path)
    assert (code, "limits and a warm start are for new runs" in error) == (2, True)


def test_of_a_long_run_the_best_and_a_sample_are_taken(tiny_space, table_search, monkeypatch):
    """A sampler has to read them at every trial."""
    monkeypatch.setattr("attn_nas.engine.warm_start._MOST", 10)
    run = table_search(n_trials=16, sampler=at_random)
    found = prior_trainings(run, tiny_space)
    assert len({each.genotype.key for each in found}) == len(found) == 10
    best = max(run.candidates, key=lambda candidate: candidate.accuracy)
    assert best.record.key in {each.genotype.key for each in found}
    assert {each.record.key for each in run.references} <= {each.genotype.key for each in found}
