"""Runs at a glance, and candidates side by side: for people and for programs."""

import dataclasses
import json
import os
import shutil
import subprocess
import sys

import pytest

from attn_nas import cli
from attn_nas.engine.search import Search
from attn_nas.errors import RunError, UsageError
from attn_nas.events.log import EventLog
from attn_nas.events.progress import SearchProgress
from attn_nas.execution.settings import Local
from attn_nas.monitor.summary import RunSummary, brief_progress, runs_in
from attn_nas.report import write_front
from attn_nas.report.pages.runs_page import grouped
from attn_nas.runs.comparison import SideBySide
from attn_nas.runs.folder import RunFolder
from attn_nas.runs.run import Run
from attn_nas.space.encoding import Encoding
from attn_nas.space.references import reference_genotypes
from attn_nas.space.task import Task
from attn_nas.terminal.comparing import comparison_notes
from attn_nas.testing import TableTrainer


class SteadyTrainer(TableTrainer):
    """The accuracy of a candidate is the same with every seed."""

    def __call__(self, genotype, seed, on_epoch):
        trained = super().__call__(genotype, 0, on_epoch)
        return dataclasses.replace(trained, result=dataclasses.replace(trained.result, seed=seed))


@pytest.fixture(scope="module")
def searched(tiny_space, tmp_path_factory):
    """A run with a failure and a round of confirmation."""
    folder = tmp_path_factory.mktemp("overview") / "searched"
    failed = [genotype.key for genotype in reference_genotypes(tiny_space, Encoding(tiny_space)).values()][-1]
    trainer = SteadyTrainer(Task(3, 16, 16, 10), failures={failed: "it diverged"})
    return Search(tiny_space, run=folder, training=trainer).optimize(n_trials=8, confirm=1, execution=Local(workers=1))


@pytest.fixture
def copied(searched, tmp_path):
    """A copy of it, alone in a folder."""
    return shutil.copytree(searched.folder.path, tmp_path / "runs" / "copied")


@pytest.fixture
def command(monkeypatch, capsys):
    """Runs the command line in this process: exit code, stdout, stderr."""

    def run(*arguments, width=120):
        monkeypatch.setenv("COLUMNS", str(width))
        monkeypatch.setattr(sys, "argv", ["attn-nas", *map(str, arguments)])
        with pytest.raises(SystemExit) as end:
            cli.main()
        return (end.value.code, *capsys.readouterr())

    return run


def _without_end(path):
    log = path / "events.jsonl"
    log.write_text("".join(log.read_text().splitlines(keepends=True)[:-1]))


def test_a_summary_says_how_far_a_run_is(searched):
    """Like the run itself and all its events, of which few are read."""
    whole = SearchProgress()
    for event in EventLog(searched.folder.events).new():
        whole(event)
    summary = RunSummary.of(searched.folder.path)
    assert summary == RunSummary(
        name="searched", path=str(searched.folder.path), state="finished", space="search",
        trunk="cifar_resnet depth 8 width 8", finished=8, budget=8, round=1, rounds=1,
        best=max(point.accuracy for point in whole.front), believed=False, front=len(whole.front),
        hypervolume=whole.hypervolumes[-1], failed=whole.failed, ended="budget", begun=whole.started.time,
        last_active=whole.last,
    )  # fmt: skip
    assert summary.failed == 1
    brief = brief_progress(EventLog(searched.folder.events).new_lines())
    assert (brief.finished, brief.front, brief.ended, brief.last) == (whole.finished, whole.front, whole.ended, whole.last)
    assert json.loads(json.dumps(summary.to_dict())) == dataclasses.asdict(summary)


def test_what_is_believed_is_read_once_it_is_written(copied):
    """And no longer when the search has gone on since."""
    write_front(Run(copied), copied)
    run, summary = Run(copied), RunSummary.of(copied)
    assert (summary.believed, summary.best) == (True, max(each.accuracy for each in run.front))
    assert (summary.front, summary.hypervolume, summary.pick) == (len(run.front), run.hypervolume, run.pick.name)
    assert _listed(copied).result.pick.name == run.pick.name
    os.utime(copied / "front.json", (0, 0))
    assert not RunSummary.of(copied).believed
    assert _listed(copied).result is None


