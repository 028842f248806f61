"""The verdict is said in the same words wherever a run speaks, and nothing is claimed where it finds nothing."""

import io
import json
import random
import runpy
import sys
from pathlib import Path

import pytest
from rich.console import Console

from attn_nas.engine.search import Search
from attn_nas.errors import SpaceError
from attn_nas.execution.settings import Local
from attn_nas.export.winner import _summary, known
from attn_nas.format import capitalised
from attn_nas.report.document import html_report
from attn_nas.report.markdown import markdown_report
from attn_nas.report.pages.reading import RunReading
from attn_nas.runs.comparison import SideBySide
from attn_nas.terminal.closing import closing_lines
from attn_nas.terminal.comparing import comparison_notes
from attn_nas.terminal.tables import front_table
from attn_nas.testing import TableTrainer

pytestmark = pytest.mark.usefixtures("full_fits")

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


class ChanceTrainer(TableTrainer):
    """Nothing matters: the accuracy is 90 % and half a point of chance; fresh seeds have the opposite luck."""

    def __call__(self, genotype, seed, on_epoch):
        luck = random.Random(genotype.key).gauss(0, 1)
        self.table = {genotype.key: 0.9 + 0.005 * (-luck if seed else luck)}
        return super().__call__(genotype, seed, on_epoch)


class EffectTrainer(TableTrainer):
    """Each attended site helps by five points, and chance by a tenth of a point."""

    def __call__(self, genotype, seed, on_epoch):
        self.table = {
            genotype.key: 0.7 + 0.05 * genotype.num_attended + 0.001 * random.Random(f"{genotype.key} {seed}").gauss(0, 1)
        }
        return super().__call__(genotype, seed, on_epoch)


@pytest.fixture(scope="module")
def ends():
    """The events with which the searches of this module ended."""
    return []


def _searched(space, folder, trainer, ends):
    return Search(space, run=folder / "run", training=trainer).optimize(
        n_trials=8, callbacks=[ends.append], execution=Local(workers=1)
    )


@pytest.fixture(scope="module")
def null(tiny_space, tiny_task, tmp_path_factory, ends):
    """A search where nothing matters, confirmed as by default."""
    return _searched(tiny_space, tmp_path_factory.mktemp("null"), ChanceTrainer(tiny_task), ends), ends[-1]


@pytest.fixture(scope="module")
def effect(tiny_space, tiny_task, tmp_path_factory, ends):
    """A search where attention matters, confirmed as by default."""
    return _searched(tiny_space, tmp_path_factory.mktemp("effect"), EffectTrainer(tiny_task), ends), ends[-1]


def _table(run):
    out = Console(width=200, file=io.StringIO(), record=True)
    out.print(front_table(run.front, "front"))
    return out.export_text()


def test_where_nothing_matters_no_winner_is_announced_anywhere(null, command):
    """The words of the verdict are in the terminal, the reports and the document; no claim is in any of them."""
    run, ended = null
    assert run.verdict.kind == "nothing found"
    words = run.verdict.text
    reading = RunReading.of(run.folder.path)
    keys = [candidate.record.key for candidate in run.candidates[:2]]
    said = {
        "closing lines": "\n".join(closing_lines(run, ended)),
        "show": command("show", run.folder.path)[1],
        "comparison": "\n".join(comparison_notes(SideBySide.of(run, keys))),
        "page": html_report(reading),
        "markdown": markdown_report(reading),
        "card": "\n".join(_summary(run, run.front[0], run.front[0].results[0])),
        "json": command("show", run.folder.path, "--json")[1],
    }
    for where, text in said.items():
        assert words in text, where
        assert "sure to be" not in text, where
    document = json.loads(said["json"])["verdict"]
    assert (document["kind"], document["pick"], document["claims"]) == ("nothing found", run.verdict.bare, [])
    assert run.pick.name == "no attention"
    assert run.best_within("+100%") is run.pick
    assert all(candidate.is_tied for candidate in run.front[1:])
    assert _table(run).count(" ~") == len(run.front) - 1
    assert all(lead["probability"] is None for lead in SideBySide.of(run, keys).to_dict()["leads"])
    assert all(run.leads(candidate) == [] for candidate in run.candidates)


