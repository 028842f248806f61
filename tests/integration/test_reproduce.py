"""The tables of the documentation are those that benchmarks/reproduce.py prints from the committed results."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
import reproduce
from figures.core import RESULTS, Figure, Step, Table, cell
from figures.registry import FIGURES

from attn_nas.format import duration

ROOT = Path(__file__).parents[2]
OTHER_PAGES = {
    "docs/how-it-works.md",
    "docs/training.md",
    "docs/trust.md",
    "docs/decisions/optuna-storage.md",
    "attn_nas/benchmark/cued_digits_resnet8.md",
}
"""Pages that also have tables which come from no results file."""
TABLES = [(figure, table) for figure in FIGURES.values() for table in figure.tables]


def tables_of(page: str) -> list[list[str]]:
    """The Markdown tables of a page, as lines."""
    return [found.splitlines() for found in re.findall(r"(?:^\|.*\n)+", f"{(ROOT / page).read_text()}\n", re.MULTILINE)]


@pytest.mark.parametrize(("figure", "table"), TABLES, ids=[f"{figure.name}: {table.title}" for figure, table in TABLES])
def test_documented_tables_are_those_of_the_results(figure, table):
    lines = table.lines(figure.load())
    assert len(lines) > 2
    if table.page:
        assert lines in tables_of(table.page)


def test_every_table_of_the_benchmarks_comes_from_results():
    made = [table.lines(figure.load()) for figure, table in TABLES if table.page == "docs/benchmarks.md"]
    assert sorted(tables_of("docs/benchmarks.md")) == sorted(made)
    assert {table.page for _, table in TABLES} - {None} == {"docs/benchmarks.md", *OTHER_PAGES}


def test_every_results_file_has_a_figure():
    assert {path.name for path in RESULTS.glob("*.json*")} == {figure.results for figure in FIGURES.values()}
    assert {path.name for path in RESULTS.glob("*.svg")} == {name for figure in FIGURES.values() for name in figure.pictures}


def test_every_script_with_results_is_what_its_figure_runs():
    scripts = {
        word for figure in FIGURES.values() for step in figure.steps for word in step.words.split() if word.endswith(".py")
    }
    assert all((ROOT / "benchmarks" / script).exists() for script in scripts)
    others = {"common.py", "kept.py", "playing.py", "reproduce.py", "naive_peer.py", "syne_tune_peers.py"}
    assert {path.name for path in (ROOT / "benchmarks").glob("*.py")} - others == scripts


@pytest.mark.parametrize("name", FIGURES)
def test_a_figure_prints_its_tables_and_draws_its_pictures(name, tmp_path, capsys):
    reproduce.main([name, "--to", str(tmp_path)])
    printed = capsys.readouterr().out
    assert all(f"### {table.title}\n" in printed for table in FIGURES[name].tables)
    assert "Not in these results." not in printed
    for picture in FIGURES[name].pictures:
        assert (tmp_path / picture).read_text() == (RESULTS / picture).read_text()


def test_the_list_names_all_figures_with_files_and_commands(capsys):
    reproduce.main(["--list"])
    printed = capsys.readouterr().out
    for figure in FIGURES.values():
        assert f"\n  results/{figure.results}" in printed
        assert all(step.command(quick=False) in printed for step in figure.steps)
    soak = FIGURES["soak"]
    assert f"results/soak.json; took {duration(soak.load()['seconds'])}" in printed


def refusal(arguments, capsys) -> str:
    """The one line of an error."""
    with pytest.raises(SystemExit) as raised:
        reproduce.main(arguments)
    assert raised.value.code == 2
    return capsys.readouterr().err


def test_an_unknown_figure_is_refused_with_the_choices(capsys):
    message = refusal(["soap"], capsys)
    assert message.startswith("reproduce: no figure 'soap'; choose from main_job, ")
    assert all(name in message for name in FIGURES)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (None, "cannot be read"),
        ("{", "is damaged"),
        ("[]", "a JSON object is expected"),
        ('{"kills": 3}', "lack what it shows"),
    ],
)
def test_missing_and_damaged_results_are_refused(text, reason, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("figures.core.RESULTS", tmp_path)
    if text is not None:
        (tmp_path / "soak.json").write_text(text)
    message = refusal(["soak"], capsys)
    assert reason in message
    assert "soak.json" in message


ECHO = Figure(
    "echo",
    "prints a document",
    "echo.json",
    [
        Step("python -c \"open(r'{to}/first', 'w').write('done')\"", "python -c pass"),
        Step(f"python {Path(__file__).parents[1] / 'data' / 'echo_document.py'}"),
    ],
    [Table("Echo", lambda found: found["rows"], [("word", cell("word"))])],
)


@pytest.fixture
def echo(monkeypatch):
    monkeypatch.setitem(FIGURES, "echo", ECHO)


def test_from_scratch_measures_and_prints_the_same_tables(echo, tmp_path, capsys):
    reproduce.main(["echo", "--from-scratch", "--to", str(tmp_path / "new"), "--", "extra"])
    assert capsys.readouterr().out == "### Echo\n\n| word |\n| --- |\n| extra |\n"
    assert json.loads((tmp_path / "new" / "echo.json").read_text()) == {"rows": [{"word": "extra"}]}
    assert (tmp_path / "new" / "first").read_text() == "done"


def test_quick_is_passed_on(echo, tmp_path, capsys):
    reproduce.main(["echo", "--from-scratch", "--quick", "--to", str(tmp_path)])
    assert "| --quick |" in capsys.readouterr().out
    assert not (tmp_path / "first").exists()


def test_from_scratch_overwrites_nothing(echo, tmp_path, capsys):
    assert "committed results are not overwritten" in refusal(["echo", "--from-scratch", "--to", str(RESULTS)], capsys)
    assert "needs --to FOLDER" in refusal(["echo", "--from-scratch"], capsys)
    (tmp_path / "echo.json").write_text("{}")
    assert "exists already" in refusal(["echo", "--from-scratch", "--to", str(tmp_path)], capsys)
    assert (tmp_path / "echo.json").read_text() == "{}"
    assert "no command" in refusal(["cifar10_resnet8", "--from-scratch", "--to", str(tmp_path)], capsys)


def test_a_failed_measurement_is_an_error(echo, tmp_path, capsys):
    assert "ended with exit code 3" in refusal(["echo", "--from-scratch", "--to", str(tmp_path), "--", "fail"], capsys)
    assert not (tmp_path / "echo.json").exists()


def test_the_command_runs_from_anywhere(tmp_path):
    command = [sys.executable, str(ROOT / "benchmarks" / "reproduce.py"), "soak"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=True)
    assert done.stdout == f"{FIGURES['soak'].markdown(FIGURES['soak'].load())}\n"


def test_the_lock_pins_every_dependency():
    text = (ROOT / "benchmarks" / "requirements.lock").read_text()
    pins = [line for line in text.splitlines() if line and not line.startswith("#")]
    assert all(re.fullmatch(r"[A-Za-z0-9._-]+==[0-9][A-Za-z0-9.]*", pin) for pin in pins)
    pinned = {re.sub(r"[-_.]+", "-", pin.partition("==")[0]).lower() for pin in pins}
    assert {"torch", "torchvision", "optuna", "fvcore", "numpy", "scipy", "pyarrow", "syne-tune"} - pinned <= {"syne-tune"}
    assert "attn-nas" not in pinned
