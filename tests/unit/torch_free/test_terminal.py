"""What a person sees of a search while it runs: lines and the live picture."""

import io
import json
import re
import time
from dataclasses import replace

import pytest
from rich.console import Console
from rich.live import Live

from attn_nas.drawing.colours import FAMILY_COLOURS
from attn_nas.events.loading import report_decoded
from attn_nas.events.progress import SearchProgress
from attn_nas.events.types import (
    ConfirmationStarted,
    EpochFinished,
    ExportAdvanced,
    FrontPoint,
    JsonLines,
    SearchFinished,
    SearchStarted,
    StopRequested,
    TrialFailed,
    TrialFinished,
    TrialStarted,
)
from attn_nas.format import after_epochs, capitalised, count, duration, signed_percent, spoken_duration
from attn_nas.terminal.console import console
from attn_nas.terminal.decoding_bar import decoding_shown
from attn_nas.terminal.lines import Lines
from attn_nas.terminal.live.picture import Preparing, picture
from attn_nas.terminal.live.text_sparkline import sparkline
from attn_nas.terminal.live.view import live_view
from attn_nas.terminal.placement_text import coloured_placements, glyph
from attn_nas.terminal.waiting import waiting

POINT = FrontPoint(
    key="a" * 12, placements="se r4 | - | -", accuracy=0.9, costs=(100.0,), added_flops=12345, name="SE in block 0"
)


STARTED = SearchStarted(
    run="runs/x", space="toy", budget=10, time_budget=None, confirm=0, finished=2, front=(POINT,), seed=0, workers=2,
    threads=1, gpus=0, cores=2, numerics="cpu, fp32", trunk="a trunk", num_sites=3,
)  # fmt: skip


ROUND = ConfirmationStarted(round=1, rounds=2, seed=1, candidates=5, references=2, trainings=7, seconds=9.0)


TRIAL = {"number": 3, "key": "b" * 12, "seed": 0, "placements": "eca k3 | - | -", "name": "[red]ECA[/red] in block 0"}


def _finished(front):
    return TrialFinished(
        **TRIAL, reference="eca first", accuracy=0.95, flops=99, added_flops=-1, params=9, seconds=1.5, front=front,
        hypervolume=1.0, finished=3,
    )  # fmt: skip


def _render(progress, width=80, height=24, now=None):
    console = Console(width=width, height=height, file=io.StringIO(), force_terminal=False, _environ={})
    console.print(picture(progress, now=now))
    return console.file.getvalue()


def test_the_picture_follows_the_search():
    """Earlier results at once, then what trains with its last accuracy, the new front, failures and the stop."""
    progress = SearchProgress()
    assert "preparing" in _render(progress)
    progress(STARTED)
    assert "✓ prepare   ▸ search 2/10   · export\n" in _render(progress)
    assert re.search(r"\n +90\.00 +\+12,345  ■│□│□  SE in block 0  aaaaaaaaaaaa\n", _render(progress))
    assert "choosing the next network ..." in _render(progress)
    progress(TrialStarted(**TRIAL, reference=None, flops=1, params=1))
    for epoch, accuracy in ((1, 0.5), (2, 0.6), (1, 0.7)):
        progress(EpochFinished(number=3, epoch=epoch, accuracy=accuracy))
    assert re.search(r" 0 +#3  ■│□│□  \[red\]ECA\[/red\] in block 0 +1 +70\.00  ▁\n", _render(progress))
    newer = FrontPoint(key=TRIAL["key"], placements="eca k3 | - | -", accuracy=0.95, costs=(99.0,), added_flops=-1)
    progress(_finished((newer,)))
    assert re.search(r"\n +95\.00 +-1  ■│□│□  eca k3 \| - \| -  bbbbbbbbbbbb\n", _render(progress))
    assert "hypervolume" not in _render(progress)
    assert "#3" not in _render(progress)
    progress(TrialFailed(**TRIAL, reason="lost", counts=False, finished=3))
    assert "failed" not in _render(progress)
    progress(TrialFailed(**TRIAL, reason="diverged", counts=True, finished=4))
    assert "Ctrl-C again stops now" not in _render(progress)
    progress(StopRequested(running=1))
    assert "failed 1" in _render(progress)
    assert "failed: [red]ECA[/red] in block 0: diverged" in _render(progress)
    assert "Ctrl-C again stops now" in _render(progress)
    assert all(len(line) <= 80 for line in _render(progress).splitlines())