def _listed(folder):
    """The only run of the list of runs."""
    ((group,), _) = grouped([RunSummary.of(folder)])
    return group.runs[0]


def test_a_pick_off_the_front_is_listed(copied):
    """From its own row; results of older versions have it only in the front or among the references."""
    run = Run(copied)
    document = run.to_dict()
    off = next(each for each in run.candidates if each not in run.front and each not in run.references)
    rest = {**document, "pick": off.record.key, "pick_name": off.name}
    (copied / "front.json").write_text(json.dumps({**rest, "picked": off.to_dict()}))
    assert _listed(copied).result.pick.name == off.name
    assert _listed(copied).shown_pick == run.metric.text(off.accuracy)
    for older in ({}, {"picked": None}, {"picked": {"key": off.record.key}}):
        (copied / "front.json").write_text(json.dumps({**document, **older}))
        assert _listed(copied).result.pick.name == run.pick.name


def test_the_state_follows_the_lock_and_the_last_event(copied):
    """Who holds the run works on it; without an end and a worker it was stopped."""
    _without_end(copied)
    assert RunSummary.of(copied).state == "stopped"
    with RunFolder(copied).locked():
        assert RunSummary.of(copied).state == "running"


def test_a_broken_run_is_listed_with_its_reason(copied):
    """Beside the others, which are sorted by when they were worked in; what is no run is left out."""
    runs = copied.parent
    older = shutil.copytree(copied, runs / "older")
    log = (older / "events.jsonl").read_text().splitlines(keepends=True)
    (older / "events.jsonl").write_text("".join(log[: len(log) // 2]))
    for name, study in (("damaged", b"no study"), ("empty", b"")):
        (runs / name).mkdir()
        (runs / name / "study.db").write_bytes(study)
        os.utime(runs / name, (1, 1))
    (runs / "begun").mkdir()
    (runs / "begun" / "space.yaml").touch()
    (runs / "something else").mkdir()
    found = runs_in(runs)
    assert [summary.name for summary in found][:3] == ["begun", "copied", "older"]
    broken = {summary.name: summary.reason for summary in found if summary.state == "broken"}
    assert broken.keys() == {"damaged", "empty", "begun"}
    assert "file is not a database" in broken["damaged"]
    assert "cannot be opened as a study" in broken["empty"]
    assert broken["begun"].endswith("is not a run: it has no study.db")
    assert [summary.name for summary in runs_in(copied)] == ["copied"]
    with pytest.raises(RunError, match="nowhere cannot be read"):
        runs_in(runs / "nowhere")


def test_runs_are_listed_for_people_and_programs(copied, command):
    """All columns where there is room; name and best remain to the last."""
    summary = RunSummary.of(copied)
    (copied.parent / "broken").mkdir()
    (copied.parent / "broken" / "study.db").touch()
    code, out, _ = command("runs", copied.parent, width=400)
    head, *rows = out.splitlines()
    assert code == 0
    assert head.split()[:4] == ["run", "state", "candidates", "best"]
    row = next(line for line in rows if line.startswith("copied"))
    assert row.split()[:6] == ["copied", "finished", "8", "of", "8", f"{100 * summary.best:.2f}"]
    assert row.split("  ")[-1].strip() == "-"
    assert "cifar_resnet depth 8 width 8" in row
    assert "    " + RunSummary.of(copied.parent / "broken").reason in rows
    assert rows[-1].startswith("*: as measured")
    narrow = command("runs", copied.parent, width=44)[1].splitlines()
    assert narrow[0].split() == ["run", "state", "best", "accuracy", "%"]
    assert max(map(len, narrow[:-1])) <= 44
    documents = json.loads(command("runs", copied.parent, "--json")[1])
    assert summary.to_dict() in documents
    assert len(documents) == 2


def test_an_empty_folder_says_what_to_do(tmp_path, command):
    """No table without a row; and nothing heavy is loaded to say so."""
    code, out, _ = command("runs", tmp_path)
    assert (code, out) == (0, f"There is no run in {tmp_path}: start one with attn-nas search\n")
    code = "import sys, attn_nas.monitor.summary, attn_nas.terminal.runs; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_candidates_are_compared_site_by_site(searched):
    """What differs, the leads as they are believed, all of it as plain data."""
    first, second, third = searched.candidates[:3]
    compared = SideBySide.of(searched, [each.record.key for each in (first, second, third)])
    assert [row.placements for row in compared.sites] == [
        tuple(each.record.genotype.placements[site] for each in (first, second, third)) for site in range(3)
    ]
    assert [row.differs for row in compared.sites] == [len(set(row.placements)) > 1 for row in compared.sites]
    ahead = searched.beliefs.difference(first.record.key, third.record.key)
    lead = compared.leads[1]
    assert (lead.over, lead.mean, lead.probability) == (third.record.key, ahead.mean.value, ahead.probability)
    document = json.loads(json.dumps(compared.to_dict(), allow_nan=False))
    assert document["candidates"][2] == json.loads(json.dumps(third.to_dict()))
    assert document["sites"][0]["placements"][0] is None


@pytest.mark.parametrize("number", [0, 1, 5])
def test_two_to_four_candidates_are_compared(searched, number):
    """Not fewer, not more, and each once."""
    keys = [candidate.record.key for candidate in searched.candidates]
    with pytest.raises(UsageError, match=f"keys given: {number}"):
        SideBySide.of(searched, keys[:number])
    with pytest.raises(UsageError, match="more than once"):
        SideBySide.of(searched, [keys[0], keys[1], keys[0][:10]])


def test_a_comparison_reads_without_colour(searched, command):
    """Rows that differ have a mark; the leads are sentences, from the side of who is ahead or behind."""
    ranked = sorted(searched.candidates, key=lambda candidate: candidate.accuracy)
    keys = [ranked[-1].record.key, ranked[0].record.key]
    code, out, _ = command("compare", searched.folder.path, *keys, width=80)
    compared = SideBySide.of(searched, keys)
    assert code == 0
    for row in compared.sites:
        one, other = ("-" if placement is None else str(placement) for placement in row.placements)
        *_, line = (line for line in out.splitlines() if line.lstrip("* ").startswith(f"{row.site} "))
        assert line.split() == [*(["*"] if row.differs else []), *row.site.split(), *one.split(), *other.split()]
    best, worst = (searched.candidate(key).name for key in keys)
    assert f"{best} is {100 * compared.leads[0].mean:.2f} ± " in out
    assert f" points ahead of {worst} after 2 epochs, " in " ".join(out.split())
    turned = comparison_notes(SideBySide.of(searched, keys[::-1]))[1]
    assert f" points behind {best} after 2 epochs, " in turned
    assert turned.endswith("sure to be less accurate.")
    assert json.loads(command("compare", searched.folder.path, *keys, "--json")[1]) == json.loads(
        json.dumps(compared.to_dict())
    )


def test_a_small_run_is_compared_as_measured(tiny_space, tmp_path):
    """Nothing is believed of three candidates: no deviation, no probability."""
    run = Search(tiny_space, run=tmp_path, training=TableTrainer(Task(3, 16, 16, 10))).optimize(
        n_trials=2, confirm=0, execution=Local(workers=1)
    )
    one, other = run.candidates
    compared = SideBySide.of(run, [one.record.key, other.record.key])
    assert compared.to_dict()["leads"] == [
        {
            "over": other.record.key,
            "mean": one.measured.value - other.measured.value,
            "standard_deviation": None,
            "probability": None,
        }
    ]
    assert comparison_notes(compared)[1].endswith("as measured.")
