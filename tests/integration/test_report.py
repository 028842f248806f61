"""The report of a run: one HTML file, Markdown, a table, TensorBoard's scalars; and how runs are read for them."""

import csv
import io
import json
import re
from base64 import b64encode
from dataclasses import replace
from hashlib import sha256
from html import unescape
from html.parser import HTMLParser

import pytest
from optuna.trial import TrialState
from typer.testing import CliRunner

from attn_nas.cli import app
from attn_nas.data import load_dataset
from attn_nas.engine.search import Search
from attn_nas.errors import RunError
from attn_nas.execution.settings import Local
from attn_nas.format import capitalised
from attn_nas.report.document import html_report
from attn_nas.report.growth import growth_of
from attn_nas.report.markdown import markdown_report
from attn_nas.report.pages.reading import RunReading
from attn_nas.runs.run import Run
from attn_nas.sampling.baselines import at_random
from attn_nas.space.schema import ObjectiveSettings
from attn_nas.storage.trials import StoredTrials
from attn_nas.testing import TableTrainer
from attn_nas.training import StepProfile

BUDGET = 12


class SteadyTrainer(TableTrainer):
    """The accuracy of a candidate is the same with every seed."""

    def __call__(self, genotype, seed, on_epoch):
        trained = super().__call__(genotype, 0, on_epoch)
        return replace(trained, result=replace(trained.result, seed=seed))


def fake_run(space, folder, budget=BUDGET, **options):
    """A run of ``space`` whose trainer answers at once."""
    trainer = SteadyTrainer(load_dataset(space.data).task, epochs=3, **options)
    return Search(space, run=folder, training=trainer, sampler=at_random).optimize(
        n_trials=budget, confirm=1, execution=Local(workers=1)
    )


@pytest.fixture(scope="module")
def run(tiny_space, tmp_path_factory):
    """A finished run with one confirmation."""
    return fake_run(tiny_space, tmp_path_factory.mktemp("report") / "a <b>run")


@pytest.fixture(scope="module")
def html(run):
    """The HTML report of `run`."""
    return html_report(RunReading.of(run.folder.path))


class Loaded(HTMLParser):
    """What a page loads from elsewhere, its identities, and where its links inside lead."""

    def __init__(self, html):
        super().__init__()
        self.loads, self.identities, self.links, self.tags = [], [], [], []
        self.feed(html)

    def handle_starttag(self, tag, attributes):
        given = dict(attributes)
        self.tags.append(tag)
        self.loads += [given[name] for name in ("src", "srcset", "data") if given.get(name)]
        if tag == "link":
            self.loads.append(given["href"])
        if "id" in given:
            self.identities.append(given["id"])
        if tag == "a":
            self.links.append(given.get("href", ""))


def test_the_html_report_needs_nothing_from_elsewhere(html):
    """No address is loaded, every link leads to a place in it, no identity is there twice, names are text."""
    page = Loaded(html)
    assert page.loads == []
    assert "@import" not in html
    assert len(page.identities) == len(set(page.identities))
    assert {link[1:] for link in page.links} <= set(page.identities)
    assert all(link.startswith("#") for link in page.links)
    assert "a &lt;b&gt;run" in html
    assert "<b>run" not in html


def test_the_html_report_has_every_page(run, html):
    """Front, references, every trial, comparison, insight, and the code of each member of the front."""
    page = Loaded(html)
    for candidate in (*run.front, *run.references):
        assert f"candidate-{candidate.record.key}" in page.identities
        assert f"code-model-{candidate.record.key}" in page.identities
    assert {"run", "comparison", "insight", "tab-raw"} <= set(page.identities)
    drawn = json.loads(re.search(r'id="chart-data">(.*?)</script>', html)[1])
    assert [row[0] for row in drawn["rows"]] == [candidate.record.key for candidate in run.candidates]
    table = html.partition('<table class="trials')[2].partition("</table>")[0]
    assert table.count("<tr data-key=") == len(run.records)