def _busy(workers, members, failures):
    """A search with much to show."""
    progress = SearchProgress()
    front = tuple(
        FrontPoint(key=f"{index:012}", placements="se r4 x9 | - x9", accuracy=index / 100, costs=(index,), added_flops=index)
        for index in range(members)
    )
    progress(replace(STARTED, workers=workers, front=front, epochs=4))
    for index in range(failures):
        progress(TrialFailed(**TRIAL, reason=f"reason {index}", counts=True, finished=index))
    for index in range(workers - 1):
        progress(TrialStarted(**{**TRIAL, "number": 100 + index}, reference=None, flops=1, params=1))
    return progress


@pytest.mark.parametrize("width", [40, 80, 200])
@pytest.mark.parametrize("height", [6, 12, 24, 60])
@pytest.mark.parametrize("many", [1, 3, 40])
def test_the_picture_fits_its_window(width, height, many):
    """However much there is to show: a taller one would scroll, a wider one would break."""
    rows = _render(_busy(many, many, many), width, height).splitlines()
    assert len(rows) < height
    assert max(map(len, rows)) <= width


@pytest.mark.parametrize("width", [50, 80, 200])
def test_the_run_is_named_however_narrow_the_window(width):
    """What does not fit into the first row goes on in the next."""
    progress = SearchProgress()
    progress(replace(STARTED, space="a_space_with_a_long_name", run="runs/a-folder-with-a-long-name"))
    assert "runs/a-folder-with-a-long-name\n" in _render(progress, width)


def test_the_front_is_cut_before_the_workers():
    """What is left out is counted, and the most accurate remain; a worker without a training waits for one."""
    text = _render(_busy(6, 20, 0), height=24)
    assert all(f"#{number}" in text for number in range(100, 105))
    assert re.search(r"\n +5 +waits for its next network", text)
    assert re.search(r"\.\.\. and \d+ more that cost less\n", text)
    assert " 19.00 " in text
    assert " 0.00 " not in text
    text = _render(_busy(30, 20, 0), height=24)
    assert re.search(r"\.\.\. and \d+ more workers\n", text)
    assert "front of 20, as measured after 4 epochs: up to 19.00 %" in text


def test_a_terminal_without_unicode_gets_ascii():
    """No bars, cells or ellipses that it cannot write."""
    progress = _busy(2, 3, 1)
    progress(EpochFinished(number=100, epoch=1, accuracy=0.5))
    progress(_finished((POINT,)))
    file = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    Console(width=60, height=24, file=file, _environ={}).print(picture(progress))
    file.flush()
    assert b"#|.|.  SE in block 0" in file.buffer.getvalue()
    assert b"x prepare   > search 3/10   - export" in file.buffer.getvalue()


def _exported(done, models, time=1200.0):
    return ExportAdvanced(time=time, done=done, models=models)


ENDED = SearchFinished(
    run="runs/x", why="budget", finished=10, confirmed=3, budget=10, seconds=61.0, training_seconds=9.0, time=1200.0
)


def test_the_steps_say_what_goes_on_and_how_far_it_is():
    """Between trainings too, and after the last; the time that is left is that of the step."""
    progress = SearchProgress()
    progress(replace(STARTED, confirm=2))
    assert "✓ prepare   ▸ search 2/10   · confirm, 2 rounds   · export\n" in _render(progress)
    assert "step 2 of 4: search 2/10\n" in _render(progress, width=40)
    progress(replace(_finished((POINT,)), finished=10))
    assert "✓ search   ▸ confirm   · export\nelapsed" in _render(progress)
    assert "choosing the networks to train again ..." in _render(progress)
    assert "left in this step" not in _render(progress)
    progress(ROUND)
    assert "▸ confirm 0/7 (round 1 of 2)   · export\n" in _render(progress)
    assert re.search(r"elapsed \d\d:\d\d, about 00:09 left in this step\n", _render(progress))
    for _ in range(7):
        progress(_finished((POINT,)))
    assert "keeping the weights of the likely front ..." in _render(progress)
    progress(ENDED)
    assert "took 01:01, the budget is used up" in _render(progress)
    progress(_exported(0, None))
    assert "✓ confirm, 2 rounds   ▸ export\n" in _render(progress)
    assert "estimating from all trainings ..." in _render(progress)
    progress(_exported(0, 4))
    progress(_exported(1, 4, time=1210.0))
    assert "▸ export 1/4\n" in _render(progress, now=1210.0)
    assert "writing and verifying 4 models ..." in _render(progress, now=1210.0)
    assert ", about 00:30 left in this step" in _render(progress, now=1210.0)
    assert "█" * 20 + "░" * 60 in _render(progress, now=1210.0)
    progress(_exported(4, 4))
    assert "✓ confirm, 2 rounds   ✓ export\ntook 01:01" in _render(progress)


