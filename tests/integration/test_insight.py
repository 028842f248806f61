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
from attn_nas.report import write_insight
from attn_nas.sampling import Training
from attn_nas.sampling.insight import Insight
from attn_nas.space.encoding import Encoding
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


def test_what_helps_is_found_where_it_helps(tiny_space):
    """Five points for se in block 0, nothing for others; intervals that hold both, the first for five of six noises."""
    encoding = Encoding(tiny_space)
    found = [Insight.of(_trainings(encoding, _first_se, luck=luck), encoding) for luck in range(6)]
    assert sum(each.cells["block 0"]["se"].low < 0.05 < each.cells["block 0"]["se"].high for each in found) >= 5
    insight = found[0]
    cell = insight.cells["block 0"]["se"]
    assert cell.beyond_noise
    assert cell.change == pytest.approx(0.05, abs=0.015)
    assert cell.trained > 0
    others = [
        effect for site, row in insight.cells.items() for name, effect in row.items() if (site, name) != ("block 0", "se")
    ]
    assert sum(effect.low < 0 < effect.high for effect in others) >= 0.8 * len(others)
    by_name = {effect.what: effect for effect in insight.mechanisms}
    assert by_name["se"].change == pytest.approx(0.05 / 3, abs=0.01)
    assert by_name["se"].change > max(by_name["eca"].change, by_name["sk"].change)
    assert not insight.nothing_found
    assert {effect.what for effect in insight.sites} == {"block 0", "block 1", "block 2"}
    assert {effect.what for effect in insight.positions} == {"standard", "pre", "replace"}


def test_noise_alone_has_no_effects(tiny_space):
    """It says so, in words and in brackets."""
    encoding = Encoding(tiny_space)
    insight = Insight.of(_trainings(encoding, lambda _: 0.8, noise=0.02), encoding)
    effects = [*insight.mechanisms, *insight.positions, *insight.sites]
    assert sum(effect.beyond_noise for effect in effects) <= 1
    if insight.nothing_found:
        assert "No mechanism, position or site has an effect beyond noise" in " ".join(insight_notes(insight))


def test_three_networks_say_nothing(tiny_space):
    """None, and an error for a run."""
    encoding = Encoding(tiny_space)
    assert Insight.of(_trainings(encoding, _first_se, number=3), encoding) is None


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
    cells = [effect for row in document["cells"].values() for effect in row.values()]
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
    for effect in (*insight.mechanisms, *insight.positions, *insight.sites):
        assert effect.what in text
        assert f"{100 * effect.change:+.2f}" in text
    for row in insight.cells.values():
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
