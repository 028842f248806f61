"""Insight: effects of mechanisms, positions and sites with intervals, as tables, documents and a heat map."""

import io
import json
import random
from xml.etree import ElementTree

import numpy as np
import pytest
from rich.console import Console

from attn_nas.engine.search import Search
from attn_nas.errors import ExportError, RunError
from attn_nas.execution.settings import Local
from attn_nas.format import written
from attn_nas.report import write_insight
from attn_nas.report.charts.heat_data import heat_data
from attn_nas.sampling import Beliefs, Training
from attn_nas.sampling.insight import Insight
from attn_nas.space.encoding import Encoding
from attn_nas.space.genotype import Genotype
from attn_nas.space.metric import ACCURACY, Metric
from attn_nas.terminal.insight_table import insight_notes, insight_tables
from attn_nas.testing import TableTrainer

pytestmark = pytest.mark.usefixtures("full_fits")


def _trainings(encoding, accuracy, number=60, noise=0.003, luck=0):
    rng, chance = np.random.default_rng(0), random.Random(luck)
    genotypes = {}
    while len(genotypes) < number:
        genotype = encoding.decode(encoding.random(rng))
        genotypes[genotype.key] = genotype
    return [Training(each, 0, accuracy(each) + noise * chance.gauss(0, 1)) for each in genotypes.values()]


def _first_se(genotype):
    """Squeeze-and-excitation in the first block is worth 5 points, everything else nothing."""
    first = next(iter(genotype.sites))[1]
    return 0.8 + (0.05 if first and first.mechanism == "se" else 0.0)


def _of(encoding, trainings, pick=None):
    return Insight.of(trainings, encoding, pick or Genotype.bare(encoding.trunk))


def test_what_helps_is_found_where_it_helps(tiny_space):
    """Five points for se in block 0, nothing for others; intervals that hold both, the first for five of six noises."""
    encoding = Encoding(tiny_space)
    found = [_of(encoding, _trainings(encoding, _first_se, luck=luck)).alone for luck in range(6)]
    assert sum(each.cells["block 0"]["se"].low < 0.05 < each.cells["block 0"]["se"].high for each in found) >= 5
    alone = found[0]
    cell = alone.cells["block 0"]["se"]
    assert cell.beyond_noise
    assert cell.change == pytest.approx(0.05, abs=0.015)
    assert cell.trained > 0
    assert cell.site == "block 0"
    assert cell.placement.startswith("se ")
    others = [effect for site, row in alone.cells.items() for name, effect in row.items() if (site, name) != ("block 0", "se")]
    assert sum(effect.low < 0 < effect.high for effect in others) >= 0.8 * len(others)
    best = max(alone.mechanisms, key=lambda effect: effect.change)
    assert (best.what, best.site, best.placement) == ("se", "block 0", cell.placement)
    assert not alone.nothing_found
    assert {effect.what for effect in alone.sites} == {"block 0", "block 1", "block 2"}
    assert {effect.what for effect in alone.positions} == {"standard", "pre", "replace"}


def _either(genotype):
    """Attention in block 0 or in block 1 is worth 5 points; both together are worth no more than one."""
    first, second, *_ = (placement for _, placement in genotype.sites)
    return 0.8 + (0.05 if first or second else 0.0)


def test_an_effect_alone_is_kept_apart_from_one_that_is_added(tiny_space):
    """Attention in block 1 alone gives 5 points; added to a pick with attention in block 0 it gives nothing."""
    encoding = Encoding(tiny_space)
    bare = Genotype.bare(encoding.trunk)
    trainings = [Training(bare, 0, _either(bare)), *_trainings(encoding, _either, number=80)]
    pick = next(
        training.genotype
        for training in trainings
        if [placement is not None for _, placement in training.genotype.sites][:2] == [True, False]
    )
    insight = _of(encoding, trainings, pick)
    second = {
        name: {effect.what: effect for effect in way.sites}["block 1"]
        for name, way in zip(("alone", "added"), insight.both, strict=True)
    }
    assert second["alone"].low > 0
    assert second["alone"].change == pytest.approx(0.05, abs=0.02)
    assert not second["added"].beyond_noise
    own = next(placement for _, placement in pick.sites if placement)
    assert insight.added.cells["block 0"][own.mechanism].low > 0, "its own placement is worth 5 points"


def test_it_agrees_in_sign_with_the_front(tiny_space):
    """Where a network with one placement is surely better than none, or worse, no cell says the opposite beyond noise."""
    encoding = Encoding(tiny_space)
    bare = Genotype.bare(encoding.trunk)
    trainings = [Training(bare, 0, _either(bare)), *_trainings(encoding, _either, number=80)]
    beliefs = Beliefs.of(trainings, {training.genotype.key: (training.genotype.num_attended,) for training in trainings})
    alone = _of(encoding, trainings).alone
    drawn, sure = _drawn(alone), 0
    for training in trainings:
        placed = [(str(site), placement) for site, placement in training.genotype.sites if placement]
        if len(placed) != 1:
            continue
        (site, placement), lead = placed[0], beliefs.difference(training.genotype.key, bare.key)
        if lead.probability > 0.9:
            sure += 1
            assert alone.cells[site][placement.mechanism].change > 0
            assert drawn[site, written(placement.mechanism)]["good"]
    assert sure >= 3


