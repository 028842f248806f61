"""A search space on a network of the user's own: from Python and YAML, searched, resumed elsewhere, drawn and exported."""

import json
import shutil
from functools import partial
from pathlib import Path

import own_model
import pytest
import torch
from own_model import make_net

from attn_nas import Genotype, Local, Placement, Run, Search, SearchSpace, build_model, insert
from attn_nas.cli import app
from attn_nas.cost import CostTable, count_cost
from attn_nas.drawing import draw_compact_svg, draw_svg, draw_text
from attn_nas.errors import SpaceError, UsageError
from attn_nas.followups.trunk_baseline import TrunkBaseline
from attn_nas.models.build import build_trunk
from attn_nas.space.encoding import Encoding
from attn_nas.space.host import Host
from attn_nas.space.loading import load_space
from attn_nas.space.naming import glyph_of
from attn_nas.space.references import reference_genotypes
from attn_nas.space.task import Task

FILE = Path(own_model.__file__)
TASK = Task(3, 32, 32, 10)
TRAINING = {"epochs": 1, "batch_size": 32, "lr": 0.1, "precision": "fp32"}
DATA = {"name": "cued_digits", "num_train": 128, "num_validation": 64}
YAML = """
model: {file: own_model.py, function: make_net, arguments: {width: 4}, example: [3, 32, 32], sites: ["body.*"]}
data: {name: cued_digits, num_train: 128, num_validation: 64}
mechanisms: [{name: se, reductions: [2, 4]}, {name: eca, kernel_sizes: [3]}]
proxy: {epochs: 1, batch_size: 32, lr: 0.1, precision: fp32}
"""


def space(**changes):
    given = {"model": make_net, "example": (3, 32, 32), "mechanisms": ["se", "eca"], "data": DATA, "proxy": TRAINING}
    return SearchSpace(**{**given, **changes})


@pytest.fixture
def space_file(tmp_path):
    """A space file beside the user's file."""
    shutil.copy(FILE, tmp_path)
    path = tmp_path / "mine.yaml"
    path.write_text(YAML)
    return path


def test_a_space_is_built_from_a_function_a_mapping_text_or_a_file(space_file):
    """All of them name the same network, whose sites are those of the patterns."""
    spaces = [
        space(model=partial(make_net, width=4), sites=["body.*"]),
        space(model={"file": FILE, "function": "make_net", "arguments": {"width": 4}}, sites=["body.*"]),
        load_space(space_file),
    ]
    assert {each.network.to_dict()["version"] for each in spaces} == {spaces[0].network.version}
    assert [site.name for site in spaces[2].network.sites] == ["body.0", "body.1", "body.2"]
    assert str(space(model=f"{FILE}:make_net").network) == "own_model.py:make_net"
    assert [settings.positions for settings in spaces[0].mechanisms] == [["post"], ["post"]]


def test_a_genotype_of_a_users_network_is_read_back_and_has_a_key_of_its_own():
    """Plain data hold the sites, so that a record can be read without the network; the code is part of the key."""
    host = space().network
    genotype = Genotype(host, (None, Placement("se", "post", 4), None))
    again = Genotype.from_json(genotype.to_json())
    assert (again, again.key, str(again)) == (genotype, genotype.key, "- | se r4@post | -")


def test_a_users_network_has_a_glyph_and_a_narrow_drawing():
    """It has no places between its stages; rows are called by its modules."""
    host = space().network
    genotype = Genotype(host, (None, Placement("se", "post", 4), None))
    assert glyph_of(genotype).replace("│", "") == "□■□"
    picture = draw_compact_svg(genotype)
    assert host.sites[1].name in picture
    assert "se r4" in picture
    assert Genotype.bare(space(model=partial(make_net, width=12)).network).key != Genotype.bare(host).key
    with pytest.raises(SpaceError, match="a network of your own has no field 'depth'"):
        Host.from_dict({**host.to_dict(), "depth": 3})


def test_costs_are_those_of_the_full_count_at_every_position():
    """The bare network once and each site once: the sum is what the whole network costs."""
    found = space(mechanisms=["se", "eca", {"name": "cbam", "positions": ["pre", "post"]}, "bam"])
    encoding, table = Encoding(found), CostTable(found.network, TASK)
    for row in ([1] * 3, [2, 3, 4], [len(options) - 1 for options in encoding.options]):
        genotype = encoding.from_row(row)
        assert table.cost(genotype) == count_cost(build_model(genotype, 10, seed=0), TASK, of_user=True)
        assert encoding.to_row(encoding.decode(encoding.encode(genotype))) == row