def test_the_html_report_of_a_hundred_trials_is_small(tiny_space, tmp_path):
    """Less than 3 MB, of which 0.65 are the library of the charts."""
    large = fake_run(tiny_space, tmp_path / "large", budget=100)
    assert len(large.records) >= 100
    assert len(html_report(RunReading.of(large.folder.path)).encode()) < 3_000_000


def test_a_run_without_a_score_says_so(tiny_space, tmp_path):
    """All have failed: both reports are written, and say what to look at."""
    found = fake_run(tiny_space, tmp_path / "bad", budget=3, failures=_Every("it <i>diverged</i> | twice"))
    reading = RunReading.of(found.folder.path)
    html = html_report(reading)
    assert "No candidate has a score yet" in html
    assert "it &lt;i&gt;diverged&lt;/i&gt;" in html
    assert "No candidate has a score yet" in markdown_report(reading)


class _Every(dict):
    """The same reason for every key."""

    def __init__(self, reason):
        super().__init__()
        self._reason = reason

    def __contains__(self, key):
        return True

    def __getitem__(self, key):
        return self._reason


def test_markdown_has_the_pick_the_front_the_references_and_the_leads(run):
    """Rows have the cells that their heading has; figures are those of the run."""
    text = markdown_report(RunReading.of(run.folder.path))
    tables = [block for block in text.split("\n\n") if block.startswith("|")]
    for block in tables:
        widths = {len(re.split(r"(?<!\\)\|", line)) for line in block.splitlines()}
        assert len(widths) == 1, block
    leads, front, references = tables[:3]
    assert f"**{capitalised(run.pick.name)}** {run.pick.glyph} `{run.pick.record.key}`: Accuracy " in text
    assert f"Accuracy on the validation split {run.verdict.after}: estimate from all trainings" in text
    assert len(front.splitlines()) == 2 + len(run.front)
    assert len(references.splitlines()) == 2 + len(run.references)
    assert len(leads.splitlines()) == 2 + sum(each.record.key != run.verdict.pick for each in run.references)
    for member in run.front:
        assert f"| {member.expected.hundredths()} |" in front


def test_the_table_of_trials_has_them_all(run):
    """One row for each, with its accuracy and costs."""
    done = CliRunner().invoke(app, ["report", str(run.folder.path), "--format", "csv", "--to", "-"])
    rows = list(csv.DictReader(io.StringIO(done.stdout)))
    assert [int(row["trial"]) for row in rows] == [record.number for record in run.records]
    for row, record in zip(rows, run.records, strict=True):
        assert (row["key"], row["state"], int(row["flops"])) == (record.key, record.state, record.cost.flops)
        assert record.result is None or float(row["accuracy"]) == record.result.accuracy


def test_tensorboard_reads_the_scalars(run, tmp_path):
    """The curve of a trial, epoch by epoch, and the hypervolume of the search."""
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    assert (
        CliRunner().invoke(app, ["report", str(run.folder.path), "--format", "tensorboard", "--to", str(tmp_path)]).exit_code
        == 0
    )
    record = next(record for record in run.records if record.result)
    (folder,) = tmp_path.glob(f"{record.number:05d}-*")
    events = accumulator.EventAccumulator(str(folder))
    events.Reload()
    found = [(event.step, event.value) for event in events.Scalars("validation/accuracy")]
    assert found == [(epoch, pytest.approx(value)) for epoch, value in enumerate(record.result.curve, start=1)]
    search_events = accumulator.EventAccumulator(str(tmp_path / "search"))
    search_events.Reload()
    assert len(search_events.Scalars("hypervolume")) == len(growth_of(run))


