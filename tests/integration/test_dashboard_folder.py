"""A dashboard on a folder: runs beside each other do not get into each other's way."""

import json
import shutil
from html import unescape

import pytest

from attn_nas.dashboard.app import dashboard_app
from attn_nas.dashboard.guard import Rules
from attn_nas.dashboard.library import Library
from attn_nas.data import load_dataset
from attn_nas.engine.search import Search
from attn_nas.execution.settings import Local
from attn_nas.space.loading import load_space
from attn_nas.testing import TableTrainer

PLUGIN = """
from torch import Tensor, nn
from attn_nas import Mechanism, register_mechanism


class Dimmer(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()

    def forward(self, x: Tensor) -> Tensor:
        return x * {factor}


register_mechanism(
    Mechanism("dimmer", f"{{__name__}}:Dimmer", family="channel", formula="x * c", title="Dimming", year=2026)
)
"""
SPACE = """
plugins: [dimmer.py]
trunk: {name: cifar_resnet, depth: 8, width: 8}
data: {name: digits, num_train: 256, num_validation: 64}
mechanisms: [{name: dimmer}]
proxy: {epochs: 1, batch_size: 32, lr: 0.1}
"""


@pytest.fixture
def dashboard(tmp_path):
    """The dashboard of a folder of runs."""
    return dashboard_app(Library(tmp_path), Rules())


def _search_with_plugin(folder, factor):
    """A run in ``folder / NAME`` whose plug-in multiplies by ``factor``."""
    work = folder.parent / f"work of {folder.name}"
    work.mkdir()
    (work / "dimmer.py").write_text(PLUGIN.format(factor=factor))
    (work / "space.yaml").write_text(SPACE)
    space = load_space(work / "space.yaml")
    return Search(space, run=folder, training=TableTrainer(load_dataset(space.data).task)).optimize(
        n_trials=3, confirm=0, execution=Local(workers=1)
    )


def test_each_run_shows_its_own_version_of_a_plugin(tmp_path, dashboard, ask):
    """Whichever was looked at before."""
    runs = {name: _search_with_plugin(tmp_path / name, factor) for name, factor in (("half", 0.5), ("third", 0.25))}
    keys = {
        name: next(each.record.key for each in run.references if each.record.genotype.num_attended)
        for name, run in runs.items()
    }
    for name, factor in (("half", "0.5"), ("third", "0.25"), ("half", "0.5")):
        for address in ("", "/model.py"):
            answer = ask(dashboard, f"/runs/{name}/candidates/{keys[name]}{address}")
            assert answer.status == 200
            assert f"return x * {factor}" in answer.text


def test_a_raw_study_is_never_that_of_another_run(tiny_space, tmp_path, dashboard, ask, tiny_task):
    """Of several runs one must have been chosen, and still be there; a single one needs no choice."""
    for name in ("first", "second"):
        Search(tiny_space, run=tmp_path / name, training=TableTrainer(tiny_task)).optimize(
            n_trials=2, confirm=0, execution=Local(workers=1)
        )
    host = ("host", "127.0.0.1:8090")
    assert ask(dashboard, "/api/studies").status == 404
    chosen = ask(dashboard, "/runs/second/raw").headers["set-cookie"].partition(";")[0]
    assert "8090" in chosen
    assert ask(dashboard, "/api/studies", headers=[host, ("cookie", chosen)]).status == 200
    elsewhere = chosen.replace("8090", "8091")
    assert ask(dashboard, "/api/studies", headers=[host, ("cookie", elsewhere)]).status == 404
    shutil.rmtree(tmp_path / "second")
    shutil.copytree(tmp_path / "first", tmp_path / "third")
    assert ask(dashboard, "/api/studies", headers=[host, ("cookie", chosen)]).status == 404
    shutil.rmtree(tmp_path / "third")
    assert len(json.loads(ask(dashboard, "/api/studies").body)["study_summaries"]) == 1


def test_the_command_for_a_first_run_can_be_copied(tmp_path, ask):
    """Also where the folder has a space in its name."""
    folder = tmp_path / "my runs"
    folder.mkdir()
    page = unescape(ask(dashboard_app(Library(folder), Rules()), "/").text)
    assert f"<code>attn-nas search --run '{folder}/first'</code>" in page


def test_an_empty_folder_may_become_a_run(tiny_space, tmp_path, dashboard, ask, tiny_task):
    """What was a folder without runs is the page of one."""
    assert "No run in" in ask(dashboard, "/").text
    Search(tiny_space, run=tmp_path, training=TableTrainer(tiny_task)).optimize(
        n_trials=2, confirm=0, execution=Local(workers=1)
    )
    assert ask(dashboard, "/").status == 307
    assert ask(dashboard, f"/runs/{tmp_path.name}").status == 200