def test_operators_of_the_users_network_without_a_counter_cost_their_output():
    """Its own count is then a lower bound, and what attention adds stays exact; the table and the full count agree."""

    class Strange(own_model.Net):
        def forward(self, x):
            return super().forward(torch.special.entr(x.sigmoid()))

    def make_strange():
        return Strange()

    host = space(model=make_strange).network
    genotype = Genotype(host, (Placement("se", "post", 4), None, None))
    assert CostTable(host, TASK).cost(genotype) == count_cost(build_model(genotype, 10, seed=0), TASK, of_user=True)


def test_equal_seeds_give_equal_networks_and_equal_attention():
    """The weights of the bare network depend on the seed alone, and those of a site on the seed and the site."""
    host = space().network
    some = Genotype(host, (None, Placement("se", "post", 4), None))
    more = Genotype(host, (Placement("eca", "post", kernel_size=3), Placement("se", "post", 4), None))
    bare, one, two = (build_model(each, 10, seed=3).state_dict() for each in (Genotype.bare(host), some, more))
    assert all(torch.equal(one[name], tensor) and torch.equal(two[name], tensor) for name, tensor in bare.items())
    assert all(torch.equal(two[name], tensor) for name, tensor in one.items())


def test_references_and_stages():
    """A stage is a row of modules with one parent and one size; granularity ties them."""
    found = space(granularity="per_stage")
    encoding = Encoding(found)
    names = reference_genotypes(found, encoding)
    assert {"none", "se everywhere", "eca everywhere", "se last stage"} == set(names)
    assert names["se everywhere"].num_attended == 3
    assert found.network.stage_name(1) == "body, 16 x 16"


def test_a_drawing_names_the_modules_of_the_network():
    """Its sites with their classes and channels, grouped by the prefix of their names."""
    genotype = Genotype(space().network, (Placement("se", "post", 2), None, None))
    drawn = draw_text(genotype)
    assert "own_model.py:make_net: attention at 1 of 3 sites" in drawn
    assert "body, 32 x 32: 8 channels" in drawn
    assert "body.0   8   ◆ se r2 at post" in drawn
    assert "── ─ Unit ─◆─" in drawn
    assert "body, 16 x 16" in draw_svg(genotype)


MISTAKES = {
    "both": ({"trunk": "resnet18"}, r"trunk: leave it out: there is a model of your own"),
    "neither": ({"model": None, "example": None}, r"trunk: this key is missing"),
    "no example": ({"example": None}, r"model\.example: this key is missing"),
    "example": (
        {"example": (1, 32, 32)},
        r"model\.example.*: the network Net cannot run on the example of shape \(1, 32, 32\)",
    ),
    "sites": ({"sites": ["bady.*"]}, r"model\.sites.*: sites: no module has a name that fits 'bady\.\*'"),
    "function": ({"model": f"{FILE}:make"}, r"model\.function = make: .*has no 'make': choose from .*did you mean make_net"),
    "file": ({"model": "absent.py:make"}, r"model\.function = make: the file .*absent\.py of make cannot be read"),
    "module": ({"model": "no_such_package:make"}, r"the module no_such_package of make cannot be imported"),
    "network": ({"model": make_net()}, r"model: this is a network; give the function or the class that makes it"),
    "arguments": (
        {"model": {"file": FILE, "function": "make_net", "arguments": {"depth": 3}}},
        r"own_model\.py:make_net\(depth=3\) fails: TypeError: .*'depth'",
    ),
    "values": (
        {"model": {"file": FILE, "function": "make_net", "arguments": {"width": torch.nn.ReLU}}},
        r"model\.arguments: give a mapping of names to text, numbers",
    ),
    "position": (
        {"mechanisms": [{"name": "mhsa", "positions": ["replace"]}]},
        r"mhsa has no site in own_model\.py:make_net at",
    ),
}


@pytest.mark.parametrize("kind", MISTAKES)
def test_mistakes_are_named_with_their_key(kind):
    changes, message = MISTAKES[kind]
    with pytest.raises(SpaceError, match=message):
        space(**changes)


def test_a_network_that_does_not_fit_the_data_is_refused_before_anything_is_written(tmp_path):
    """Other channels, and an output that is not one logit for each class."""
    for changes, message in (
        ({"model": partial(make_net, num_classes=7)}, r"gives a tensor of shape \(2, 7\) for two images of 10 classes"),
        ({"data": {"name": "digits", "num_train": 128, "num_validation": 64}}, r"the images of the data have 1 channels"),
    ):
        with pytest.raises(SpaceError, match=message):
            Search(space(**changes), run=tmp_path / "run").optimize(n_trials=1)
    assert not (tmp_path / "run").exists()


