"""The charts of the pages: the vendored library, and the data that Python makes for them."""

import hashlib
import json
from dataclasses import replace
from importlib.resources import files
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from attn_nas.report.charts.candidate_rows import FIELDS
from attn_nas.report.charts.front_data import front_data
from attn_nas.report.charts.gene_axes import NO_MECHANISM, GeneAxes
from attn_nas.report.charts.line_data import growth_data
from attn_nas.report.charts.run_charts import RunCharts
from attn_nas.report.growth import Growth
from attn_nas.runs.run import Run
from attn_nas.sampling.baselines import at_random
from attn_nas.space.encoding import Encoding
from attn_nas.space.loading import load_space
from attn_nas.space.metric import Metric
from attn_nas.storage.location import create_study

STATIC = files("attn_nas.report.pages") / "static"
BUILD = Path(__file__).parents[2] / "docs" / "echarts"


def test_the_library_is_the_build_that_is_recorded():
    """Its bytes have the recorded hash, it names its licence, and its version is that of the script that builds it."""
    content = (STATIC / "echarts.min.js").read_bytes()
    recorded, name = (STATIC / "echarts.sha256").read_text().split()
    assert (hashlib.sha256(content).hexdigest(), name) == (recorded, "echarts.min.js")
    version = content.decode().partition("Apache ECharts ")[2].partition(",")[0]
    assert f'"echarts": "{version}"' in (BUILD / "package.json").read_text()
    licence = (STATIC / "echarts.LICENSE").read_text()
    assert all(words in licence for words in ("The Apache Software Foundation", "Apache License", "zrender", "Baidu", "tslib"))


@pytest.fixture(scope="module")
def run(search_in, tmp_path_factory):
    """Twenty scored candidates, some of them with a second seed; to be read only."""
    return search_in(tmp_path_factory.mktemp("charts"), n_trials=20, sampler=at_random, confirm=1)


def _rows(run):
    """The rows of the charts of a run, each as a namespace."""
    charts = RunCharts(run, (), (), lambda candidate: None)
    return {key: SimpleNamespace(**dict(zip(FIELDS, row, strict=True))) for key, row in charts.rows.items()}


def test_a_row_has_the_figures_of_its_candidate(run):
    """Name, glyph, estimate with interval in per cent, number of trainings, and what it adds to the bare trunk."""
    rows = _rows(run)
    assert [*rows] == [candidate.record.key for candidate in run.candidates]
    for candidate in run.candidates:
        row, belief, bare = rows[candidate.record.key], candidate.belief, run.manifest.bare_cost
        assert (row.name, row.glyph, row.seeds) == (candidate.name, candidate.glyph, len(candidate.results))
        assert (row.low, row.value, row.high) == pytest.approx(
            (100 * belief.low, 100 * belief.mean, 100 * belief.high), rel=1e-5
        )
        assert row.costs[:2] == (candidate.added_flops, candidate.record.cost.params - bare.params)


def test_the_chart_begins_where_most_candidates_and_all_picks_are(run):
    """The window has the picks and three of four candidates, and leaves out one that lies far away."""
    front = front_data(run, (), lambda candidate: f"/candidates/{candidate.record.key}")
    rows, (low, high), axis = _rows(run), front["value"], front["axes"][0]
    inside = {
        key for key, row in rows.items() if low <= row.value <= high and axis["window"][0] <= row.costs[0] <= axis["window"][1]
    }
    assert set(front["marked"]) <= inside
    assert run.pick.record.key in front["marked"]
    assert len(inside) >= 0.75 * len(rows)
    assert max(row.value for row in rows.values()) <= high
    assert front["links"] == {"address": "/candidates/{}", "keys": None}
    assert front["front"] == [member.record.key for member in run.front]


def test_one_outlier_does_not_set_the_window(run, monkeypatch):
    """Its cost is beyond the upper end, unless it is a pick."""
    key = next(each.record.key for each in run.candidates if each.record.key not in front_data(run, (), str)["marked"])
    far = next(each for each in run.candidates if each.record.key == key)
    cost = replace(far.record.cost, flops=far.record.cost.flops * 50)
    moved = replace(far, record=replace(far.record, cost=cost), added_flops=far.added_flops + cost.flops)
    monkeypatch.setitem(run.__dict__, "candidates", [moved if each is far else each for each in run.candidates])
    low, high = front_data(run, (), str)["axes"][0]["window"]
    assert cost.flops - run.manifest.bare_cost.flops > high > low