def test_a_waiting_picture_knows_how_a_search_has_ended():
    """Why, and after how long, in place of the time that is left."""
    progress = _busy(2, 3, 0)
    progress(SearchFinished(run="runs/x", why="time", finished=9, confirmed=0, budget=10, seconds=61.0, training_seconds=9.0))
    text = _render(progress)
    assert "took 01:01, the time is up" in text
    assert "Ctrl-C" not in text
    assert "waits" not in text


def test_the_live_picture_is_drawn_and_taken_away():
    """It stays no longer than the search, and leaves the cursor as it was."""
    file = io.StringIO()
    console = Console(width=80, height=24, file=file, force_terminal=True, color_system=None, _environ={})
    with live_view(console) as listener:
        listener(STARTED)
        deadline = time.monotonic() + 30
        while "search 2/10" not in file.getvalue():
            assert time.monotonic() < deadline
            time.sleep(0.01)
    shown, cursor = file.getvalue().rsplit("\x1b[?25h", 1)
    assert "\x1b[?25l" in shown
    assert "search" not in cursor
    assert cursor.count("\x1b[2K") == shown.rsplit("\x1b[2K", 1)[1].count("\n")


def test_the_live_picture_shows_how_far_the_decoding_of_images_is():
    """Before the search starts; another bar on the same terminal would be drawn over it."""
    file = io.StringIO()
    console = Console(width=80, height=24, file=file, force_terminal=True, color_system=None, _environ={})
    with live_view(console):
        report_decoded(1234, 5000)
        deadline = time.monotonic() + 30
        while "1,234 of 5,000 images decoded" not in file.getvalue():
            assert time.monotonic() < deadline
            time.sleep(0.01)


def test_the_time_that_decoding_still_takes_is_told():
    """From the first report on; a data set that is decoded says nothing of it."""
    preparing = Preparing(begun=1000.0)
    assert preparing.text(1003.0) == " 00:03"
    preparing.note(0, 500, 1003.0)
    preparing.note(100, 500, 1013.0)
    assert preparing.text(1013.0) == " 00:13, 100 of 500 images decoded, about 00:40 left"
    preparing.note(500, 500, 1053.0)
    assert preparing.text(1054.0) == " 00:54"


def test_bars_lie_between_the_lowest_and_the_highest():
    """Of what is shown, or as told; what does not fit is thinned out, the ends remain."""
    assert sparkline([0, 1, 2, 3, 4, 5, 6, 7], 8) == "▁▂▃▄▅▆▇█"
    assert sparkline([0, 1, 2, 3, 4, 5, 6, 7], 8, ascii_only=True) == " .:-=+*#"
    assert sparkline([0.5, 2.0], 8, 0.0, 1.0) == "▅█"
    assert sparkline([3, 3], 8) == "▁▁"
    assert sparkline([*range(100)], 3) == "▁▅█"
    assert sparkline([1, 2], 1) == "▁"
    assert sparkline([], 5) == sparkline([1], 0) == ""


@pytest.mark.parametrize(
    ("placements", "drawn"),
    [
        ("se r4 | - | gsop r2@pre", "■│□│■"),
        ("se r4 x3 | -, eca k3, - | -", "■■■│□■□│□"),
        ("- x2 |bam r16| unheard of@inner", "□□◆■"),
        ("se r4 x18 | - x17, se r4 | - x18", "■│◧│□"),
    ],
)
def test_a_network_is_a_cell_for_each_block(placements, drawn):
    """In the colour of what is there; the words in colour are the same words."""
    assert glyph(placements).plain == drawn
    assert coloured_placements(placements).plain == placements
    assert any(span.style == FAMILY_COLOURS["second order"] for span in glyph("gsop r2@pre").spans)


def test_who_comes_late_reads_the_opening_alone():
    """Of what has happened before; then lines count on from there."""
    console = Console(width=200, file=io.StringIO())
    lines = Lines(console)
    lines.catch_up([STARTED, _finished((POINT,)), ROUND, _finished((POINT,))])
    lines(_finished((POINT,)))
    opening, line = console.file.getvalue().splitlines()
    assert opening.startswith("toy on a trunk: 2 workers")
    assert line.startswith("[seed 0: 2/7] 95.00 %")


