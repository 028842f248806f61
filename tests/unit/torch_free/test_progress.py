"""Where a search stands, gathered from its events; and what is left of it."""

import json
from dataclasses import replace

import pytest

from attn_nas.events.log import EventLog, event_of
from attn_nas.events.progress import SearchProgress
from attn_nas.events.types import (
    ConfirmationStarted,
    EpochFinished,
    ExportAdvanced,
    FrontPoint,
    SearchFinished,
    SearchStarted,
    TrialFailed,
    TrialFinished,
    TrialPaused,
    TrialStarted,
)
from attn_nas.monitor.summary import brief_progress

STARTED = SearchStarted(
    time=1000.0, run="runs/x", space="toy", budget=10, time_budget=None, confirm=1, finished=2, front=(), seed=0, workers=2,
    threads=1, gpus=0, cores=2, numerics="cpu, fp32", trunk="a trunk", num_sites=3, epochs=4,
)  # fmt: skip


def begun(number, time=1001.0):
    """The beginning of a trial."""
    return TrialStarted(
        time=time, number=number, key=f"{number:012d}", seed=0, placements="se r4 | -", reference=None, flops=9, params=9
    )


def ended(number, finished, time=1100.0):
    """Its end with a score."""
    point = FrontPoint(key=f"{number:012d}", placements="se r4 | -", accuracy=0.9, costs=(9.0,), added_flops=0)
    return TrialFinished(
        time=time, number=number, key=point.key, seed=0, placements=point.placements, reference=None, accuracy=0.9, flops=9,
        added_flops=0, params=9, seconds=1.0, front=(point,), hypervolume=1.0 + number, finished=finished,
    )  # fmt: skip


def follow(*events):
    """Where a search stands after ``events``."""
    progress = SearchProgress()
    for event in events:
        progress(event)
    return progress


def test_a_worker_keeps_its_place_until_its_training_ends():
    """The next training takes the lowest place that is free."""
    progress = follow(STARTED, begun(0), begun(1), ended(0, 3), begun(2))
    assert [each.begun.number for each in progress.workers] == [2, 1]
    progress(EpochFinished(number=1, epoch=1, accuracy=0.5))
    progress(EpochFinished(number=7, epoch=1, accuracy=0.5))
    assert progress.workers[1].curve == [(1, 0.5)]
    progress(TrialPaused(number=1, key="k", seed=0, placements="-", epochs=1, accuracy=0.5, seconds=1.0, finished=4))
    assert progress.workers[1] is None
    assert (progress.finished, progress.paused) == (4, 1)


def test_time_left_follows_the_pace_and_the_budget_of_time():
    """Eight are left after two in a hundred seconds; a budget of time is the most, alone too."""
    progress = follow(STARTED, ended(0, 3, 1050.0), ended(1, 4, 1100.0))
    assert progress.seconds_left(1100.0) == pytest.approx(300.0)
    limited = follow(replace(STARTED, time_budget=150.0), ended(0, 3, 1050.0), ended(1, 4, 1100.0))
    assert limited.seconds_left(1100.0) == pytest.approx(50.0)
    assert follow(replace(STARTED, budget=None, time_budget=150.0)).seconds_left(1020.0) == pytest.approx(130.0)
    assert follow(replace(STARTED, budget=None, time_budget=150.0)).seconds_left(2000.0) == 0.0
    assert follow(STARTED).seconds_left(1010.0) is None


def test_a_round_of_confirmation_is_counted_by_itself():
    """Its trainings are what is done and left; the next search begins without one."""
    round_ = ConfirmationStarted(time=1200.0, round=1, rounds=1, seed=1, candidates=3, references=1, trainings=4, seconds=80.0)
    progress = follow(STARTED, ended(0, 10), round_)
    assert progress.done == (0, 4)
    assert progress.seconds_left(1200.0) == 80.0
    assert progress.step == "confirm"
    progress(ended(1, 10, 1220.0))
    assert progress.done == (1, 4)
    assert progress.seconds_left(1220.0) == pytest.approx(60.0)
    progress(replace(STARTED, time=2000.0, finished=10))
    assert progress.done == (10, 10)


def test_a_search_has_four_steps():
    """Between the last training and the first of the confirmation it confirms already; a log without an export ends there."""
    finished = SearchFinished(
        run="x", why="budget", finished=10, confirmed=0, budget=10, seconds=5.0, training_seconds=5.0, time=1300.0
    )
    progress = SearchProgress()
    assert progress.step == "prepare"
    progress(STARTED)
    assert progress.step == "search"
    progress(ended(0, 10))
    assert (progress.step, progress.seconds_left(1110.0)) == ("confirm", None)
    progress(finished)
    assert progress.step is None
    progress(ExportAdvanced(done=0, models=None, time=1301.0))
    assert (progress.step, progress.seconds_left(1310.0)) == ("export", None)
    progress(ExportAdvanced(done=0, models=4, time=1310.0))
    progress(ExportAdvanced(done=1, models=4, time=1320.0))
    assert progress.seconds_left(1325.0) == pytest.approx(25.0)
    progress(ExportAdvanced(done=4, models=4, time=1350.0))
    assert progress.step is None
    without = follow(replace(STARTED, confirm=0), ended(0, 10))
    assert without.step == "search"


