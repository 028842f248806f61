"""What a person sees of a search: lines, the live picture, the closing words."""

import io
import json

import pytest
from rich.console import Console

from attn_nas.space.encoding import Encoding
from attn_nas.space.references import reference_genotypes
from attn_nas.space.task import Task
from attn_nas.study.events import (
    EpochFinished,
    FrontPoint,
    JsonLines,
    SearchStarted,
    StopRequested,
    TrialFailed,
    TrialFinished,
    TrialStarted,
)
from attn_nas.study.search import search
from attn_nas.terminal.console import console
from attn_nas.terminal.numbers import count, duration
from attn_nas.terminal.search import Lines, View, closing_words, picture
from attn_nas.testing import TableTrainer

POINT = FrontPoint(key="a" * 12, placements="se r4 | - | -", accuracy=0.9, costs=(100.0,), added_flops=12345)
STARTED = SearchStarted(
    run="runs/x", space="toy", budget=10, time_budget=None, confirm=0, finished=2, front=(POINT,), seed=0, workers=2,
    threads=1, gpus=0, cores=2, numerics="cpu, fp32", trunk="a trunk", num_sites=3,
)  # fmt: skip
TRIAL = {"number": 3, "key": "b" * 12, "seed": 0, "placements": "[red]eca k3[/red] | - | -"}


def _finished(front):
    return TrialFinished(
        **TRIAL, reference="eca first", accuracy=0.95, flops=99, added_flops=-1, params=9, seconds=1.5, front=front,
        hypervolume=1.0, finished=3,
    )  # fmt: skip


def _render(view, width=80):
    console = Console(width=width, file=io.StringIO(), force_terminal=False)
    console.print(picture(view))
    return console.file.getvalue()


def test_the_picture_follows_the_search():
    """Earlier results at once, then what trains with its last accuracy, the new front, failures and the stop."""
    view = View()
    assert "preparing" in _render(view)
    view(STARTED)
    assert "trial 2/10" in _render(view)
    assert "+12,345" in _render(view)
    view(TrialStarted(**TRIAL, reference=None, flops=1, params=1))
    for epoch, accuracy in ((1, 0.5), (2, 0.6), (1, 0.7)):
        view(EpochFinished(number=3, epoch=epoch, accuracy=accuracy))
    assert "epoch 1  70.00 %" in _render(view)
    newer = FrontPoint(key=TRIAL["key"], placements="eca k3 | - | -", accuracy=0.95, costs=(99.0,), added_flops=-1)
    view(_finished((newer,)))
    assert "95.00 %" in _render(view)
    assert "#3" not in _render(view)
    view(TrialFailed(**TRIAL, reason="lost", counts=False, finished=3))
    assert "failed" not in _render(view)
    view(TrialFailed(**TRIAL, reason="diverged", counts=True, finished=4))
    view(StopRequested(running=1))
    assert "failed 1" in _render(view)
    assert "Ctrl-C again stops now" in _render(view)
    assert all(len(line) <= 80 for line in _render(view).splitlines())


def test_lines_are_one_per_outcome_and_print_text_as_it_is():
    """Markup in a name is not interpreted, long lines are not broken, progress says nothing."""
    console = Console(width=40, file=io.StringIO())
    lines = Lines(console)
    for event in (STARTED, EpochFinished(number=3, epoch=1, accuracy=0.5), _finished((POINT,))):
        lines(event)
    lines(TrialFailed(**TRIAL, reason="diverged", counts=True, finished=4))
    lines(TrialFailed(**TRIAL, reason="its worker died", counts=False, finished=4))
    printed = console.file.getvalue().splitlines()
    assert len(printed) == 4
    assert printed[1].startswith("[3/10] bbbbbbbbbbbb 95.00 % -1 FLOPs 1.5 s  [red]eca k3[/red] | - | - [eca first]")
    assert printed[2].startswith("[4/10] bbbbbbbbbbbb failed: diverged")
    assert printed[3].startswith("bbbbbbbbbbbb put back: its worker died")


def test_events_are_json_lines():
    """One document per event, its name first, the front nested as plain data."""
    stream = io.StringIO()
    JsonLines(stream)(STARTED)
    document = json.loads(stream.getvalue())
    assert document["event"] == "SearchStarted"
    assert document["front"][0]["placements"] == "se r4 | - | -"


@pytest.mark.parametrize(("number", "text"), [(7, "7"), (1234, "1.23 k"), (5_433_984, "5.43 M"), (2.5e9, "2.5 G")])
def test_large_numbers_have_three_digits(number, text):
    """With the unit's letter."""
    assert count(number) == text


def test_a_pipe_is_wide_enough_for_tables_unless_told(monkeypatch):
    """80 columns would break the rows of a front in a log file."""
    for name in ("FORCE_COLOR", "TTY_COMPATIBLE", "COLUMNS"):
        monkeypatch.delenv(name, raising=False)
    assert console().width == 200
    monkeypatch.setenv("COLUMNS", "70")
    assert console().width == 70


def test_durations_have_hours_when_they_need_them():
    """Minutes and seconds, hours in front."""
    assert (duration(61), duration(3661)) == ("01:01", "1:01:01")


def test_the_closing_words_compare_with_every_reference(tiny_space, tmp_path):
    """The best against each reference but itself, the noise, and how to go on after an interruption."""
    references = reference_genotypes(tiny_space, Encoding(tiny_space))
    table = {genotype.key: 0.5 + index / 100 for index, genotype in enumerate(references.values())}
    ended = []
    run = search(
        tiny_space, budget=5, confirm=0, run=tmp_path / "a run", workers=1, trainer=TableTrainer(Task(3, 16, 16, 10), table),
        listeners=[ended.append],
    )  # fmt: skip
    words = "\n".join(closing_words(run, ended[-1]))
    assert "5 of 5 candidates trained" in words
    assert sum("points against" in line and "sure to be better" in line for line in words.splitlines()) == len(references) - 1
    assert "flattered by chance" in words
    interrupted = type(ended[-1])(**{**vars(ended[-1]), "why": "interrupted"})
    assert f"--resume --run '{tmp_path}/a run'" in "\n".join(closing_words(run, interrupted))