def test_what_concerns_trunks_says_so(searched):
    """A network of the user's own has no width to compare with."""
    with pytest.raises(UsageError, match=r"own_model\.py:make_net makes a network of your own, which has no widths"):
        TrunkBaseline(Run(searched))


@pytest.fixture(scope="module")
def searched(tmp_path_factory):
    """A run on a network of the user's own, whose file is gone afterwards."""
    folder = tmp_path_factory.mktemp("own")
    shutil.copy(FILE, folder)
    (folder / "mine.yaml").write_text(YAML)
    search = Search(folder / "mine.yaml", run=folder / "run")
    search.optimize(n_trials=3, confirm=0, execution=Local(workers=1))
    (folder / "own_model.py").unlink()
    return folder / "run"


def test_a_run_goes_on_and_is_exported_without_the_users_file(searched, tmp_path):
    """The run has a copy of the file: it is resumed, and its winner verified in a process that has it."""
    run = Search.load(searched).optimize(n_trials=4, execution=Local(workers=1))
    assert len(run.candidates) == 4
    assert (searched / "plugins" / "own_model.py").read_text() == FILE.read_text()
    winner = max(run.candidates, key=lambda each: each.record.genotype.num_attended)
    folder = winner.export(tmp_path, formats=["insert", "safetensors", "pt2"])
    assert {path.name for path in folder.iterdir()} >= {"insert.py", "model.safetensors", "model.pt2", "README.md"}
    config = json.loads((folder / "config.json").read_text())
    assert config["verified"]["insert"]["difference"] == 0
    assert insert(make_net(width=4), folder).state_dict().keys() == run.weights(winner).keys()
    card = (folder / "README.md").read_text()
    assert "model = insert(make_net(**{'width': 4, 'num_classes': 10}))" in card
    source = (folder / "insert.py").read_text()
    assert "attn_nas" not in source


def test_a_strangers_run_does_not_run_the_file_of_its_network(searched, monkeypatch, tmp_path):
    """It can be read and drawn; training asks first."""
    copied = shutil.copytree(searched, tmp_path / "run")
    with (copied / "plugins" / "own_model.py").open("a") as file:
        file.write("raise SystemExit('ran')\n")
    assert len(Run(copied).candidates) >= 3
    app(["report", str(copied), "--to", str(tmp_path / "report.html")], standalone_mode=False)
    report = (tmp_path / "report.html").read_text()
    assert "own_model.py:make_net" in report
    assert "SiteInsertion(" in report
    with pytest.raises(SpaceError, match=r"own_model\.py was not run"):
        Search.load(copied).optimize(n_trials=9, execution=Local(workers=1))


def test_a_function_without_a_name_works_in_this_process_alone(tmp_path):
    """It cannot be sent to a worker, and a run on it goes on when it is given again."""

    def make():
        return own_model.Net(4)

    found = space(model=make)
    assert (found.model.file, found.model.module, found.network.version) == (None, None, "")
    search = Search(found, run=tmp_path / "run")
    with pytest.raises(
        UsageError, match=r"make that makes the model cannot be sent to another process: .*Put it in a Python file"
    ):
        search.optimize(n_trials=1, execution=Local(workers=2))
    search.optimize(n_trials=2, confirm=0)
    again = Search.load(tmp_path / "run", model=make).optimize(n_trials=3)
    assert len(again.candidates) == 3
    with pytest.raises(UsageError, match=r"model = 3: give the function that makes the network"):
        Search.load(tmp_path / "run", model=3)
    assert build_trunk(found.network, 10).head.out_features == 10


def test_sites_are_listed_on_the_command_line(space_file, capsys, monkeypatch):
    """A table with the added cost of mechanisms, and the same as JSON."""
    monkeypatch.chdir(space_file.parent)
    command = ["sites", "own_model.py:make_net", "--example", "3,32,32", "--argument", "width=4"]
    app([*command, "--mechanism", "se"], standalone_mode=False)
    shown = capsys.readouterr().out
    assert "own_model.py:make_net: " in shown
    assert "body.1  Unit  8 x 16 x 16  pre post stage_end" in shown
    app([*command, "--sites", "body.2", "--mechanism", "all", "--json"], standalone_mode=False)
    (site,) = json.loads(capsys.readouterr().out)["sites"]
    assert (site["name"], site["shape"], site["calls"]) == ("body.2", [16, 8, 8], 1)
    assert site["costs"]["se"]["params"] == 2 * 16 * 4
    assert "why_not" in site["costs"]["gsop"] or site["costs"]["gsop"]["flops"] > 0
