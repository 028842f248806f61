"""What a person sees of a search: lines, the live picture, the closing words."""

import dataclasses
import io
import json
import re

import pytest
from rich.console import Console

from attn_nas.engine.search import Search
from attn_nas.events.progress import SearchProgress
from attn_nas.events.types import SearchStarted
from attn_nas.execution.settings import Local
from attn_nas.format import capitalised, signed_percent
from attn_nas.report.pages.links import Addresses
from attn_nas.report.pages.next_steps import NextSteps
from attn_nas.report.pages.reading import RunReading
from attn_nas.report.pages.run_page import RunPage
from attn_nas.runs.next_steps import resume_limit
from attn_nas.runs.pick_words import PickWords
from attn_nas.runs.run import Run
from attn_nas.space.encoding import Encoding
from attn_nas.space.references import reference_genotypes
from attn_nas.space.task import Task
from attn_nas.terminal.closing import claim_lines, closing_lines
from attn_nas.terminal.tables import front_table
from attn_nas.testing import TableTrainer
from attn_nas.training import StepProfile


def test_the_closing_words_end_with_the_pick_its_verdict_and_one_command(tiny_space, tmp_path):
    """Without a test they claim nothing; leads over the references stand behind the table of the front."""
    references = reference_genotypes(tiny_space, Encoding(tiny_space))
    table = {genotype.key: 0.5 + index / 100 for index, genotype in enumerate(references.values())}
    ended = []
    run = Search(tiny_space, run=tmp_path / "a run", training=TableTrainer(Task(3, 16, 16, 10), table)).optimize(
        n_trials=5, confirm=0, callbacks=[ended.append], execution=Local(workers=1)
    )
    lines = closing_lines(run, ended[-1])
    assert lines[0].startswith("5 of 5 candidates trained in ")
    assert lines[2] == f"Pick, not tested: {capitalised(run.pick.name)}  {run.pick.glyph}  {run.pick.record.key}"
    assert run.verdict.text in lines
    assert "sure to be" not in " ".join(lines)
    assert claim_lines(run) == []
    assert lines[-1] == (
        f"Next: attn-nas search --resume --run '{tmp_path}/a run' --confirm 1  # trains the likely front and the "
        "references with a new seed, which tests it"
    )
    run = Search.load(tmp_path / "a run", training=TableTrainer(Task(3, 16, 16, 10), table)).optimize(
        confirm=1, callbacks=[ended.append], execution=Local(workers=1)
    )
    lines = closing_lines(run, ended[-1])
    assert run.verdict.allows_claims
    assert f"Pick: {capitalised(run.pick.name)}  {run.pick.glyph}  {run.pick.record.key}" in lines
    assert "after 2 epochs: +" in lines[3]
    assert lines[3].endswith(f"sure to be more accurate. It costs {signed_percent(run.pick.added_share)} FLOPs.")
    heading, *claims = claim_lines(run)
    assert heading == "Difference of the pick to the references after 2 epochs, and how sure it is to be more accurate:"
    assert len(claims) == len(references) - 1
    assert all(re.fullmatch(r"  [+-][0-9.]+ ± [0-9.]+ points, [<>]? ?[0-9]+ %: .+ \([0-9.]+ %\)", line) for line in claims)
    assert lines[-1] == f"Next: attn-nas retrain '{tmp_path}/a run'  # trains the pick in full, beside no attention"
    assert lines[6].startswith("Scores are of a short training (2 epochs, noise between seeds ± ")
    assert lines[6].endswith("): train in full before you rely on them.")
    interrupted = type(ended[-1])(**{**vars(ended[-1]), "why": "interrupted"})
    assert f"--resume --run '{tmp_path}/a run'" in "\n".join(closing_lines(run, interrupted))


@pytest.mark.parametrize(("width", "apart"), [(200, " +"), (80, "\n +"), (50, "\n +")])
def test_a_narrow_table_has_figures_below_the_networks(tiny_space, tmp_path, width, apart):
    """It never breaks a row; name, estimate, extra cost and key stay to the last; the pick is marked."""
    run = Search(tiny_space, run=tmp_path, training=TableTrainer(Task(3, 16, 16, 10))).optimize(
        n_trials=5, confirm=0, callbacks=[], execution=Local(workers=1)
    )
    out = Console(width=width, file=io.StringIO())
    out.print(front_table(run.candidates, "Front", width))
    printed = out.file.getvalue()
    assert max(map(len, printed.splitlines())) <= width
    for candidate in run.candidates:
        name = re.escape(f"{candidate.glyph}  {candidate.name}") + "  pick" * (candidate is run.pick)
        figures = rf"{re.escape(candidate.expected.hundredths())} %[^\n]*{candidate.record.key}"
        assert re.search(rf"\n{name}{apart}{figures}", printed)