def test_a_link_is_given_where_there_is_one(run):
    """In a report only some candidates have a page."""
    keys = [member.record.key for member in run.front]
    found = front_data(run, (), lambda each: f"#candidate-{each.record.key}" if each.record.key in keys else None)["links"]
    assert found["address"] == "#candidate-{}"
    assert sorted(found["keys"]) == sorted(keys)
    assert front_data(run, (), lambda candidate: None)["links"] is None


def test_a_metric_that_is_minimised_is_shown_in_its_own_direction(run, monkeypatch):
    """Values and intervals are those of the metric, the smaller end first, and the best ones are in the window."""
    monkeypatch.setattr(Run, "metric", Metric("error", "minimize", bounded=True))
    rows, front = _rows(run), front_data(run, (), str)
    for candidate in run.candidates:
        row = rows[candidate.record.key]
        assert row.value == pytest.approx(100 * (1 - candidate.accuracy), rel=1e-4)
        assert row.low <= row.value <= row.high
    assert front["metric"]["minimized"]
    assert front["value"][0] <= min(row.value for row in rows.values())


def _random(space, number, seed=0):
    encoding, rng = Encoding(space), np.random.default_rng(seed)
    return [encoding.decode(encoding.random(rng)) for _ in range(number)]


def test_axes_of_sites_grow_at_their_end(tiny_space):
    """A level is the mechanism at the site; a genotype that comes later changes no level of the earlier ones."""
    genotypes = _random(tiny_space, 12)
    before, after = GeneAxes(genotypes[:6]), GeneAxes(genotypes)
    for genotype in genotypes[:6]:
        assert before.levels(genotype) == after.levels(genotype)
    for genotype in genotypes:
        placed = [placement for _, placement in genotype.sites]
        for level, choices, placement in zip(after.levels(genotype), after.choices, placed, strict=True):
            assert (choices[level] == NO_MECHANISM) == (placement is None)
    assert after.names == [str(site) for site, _ in genotypes[0].sites]
    assert GeneAxes([]).names == []


def test_a_deep_trunk_has_an_axis_for_each_stage():
    """With the number of its sites that have attention."""
    space = load_space("cued_digits")
    deep = space.model_copy(update={"trunk": space.trunk.model_copy(update={"depth": 56})})
    genotypes = _random(deep, 3)
    axes = GeneAxes(genotypes)
    assert axes.names == ["sites in stage 0", "sites in stage 1", "sites in stage 2"]
    for genotype in genotypes:
        attended = [site.block.stage for site, placement in genotype.sites if placement]
        assert axes.levels(genotype) == tuple(attended.count(stage) for stage in range(3))
        assert [choices[level] for choices, level in zip(axes.choices, axes.levels(genotype), strict=True)] == [
            str(attended.count(stage)) for stage in range(3)
        ]


def test_growth_is_told_where_it_rises():
    """First, last and every rise, over trials and over the unit of time that fits."""
    grown = [Growth(number, 60.0 * number, volume) for number, volume in enumerate([1.0, 1.0, 2.0, 2.0, 3.0, 3.0], start=1)]
    found = growth_data(grown, "accuracy x flops")
    assert found["trials"]["series"][0]["points"] == [(1, 1), (3, 2), (5, 3), (6, 3)]
    assert found["minutes"]["series"][0]["points"] == [(1, 1), (3, 2), (5, 3), (6, 3)]
    assert [*growth_data([replace(each, seconds=100 * each.seconds) for each in grown], "")] == ["trials", "hours"]
    assert growth_data(grown[:1], "") == {}


def test_a_run_without_candidates_has_empty_charts(run, tmp_path):
    """All of their parts, and no figures."""
    create_study(tmp_path, None, ["flops"], run.study.user_attrs)
    charts = RunCharts(Run(tmp_path), (), (), str)
    assert charts.rows == {}
    assert json.loads(json.dumps(charts.data))["charts"]["parallel"] == {"axes": []}