def test_lines_are_one_per_outcome_and_print_text_as_it_is():
    """Markup in a name is not interpreted, long lines are not broken, progress says nothing."""
    console = Console(width=40, file=io.StringIO())
    lines = Lines(console)
    lines.prepare()
    for event in (STARTED, EpochFinished(number=3, epoch=1, accuracy=0.5), _finished((POINT,))):
        lines(event)
    lines(TrialFailed(**TRIAL, reason="diverged", counts=True, finished=4))
    lines(TrialFailed(**TRIAL, reason="its worker died", counts=False, finished=4))
    lines(replace(ENDED, finished=4))
    for event in (_exported(0, None), _exported(0, 2), _exported(1, 2), _exported(2, 2)):
        lines(event)
    network = "■│□│□  [red]ECA[/red] in block 0  bbbbbbbbbbbb"
    assert console.file.getvalue().splitlines() == [
        "preparing the data and the cost table ...",
        "toy on a trunk: 2 workers of 1 thread, cpu, fp32, seed 0, 2 done before -> runs/x",
        f"[3/10] 95.00 %  -1 FLOPs  1.5 s  {network} [eca first]",
        f"[4/10] failed: diverged  {network}",
        f"put back: its worker died  {network}",
        "estimating from all trainings ...",
        "writing and verifying 2 models ...",
    ]


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


@pytest.mark.parametrize(
    ("share", "text"),
    [(0.0026, "+0.26 %"), (-0.4209, "-42.09 %"), (0.0, "+0.00 %"), (0.000034, "+0.003 %"), (0.0001, "+0.01 %")],
)
def test_small_changes_keep_a_digit(share, text):
    """So that none looks like nothing."""
    assert signed_percent(share) == text


def test_a_score_says_after_which_training():
    assert [after_epochs(number) for number in (1, 3)] == ["after 1 epoch", "after 3 epochs"]
    names = ["no attention", "scSE in block 0", "non-local in block 1", ""]
    assert [*map(capitalised, names)] == ["No attention", "scSE in block 0", "Non-local in block 1", ""]


def test_a_pipe_is_wide_enough_for_tables_unless_told(monkeypatch):
    """80 columns would break the rows of a front in a log file."""
    for name in ("FORCE_COLOR", "TTY_COMPATIBLE", "COLUMNS"):
        monkeypatch.delenv(name, raising=False)
    assert console().width == 200
    monkeypatch.setenv("COLUMNS", "70")
    assert console().width == 70


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        (0.2, "1 s"),
        (40, "40 s"),
        (89, "89 s"),
        (725, "12 min"),
        (5400, "1.5 h"),
        (17363, "4.8 h"),
        (90_000, "25 h"),
        (260_000, "3 days"),
    ],
)
def test_durations_are_said_with_two_figures(seconds, expected):
    """As a person says them."""
    assert spoken_duration(seconds) == expected


def test_durations_have_hours_when_they_need_them():
    """Minutes and seconds, hours in front."""
    assert (duration(61), duration(3661)) == ("01:01", "1:01:01")


@pytest.mark.parametrize(("is_terminal", "seconds"), [(True, 3), (True, 0.01), (False, 3)])
def test_a_long_decoding_shows_how_far_it_is(monkeypatch, is_terminal, seconds):
    """On a terminal a bar appears after a second; it is gone after the last image. A short decoding and a file show nothing."""
    now = iter(range(100))
    monkeypatch.setattr("attn_nas.terminal.decoding_bar.time.monotonic", lambda: seconds * next(now))
    written = io.StringIO()
    screen = Console(file=written, force_terminal=is_terminal, width=80, _environ={"TERM": "xterm"})
    with decoding_shown(screen):
        for done in range(1, 6):
            report_decoded(done, 5)
    assert ("decoding images" in written.getvalue()) == (is_terminal and seconds > 1)
    report_decoded(1, 5)


@pytest.mark.parametrize("is_terminal", [True, False])
def test_people_who_wait_are_told_so(is_terminal):
    """On a terminal, until the work is done; files and pipes get nothing."""
    written = io.StringIO()
    screen = Console(file=written, force_terminal=is_terminal, width=80, _environ={"TERM": "xterm"})
    with waiting("reading ...", screen):
        assert ("reading ..." in written.getvalue()) == is_terminal
    assert written.getvalue().endswith("\x1b[2K") == is_terminal


def test_a_decoding_within_a_live_view_is_no_error(monkeypatch):
    """Versions of rich that allow a single live view show no bar."""
    now = iter(range(0, 300, 3))
    screen = Console(file=io.StringIO(), force_terminal=True, width=80, _environ={"TERM": "xterm"})
    with Live("the search", console=screen), decoding_shown(screen):
        monkeypatch.setattr("attn_nas.terminal.decoding_bar.time.monotonic", lambda: next(now))
        for done in range(1, 6):
            report_decoded(done, 5)