def test_where_something_matters_the_pick_is_compared_with_every_reference(effect, command):
    """No probability is printed as certain."""
    run, ended = effect
    assert run.verdict.kind in ("winner", "tie")
    pick = run.pick
    lines = closing_lines(run, ended)
    assert run.verdict.text in lines
    assert any(line.startswith(f"Pick: {capitalised(pick.name)}  {pick.glyph}  {pick.record.key}") for line in lines)
    others = [reference for reference in run.references if reference is not pick]
    front = command("show", run.folder.path)[1]
    claims = front[front.index("Difference of the pick to the references") :].splitlines()[1 : 1 + len(others)]
    assert all(f": {run.names[claim.over]} (" in line for claim, line in zip(run.verdict.claims, claims, strict=True))
    shown = "\n".join([*lines, _table(run), front, markdown_report(RunReading.of(run.folder.path))])
    assert "100 %" not in shown
    assert "> 99 %" in shown
    assert known(run, run.front[0])["verdict"] == run.verdict.to_dict()


def test_the_pick_and_the_picks_within_limits_are_in_the_document(effect):
    """A limit below the pick gives a cheaper network, one above it the same."""
    run, _ = effect
    document = run.to_dict()
    assert (document["pick"], document["best"]) == (run.pick.record.key, run.verdict.best)
    assert document["picked"] == run.pick.to_dict()
    assert run.pick.record.genotype.num_attended
    assert run.best_within(run.pick.record.cost.flops) is run.pick
    bare = run.manifest.bare_cost.flops
    assert run.best_within(bare).record.cost.flops <= bare
    assert run.best_within("1k") is None
    assert document["best_within"] == {limit: run.best_within(limit).record.key for limit in ("+1%", "+5%")}
    with pytest.raises(SpaceError, match="is not a limit"):
        run.best_within("cheap")


def test_candidates_have_names_and_glyphs(effect):
    """Those of all trials differ, and stand in the document."""
    run, _ = effect
    assert len({*run.names.values()}) == len(run.names) == len({record.key for record in run.records})
    assert (run.references[0].name, run.references[0].glyph) == ("no attention", "□│□│□")
    assert [each["name"] for each in run.to_dict()["references"]] == [each.name for each in run.references]


def test_verdicts_of_many_searches_are_counted(tmp_path, monkeypatch, capsys):
    """What is kept is not played again, not even after a line that was cut off; shares have intervals."""
    with monkeypatch.context() as patched:
        patched.syspath_prepend(str(BENCHMARKS))
        script = runpy.run_path(str(BENCHMARKS / "null_searches.py"))
    kept = tmp_path / "kept.jsonl"
    done = [
        {
            "landscape": name,
            "instance": number,
            "budget": 50,
            "verdicts": {str(each): {"announced": name == "table" or number == 0, "trainings": 60} for each in (1, 2)},
        }
        for name in ("null", "table")
        for number in range(2)
    ]
    kept.write_text("\n".join(map(json.dumps, done)) + '\n{"landscape": "nu')
    monkeypatch.setitem(script["main"].__globals__, "play", lambda *_: pytest.fail("it was played again"))
    options = ["--seeds", "2", "--others", "2", "--landscapes", "null", "table", "--kept", str(kept), "--json"]
    monkeypatch.setattr(sys, "argv", ["null_searches.py", *options])
    script["main"]()
    found = json.loads(capsys.readouterr().out)
    assert found["headline"] == found["nothing_matters"]["rounds 1"]["share"] == 0.5
    assert found["something_matters"]["rounds 2"]["number"] == 2
    assert found["rows"][0]["rounds 1"]["high"] == pytest.approx(0.9874, abs=1e-4)
    script["keep"](kept, done[0])
    assert script["kept"](kept) == [*done, done[0]]