def test_rounds_that_are_still_to_come_are_told():
    """All before the first, one less with each, none after the last; a budget of time contains them."""
    rounds = [
        ConfirmationStarted(
            time=1200.0, round=number, rounds=2, seed=number, candidates=3, references=1, trainings=4, seconds=80.0
        )
        for number in (1, 2)
    ]
    progress = follow(replace(STARTED, confirm=2))
    assert progress.rounds_after == 2
    progress(rounds[0])
    assert progress.rounds_after == 1
    progress(rounds[1])
    assert progress.rounds_after == 0
    assert follow(replace(STARTED, confirm=0)).rounds_after == 0
    assert follow(replace(STARTED, confirm=2, time_budget=150.0)).rounds_after == 0


def test_what_runs_is_gone_after_the_end_and_after_a_restart():
    """A killed search leaves trainings without an end; failures and the trend remain."""
    failed = TrialFailed(number=1, key="k", seed=0, placements="-", reason="diverged", counts=True, finished=4)
    progress = follow(STARTED, begun(0), begun(1), failed, begun(2), ended(2, 5), replace(STARTED, finished=5))
    assert progress.running == {}
    assert [each.reason for each in progress.failures] == ["diverged"]
    assert len(progress.hypervolumes) == 1
    progress(begun(3))
    progress(
        SearchFinished(run="x", why="budget", finished=10, confirmed=0, budget=10, seconds=5.0, training_seconds=5.0, time=9.0)
    )
    assert progress.running == {}
    assert progress.seconds_left(10.0) is None


def test_a_snapshot_stays_as_it_is():
    """Whatever happens afterwards."""
    progress = follow(STARTED, begun(0), ended(1, 3))
    before = progress.snapshot()
    progress(EpochFinished(number=0, epoch=1, accuracy=0.5))
    progress(ended(0, 4))
    progress(ConfirmationStarted(round=1, rounds=1, seed=1, candidates=3, references=1, trainings=4, seconds=80.0))
    assert before.running[0].curve == []
    assert (before.finished, len(before.hypervolumes), before.round.begun) == (3, 1, None)


def test_a_log_read_briefly_tells_the_same_but_for_the_trend():
    """In the search and in a round of confirmation, with trainings that go on and one that was killed."""
    round_ = ConfirmationStarted(time=1200.0, round=1, rounds=1, seed=1, candidates=3, references=1, trainings=4, seconds=80.0)
    failed = TrialFailed(number=1, key="k", seed=0, placements="-", reason="diverged", counts=True, finished=4)
    epoch = EpochFinished(number=3, epoch=1, accuracy=0.5)
    searched = [STARTED, begun(0), begun(1), EpochFinished(number=0, epoch=1, accuracy=0.4), ended(0, 3), failed, begun(2)]
    searched += [replace(STARTED, time=1005.0, finished=4), begun(3), begun(4), epoch, ended(4, 5), begun(5)]
    confirmed = [*searched, ended(3, 6), ended(5, 7), round_, begun(6), ended(6, 7), begun(7), ended(7, 7), begun(8)]
    for events in (searched, confirmed):
        whole = follow(*events)
        brief = brief_progress([json.dumps(event.to_dict()) for event in events])
        assert len(brief.hypervolumes) < len(whole.hypervolumes) or events is searched
        assert replace(brief, hypervolumes=[]) == replace(whole, hypervolumes=[])


def test_events_come_back_from_their_log(tmp_path):
    """Whole lines only, each once; what this version does not know is left out; a log that was begun anew is read anew."""
    path = tmp_path / "events.jsonl"
    log = EventLog(path)
    assert log.new() == []
    lines = [json.dumps(event.to_dict()) for event in (STARTED, ended(0, 3))]
    path.write_text(lines[0] + "\n" + lines[1][:40])
    assert log.new() == [STARTED]
    path.write_text("\n".join([*lines, '{"event": "Unheard"}', "no json", "[1]", '{"event": "EpochFinished"}', ""]))
    assert log.new() == [ended(0, 3)]
    path.write_text(lines[0] + "\n")
    assert log.new() == [STARTED]
    assert event_of({**STARTED.to_dict(), "later": 1}) == STARTED