def test_the_command_writes_into_the_run_or_where_it_is_told(run, tmp_path):
    """report.html by default; --to names a file, and - is stdout."""
    runner = CliRunner()
    assert runner.invoke(app, ["report", str(run.folder.path)]).exit_code == 0
    assert (run.folder.path / "report.html").read_text().startswith("<!doctype html>")
    assert runner.invoke(app, ["report", str(run.folder.path), "--format", "md", "--to", str(tmp_path / "x.md")]).exit_code == 0
    shown = runner.invoke(app, ["report", str(run.folder.path), "--format", "md", "--to", "-"])
    assert shown.stdout == (tmp_path / "x.md").read_text()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--format", "pdf"], "choose from html, md, csv, tensorboard"),
        (["--format", "tensorboard", "--to", "-"], "name a folder"),
        (["--to", "/proc/nowhere/x.html"], "cannot write"),
    ],
)
def test_what_cannot_be_written_is_said(run, options, words):
    """An unknown format, a folder on stdout, a place that cannot be written."""
    refused = CliRunner().invoke(app, ["report", str(run.folder.path), *options])
    assert refused.exit_code in (1, 2)
    assert words in " ".join(refused.stderr.split())


def test_stored_trials_are_those_of_the_study_and_ended_ones_are_read_once(run):
    """As Optuna reads them, but for the parameters; a trial that was running is read again until it has ended."""
    study = Run(run.folder.path).study
    stored = StoredTrials(study)
    first = stored.read()
    wanted = [(trial.number, trial.state, trial.user_attrs) for trial in study.get_trials(deepcopy=False)]
    assert [(trial.number, trial.state, trial.user_attrs) for trial in first] == wanted
    new = study.ask()
    later = study.ask()
    study.tell(later, state=TrialState.FAIL)
    second = stored.read()
    assert [trial.state for trial in second[-2:]] == [TrialState.RUNNING, TrialState.FAIL]
    new.set_user_attr("late", [1])
    study.tell(new, state=TrialState.FAIL)
    third = stored.read()
    assert third[-2].user_attrs == {"late": [1]}
    assert third[-2].state == TrialState.FAIL
    assert all(before is after for before, after in zip(first, third, strict=False))
    assert third[-1] is second[-1]
    spans = [trial.ended - trial.begun for trial in first]
    assert all(0 <= span < 60 for span in spans)


def test_a_refreshed_run_leaves_candidates_without_a_belief_out_of_its_front(tiny_space, tmp_path):
    """With beliefs of an older snapshot, newer candidates are listed, but cannot be on the front; the older one stays."""
    folder = tmp_path / "growing"
    first = fake_run(tiny_space, folder, budget=8)
    beliefs, records, manifest = first.beliefs, first.records, first.manifest
    Search.load(folder, training=TableTrainer(load_dataset(tiny_space.data).task), sampler=at_random).optimize(
        n_trials=14, execution=Local(workers=1)
    )
    newer = first.refreshed(beliefs=beliefs)
    assert len(newer.candidates) > len(first.candidates)
    assert {candidate.record.key for candidate in newer.front} <= beliefs.networks.keys()
    assert any(candidate.belief is None for candidate in newer.candidates)
    assert {candidate.record.key for candidate in Run(folder).candidates} == {each.record.key for each in newer.candidates}
    assert (newer.manifest.budget, manifest.budget) == (14, 8)
    assert (first.records, first.manifest) == (records, manifest)
    assert all(before is after for before, after in zip(records, newer.records, strict=False))
    judged = newer.with_beliefs(Run(folder).beliefs)
    assert judged.records is newer.records
    assert all(candidate.belief for candidate in judged.candidates)


def test_the_hypervolume_grows_with_the_front(run):
    """It never falls, time never runs back, and the last is that of the search's own front."""
    grown = growth_of(run)
    assert [each.trials for each in grown] == list(range(1, len(grown) + 1))
    for name in ("hypervolume", "seconds"):
        values = [getattr(each, name) for each in grown]
        assert values == sorted(values)
    lines = (run.folder.path / "events.jsonl").read_text().splitlines()
    first = [json.loads(line) for line in lines if '"TrialFinished"' in line and '"seed": 0' in line]
    assert grown[-1].hypervolume == pytest.approx(first[-1]["hypervolume"])


