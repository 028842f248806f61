"""Whatever a run of an objective shows says its metric, in its direction and unit."""

import csv
import io
import json
import sys
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

import attn_nas as an
from attn_nas.cli import app
from attn_nas.export import export_candidates
from attn_nas.runs.run import Run
from attn_nas.sampling.scale import AccuracyScale
from attn_nas.space.metric import Metric

FOLDER = Path(__file__).parents[1] / "data"
LOSS = Metric("val_loss", "minimize", unit="nats")


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run that was confirmed, whose metric is minimised and not bounded; larger is worse in all that it measures."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_STATE_HOME", str(tmp_path_factory.mktemp("state")))
        patch.syspath_prepend(str(FOLDER))
        import objectives

        search = an.Search(
            objectives.SPACE,
            objective=objectives.falling,
            metric=LOSS,
            training={"epochs": 2},
            run=tmp_path_factory.mktemp("runs") / "own",
        )
        yield search.optimize(n_trials=8, confirm=1, execution=an.Local(workers=1))
    sys.modules.pop("objectives", None)


def _printed(*arguments):
    found = CliRunner().invoke(app, [*map(str, arguments)])
    assert found.exit_code == 0, found.output
    return found.stdout


def test_tables_and_sentences_say_the_metric(run):
    """The front, a candidate, a comparison, effects, lists of runs: never accuracy, never a percentage of it."""
    where, key, other = run.folder.path, run.candidates[0].record.key, run.candidates[1].record.key
    for arguments in (
        ("show", where),
        ("show", where, key),
        ("show", where, key, other),
        ("why", where),
        ("runs", where.parent),
    ):
        said = _printed(*arguments)
        assert "val_loss" in said, arguments
        assert "accura" not in said.lower(), arguments
    assert "nats" in _printed("show", where)


def test_values_are_those_of_the_user_wherever_they_are_read_by_programs(run, tmp_path):
    """JSON, CSV, events: positive numbers under the metric's name, which are minimised."""
    where, key = run.folder.path, run.candidates[0].record.key
    document = json.loads(_printed("show", where, "--json"))
    assert document["objectives"] == {"minimize": ["val_loss", "flops"]}
    assert document["metric"] == LOSS.to_dict()
    best = min(each["val_loss"] for each in document["front"])
    assert 0 < best == pytest.approx(min(candidate.value for candidate in run.front))
    for each in document["front"]:
        assert each["belief"]["low"] <= each["belief"]["mean"] <= each["belief"]["high"]
        assert all(value > 0 for value in each["by_seed"].values())
    (first,) = {each["val_loss"] for each in json.loads(_printed("show", where, key, "--json"))["results"] if each["seed"] == 0}
    assert first == LOSS.value(run.candidates[0].results[0].accuracy)
    events = [json.loads(line) for line in _printed("watch", where, "--json").splitlines() if line.startswith("{")]
    finished = [event for event in events if event["event"] == "TrialFinished"]
    assert all(event["val_loss"] > 0 and "accuracy" not in event for event in finished)
    assert all(point["val_loss"] > 0 for event in finished for point in event["front"])
    table = [*csv.DictReader(io.StringIO(_report(run, "csv", tmp_path / "trials.csv")))]
    assert all(float(row["val_loss"]) > 0 for row in table)


def _report(run, form, to):
    _printed("report", run.folder.path, "--format", form, "--to", to)
    return to.read_text()


def test_pages_and_pictures_say_the_metric(run, tmp_path):
    """The report as HTML and in Markdown; its axes have the values."""
    page = _report(run, "html", tmp_path / "report.html")
    assert "val_loss, nats" in page
    assert "accuracy" not in page.replace('data-sort="accuracy"', "").lower()
    assert "No pictures: they need images, which the objective of this run brings itself." in page
    assert "attn-nas why" not in page
    text = _report(run, "md", tmp_path / "report.md")
    assert "| estimated val_loss, nats |" in text
    assert "accura" not in text.lower()


@pytest.mark.usefixtures("verified_here")
def test_a_winner_is_exported_with_its_metric(run, tmp_path):
    """The files are verified; nothing is said of classes and photos."""
    best = max(run.front, key=lambda candidate: candidate.accuracy)
    (folder,) = export_candidates(run, [best], tmp_path)
    card, config = (folder / "README.md").read_text(), json.loads((folder / "config.json").read_text())
    assert "val_loss" in card
    assert "accuracy" not in card
    assert "the recorded val_loss was not reproduced, since it is computed by the objective" in card
    assert not (folder / "predict.py").exists()
    assert config["metric"]["value"] == pytest.approx(LOSS.value(best.measured.value))
    assert config["outputs"] == 2


def test_full_trainings_and_baselines_call_the_objective(run):
    """With more epochs, and for wider trunks; both say the metric."""
    where = run.folder.path
    said = _printed("retrain", where, "--epochs", 3, "--seeds", 2, "--workers", 1)
    assert "val_loss of the objective over 2 seeds" in said
    assert "accura" not in said.lower()
    result = json.loads((where / "retraining.json").read_text())
    bare = next(each for each in result["networks"] if each["name"] == "none")
    assert bare["val_loss"] == pytest.approx(10 - 3, abs=0.5)  # one less for each epoch
    said = _printed("baseline", where, "--width", 9, "--workers", 1)
    assert "val_loss over seeds" in said
    assert "accura" not in said.lower()
    assert Run(where).metric == LOSS


def test_the_scale_of_an_unbounded_metric_bears_one_diverged_training():
    """It is linear for most scores, and leads back to all of them."""
    scores = np.array([-0.5, -0.4, -0.45, -0.35, -0.42, -1e6])
    scale = AccuracyScale.of(scores, bounded=False)
    scaled = scale(scores)
    np.testing.assert_allclose(scale.back(scaled), scores, rtol=1e-9)
    steps = np.diff(np.sort(scaled[:5])) / np.diff(np.sort(scores[:5]))
    assert steps.max() / steps.min() < 1.1
    assert scaled.max() - scaled.min() < 60
    np.testing.assert_allclose((scale(scores + 1e-7) - scaled)[:5] / 1e-7, 1 / scale.slope(scores)[:5], rtol=1e-3)
    assert AccuracyScale.of(np.array([0.2, 0.9]), bounded=False).back(np.array([0.0]))[0] == pytest.approx(0.55)