@pytest.mark.parametrize("metric", [ACCURACY, Metric("error", "minimize", bounded=True), Metric("loss", "minimize")])
def test_the_heat_map_has_the_effects_and_their_signs(tiny_space, metric):
    """Each cell that the space allows: its change in the metric, the colour by whether it helps, and where there is no data."""
    encoding = Encoding(tiny_space)
    alone = _of(encoding, _trainings(encoding, _first_se, number=20)).alone
    drawn, unit = _drawn(alone, metric), 100 if metric.bounded else 1
    assert len(drawn) == sum(map(len, alone.cells.values()))
    for site, row in alone.cells.items():
        for mechanism, effect in row.items():
            cell = drawn[site, written(mechanism)]
            assert cell["change"] == pytest.approx(unit * metric.change(effect.change), rel=1e-4)
            assert cell["low"] <= cell["change"] <= cell["high"]
            assert (cell["good"], cell["sure"]) == (effect.change > 0, effect.beyond_noise)
            assert cell["trained"] == effect.trained
            assert float(cell["text"]) == pytest.approx(cell["change"], abs=0.051, rel=0.01)


def _drawn(additions, metric=ACCURACY):
    """The cells of a heat map by site and mechanism."""
    data = heat_data(additions, "effects", metric)
    return {(data["sites"][cell["row"]], data["mechanisms"][cell["column"]]): cell for cell in data["cells"]}


def test_a_pick_without_attention_has_no_second_way(tiny_space):
    """What is added to the bare trunk is said once."""
    encoding = Encoding(tiny_space)
    insight = _of(encoding, _trainings(encoding, _first_se))
    assert insight.added is None
    assert insight.both == (insight.alone,)
    assert insight.to_dict()["added"] is None


def test_noise_alone_has_no_effects(tiny_space):
    """At most one of five searches finds something; the others say so in words."""
    encoding = Encoding(tiny_space)
    found = [_of(encoding, _trainings(encoding, lambda _: 0.8, noise=0.02, luck=luck)) for luck in range(5)]
    nothing = [insight for insight in found if insight.nothing_found]
    assert len(nothing) >= 4
    assert all(
        "No placement has an effect beyond noise" in " ".join(insight_notes(insight, ACCURACY, 3)) for insight in nothing
    )


def test_three_networks_say_nothing(tiny_space):
    """None, and an error for a run."""
    encoding = Encoding(tiny_space)
    assert _of(encoding, _trainings(encoding, _first_se, number=3)) is None


@pytest.fixture(scope="module")
def run(search_in, tmp_path_factory):
    """Twelve scored candidates, to be read only."""
    return search_in(tmp_path_factory.mktemp("searched"), n_trials=12)


def test_a_run_has_its_insight_as_files(run, tmp_path):
    """A document and a well-formed picture with a cell for each mechanism at each site."""
    paths = write_insight(run.insight, run, tmp_path / "files")
    assert [path.name for path in paths] == ["insight.json", "insight.svg"]
    document = json.loads(paths[0].read_text())
    assert document == json.loads(json.dumps(run.insight.to_dict()))
    ways = [document["alone"], *filter(None, [document["added"]])]
    cells = [effect for way in ways for row in way["cells"].values() for effect in row.values()]
    assert all(effect["low"] <= effect["change"] <= effect["high"] for effect in cells)
    picture = paths[1].read_text()
    ElementTree.fromstring(picture)
    assert picture.count("<rect") == 1 + len(cells)
    (tmp_path / "blocked").write_text("")
    with pytest.raises(ExportError, match="cannot write"):
        write_insight(run.insight, run, tmp_path / "blocked")


def test_its_tables_have_every_effect(run):
    """Sites as rows, mechanisms as columns; what is not beyond noise in brackets."""
    insight, out = run.insight, Console(width=200, file=io.StringIO())
    for table in insight_tables(insight):
        out.print(table)
    text = out.file.getvalue()
    for way in insight.both:
        assert way.heading in text
        for effect in (*way.mechanisms, *way.positions, *way.sites):
            assert effect.what in text
            assert f"{100 * effect.change:+.2f}" in text
            assert effect.placement in text
        for row in way.cells.values():
            for effect in row.values():
                figure = f"{100 * effect.change:+.2f}"
                assert (figure if effect.beyond_noise else f"({figure})") in text


def test_a_run_of_three_candidates_has_none(tiny_space, tmp_path, tiny_task):
    """With how many it needs."""
    run = Search(tiny_space, run=tmp_path / "run", training=TableTrainer(tiny_task)).optimize(
        n_trials=3, confirm=0, execution=Local(workers=1)
    )
    with pytest.raises(RunError, match="has 3 scored candidates: an estimate needs 4"):
        assert run.insight