def test_a_reading_of_nothing_is_an_error(tmp_path):
    """A folder without a study."""
    with pytest.raises(RunError, match="is not a run"):
        RunReading.of(tmp_path)


class _Timed(TableTrainer):
    """Times every training otherwise, so that first ones and means differ."""

    def __call__(self, genotype, seed, on_epoch):
        trained = super().__call__(genotype, seed, on_epoch)
        ratio = 1.5 + genotype.num_attended / 10 + seed / 2
        return replace(trained, profile=StepProfile(0.1, 0.01, 0.1, 10.0, ratio, ratio, 1.0, 1.0))


@pytest.fixture(scope="module")
def timed_run(tiny_space, tmp_path_factory):
    """A run that minimises FLOPs and the time of inference, with two seeds for some candidates."""
    space = tiny_space.model_copy(update={"objectives": ObjectiveSettings(costs=["flops", "latency"])})
    trainer = _Timed(load_dataset(space.data).task)
    folder = tmp_path_factory.mktemp("timed") / "run"
    return Search(space, run=folder, training=trainer, sampler=at_random).optimize(
        n_trials=8, confirm=1, execution=Local(workers=1)
    )


def test_times_are_those_that_the_front_was_judged_by(timed_run):
    """Means over the seeds, in both reports."""
    reading = RunReading.of(timed_run.folder.path)
    html, text = html_report(reading), markdown_report(reading)
    confirmed = next(each for each in timed_run.front if len(each.results) > 1)
    mean, first = f"{confirmed.costs['latency']:.2f}", f"{confirmed.record.profile.latency_1_ratio:.2f}"
    assert mean != first
    table = html.partition('<table class="candidates')[2].partition("</table>")[0]
    row = table.partition(f'<tr data-key="{confirmed.record.key}"')[2].partition("</tr>")[0]
    assert f">{mean} \N{MULTIPLICATION SIGN}<" in row
    assert f"latency {mean}x" in next(line for line in text.splitlines() if confirmed.record.key in line)


def test_the_html_report_draws_the_front_over_every_cost(timed_run, monkeypatch):
    """The data has added FLOPs and parameters and both times of each candidate; without JavaScript one picture remains."""
    monkeypatch.setattr(Run, "note_of_times", None)  # as on a quiet machine
    html = html_report(RunReading.of(timed_run.folder.path))
    drawn = json.loads(re.search(r'id="chart-data">(.*?)</script>', html)[1])
    front = drawn["charts"]["front"]
    assert [axis["id"] for axis in front["axes"]] == ["flops", "params", "step_time", "latency"]
    assert front["minimized"] == ["flops", "latency"]
    costs = {row[0]: row[drawn["fields"].index("costs")] for row in drawn["rows"]}
    for candidate in timed_run.candidates:
        assert costs[candidate.record.key][0] == candidate.added_flops
        assert costs[candidate.record.key][3] == pytest.approx(candidate.costs["latency"], rel=1e-5)
    assert len(re.findall(r'<noscript><div class="scroll"[^>]*><svg class="figure front"', html)) == 1


def test_the_html_report_allows_only_what_it_contains(html):
    """Its policy names each style sheet and each script that runs by its hash, and nothing else."""
    policy = unescape(re.search(r'http-equiv="Content-Security-Policy" content="([^"]*)"', html)[1])
    sources = {name: allowed for name, *allowed in map(str.split, policy.split(";"))}
    inside = [("style-src", text) for text in re.findall(r"<style>(.*?)</style>", html, re.DOTALL)]
    inside += [("script-src", text) for text in re.findall(r"<script>(.*?)</script>", html, re.DOTALL)]
    for kind, text in inside:
        assert f"'sha256-{b64encode(sha256(text.encode()).digest()).decode()}'" in sources[kind]
    assert len(inside) == len(sources["style-src"]) + len(sources["script-src"])
    assert sources["default-src"] == ["'none'"]