def test_the_words_of_the_pick_tell_what_an_audit_has_found(tiny_space, tmp_path):
    """How well the short training ranks; an audit that cannot be read is passed over."""
    run = Search(tiny_space, run=tmp_path, training=TableTrainer(Task(3, 16, 16, 10))).optimize(
        n_trials=2, confirm=0, execution=Local(workers=1)
    )
    rows = [
        {"score": f"accuracy, epoch {epoch}", "spearman": {"value": epoch / 4, "low": -0.2, "high": 0.9}} for epoch in (1, 2)
    ]
    document = {"plan": {"long_epochs": 8}, "lines": rows}
    (tmp_path / "audit.json").write_text(json.dumps(document))
    assert PickWords.of(run).warning.endswith(
        "In the audit of this run their ranking agreed with that after 8 epochs with a rank correlation of 0.50 [-0.20, 0.90]."
    )
    for damaged in ("{", "[]", json.dumps({**document, "lines": rows[:1]}), json.dumps({**document, "plan": None})):
        (tmp_path / "audit.json").write_text(damaged)
        assert "audit" not in PickWords.of(run).warning


@pytest.mark.parametrize(
    ("n_trials", "timeout", "expected"),
    [
        (1, None, "--budget 16  # trains more networks: 4 are needed for a test"),
        (5, None, "--confirm 1  # trains the likely front and the references with a new seed, which tests it"),
        (None, 5400, "--budget 5 --confirm 1  # trains the likely front and the references with a new seed, which tests it"),
    ],
)
def test_one_command_goes_on_and_it_ends(search_in, tiny_task, tmp_path, monkeypatch, n_trials, timeout, expected):
    """The pages begin with the same; a run that only time limits is told where to stop, as long as before."""
    ended = []
    run = search_in(tmp_path, n_trials=n_trials or 5, callbacks=[ended.append])
    if timeout:
        monkeypatch.setattr(run, "manifest", run.manifest.model_copy(update={"budget": None}))
        started = next(each for each in ended if isinstance(each, SearchStarted))
        with run.folder.events.open("a") as log:
            log.write(json.dumps({**started.to_dict(), "time_budget": timeout}) + "\n")
    begin = f"attn-nas search --resume --run {run.folder.path}"
    assert closing_lines(run, ended[-1])[-1] == f"Next: {begin} {expected}"
    steps = NextSteps(run).steps
    assert f"{steps[0].command}  # {steps[0].words[0].lower()}{steps[0].words[1:]}" == f"{begin} {expected}"
    assert n_trials != 1 or not any("audit" in step.command or "--confirm" in step.command for step in steps)
    limit = " --time-budget 1h30m" if timeout else ""
    interrupted = dataclasses.replace(ended[-1], why="interrupted")
    assert closing_lines(run, interrupted)[-1] == f"Next: {begin}{limit}  # goes on where it stopped"
    progress = SearchProgress()
    progress(interrupted)
    stopped = RunReading(run, progress, is_worked_in=False)
    page = RunPage(stopped, Addresses("run", has_runs=False), {})
    assert f"Continue with <code>{begin}{limit}</code>" in page.part("status")
    assert page.next.steps[0].command == f"{begin}{limit}"
    up = dataclasses.replace(ended[-1], why="time")
    assert closing_lines(run, up)[0].endswith(f", then the time was up: --resume{limit} goes on.")
    run.folder.events.unlink()
    assert resume_limit(run) == (" --time-budget 1h" if timeout else "")


@pytest.mark.parametrize(
    ("of_bare", "note"),
    [
        (1.04, None),
        (0.94, "Step times are not shown: the network without attention took 0.94 times its own time"),
        (None, "Step times are not shown: the network without attention was not timed."),
    ],
)
def test_step_times_are_shown_where_no_attention_takes_its_own_time(table_search, of_bare, note):
    """Else other programs kept the machine busy, and a ratio says nothing about its network."""
    run = Run(table_search(n_trials=3, confirm=0).folder.path)
    ratios = {record.key: 1.5 if record.genotype.num_attended else of_bare for record in run.records}
    records = [
        dataclasses.replace(record, profile=ratio and StepProfile(0.1, 0.1, 0.1, 9.0, ratio, 1.0, 1.0, 1.0))
        for record in run.records
        if (ratio := ratios[record.key]) or not record.genotype.num_attended
    ]
    contents = dataclasses.replace(run._contents, records=records)
    timed = Run(contents)
    shown = {candidate.ratios.get("step_time") for candidate in timed.candidates}
    assert shown == ({1.04, 1.5} if note is None else {None})
    assert (timed.note_of_times or "").startswith(note or "")
    assert (timed.note_of_times is None) == (note is None)
