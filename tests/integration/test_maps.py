"""Networks of a run compared by their maps and gates: on the same images, in words and as a picture."""

import io
import json
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from attn_nas import cli
from attn_nas.engine.search import Search
from attn_nas.errors import DataError, ExportError, RunError, UsageError
from attn_nas.execution.settings import Local
from attn_nas.maps import compare, without
from attn_nas.maps import network_comparison as comparison_module
from attn_nas.report import write_maps
from attn_nas.report.maps_picture import maps_image, maps_png
from attn_nas.report.raster import gate_map, picture
from attn_nas.runs import manifest as facts_module
from attn_nas.space.genotype import Genotype
from attn_nas.space.loading import parse_space
from attn_nas.space.task import Task
from attn_nas.space.trunks import Trunk
from attn_nas.testing import TableTrainer

SMALL = Trunk("cifar_resnet", 8, 8)


SPACE = """
trunk: {name: cifar_resnet, depth: 8, width: 8}
data: {name: cluttered_digits, num_train: 256, num_validation: 200}
mechanisms:
  - {name: se, reductions: [2, 4]}
  - {name: cbam, reductions: [2], kernel_sizes: [3]}
  - {name: sk, reductions: [2]}
proxy: {epochs: 2, batch_size: 32, lr: 0.1, precision: fp32}
"""


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A finished search of five candidates, really trained."""
    return Search(parse_space(SPACE), run=tmp_path_factory.mktemp("maps") / "run").optimize(
        n_trials=5, confirm=0, execution=Local(workers=1)
    )


@pytest.fixture(scope="module")
def compared(run):
    """SE everywhere beside the bare trunk and CBAM everywhere."""
    (found,) = compare(run, [_reference(run, "se everywhere")], 4)
    return found


def _reference(run, name):
    return next(candidate for candidate in run.references if candidate.record.reference == name)


def test_networks_are_compared_on_the_same_images(run, compared):
    """In order, with the accuracy that the run recorded, each with its own gates."""
    assert [network.name for network in compared.networks] == ["se everywhere", "none", "cbam everywhere"]
    assert [len(network.gates) for network in compared.networks] == [3, 0, 3]
    for network in compared.networks:
        recorded = _reference(run, network.name).results[0].accuracy
        assert network.accuracy == pytest.approx(recorded, abs=1.5 / 200)
        assert network.logits.shape == (200, 10)
    assert [[each.values.shape for each in maps] for maps in compared.activations] == [[(4, 4, 4), (4, 8, 8)]] * 3


def test_a_mechanism_is_worth_the_accuracy_that_is_lost_without_it(run, compared):
    """In shares of the sample; what stands in the place of a convolution cannot be left out."""
    se = compared.networks[0]
    inputs = comparison_module._normalised(run, compared.sample)
    for gate, worth in zip(se.gates, se.worth, strict=True):
        right = without(se.model, gate, inputs).argmax(1) == compared.sample.labels
        assert worth == pytest.approx((int(se.right.sum()) - int(right.sum())) / 200)
    (found,) = compare(run, [_reference(run, "sk everywhere")], 1)
    assert found.networks[0].worth == (None, None, None)
    sheet, output = np.array(maps_image(found)), found.networks[0].gates[0]
    for values, size in ((output.by_place[found.shown][0], (128, 128)), (output.by_channel[found.shown], (128, 12))):
        limits = (float(values.min()), float(values.max()))
        assert _contains(sheet, np.array(gate_map(values, limits, size)))


def test_outcomes_count_who_is_right(compared):
    """The four cases of the candidate and the bare trunk share out the sample; images are taken from each in turns."""
    se, bare, _ = compared.networks
    assert [*compared.outcomes] == ["right, none wrong", "right, none right", "wrong, none right", "wrong, none wrong"]
    assert sorted(torch.cat([*compared.outcomes.values()]).tolist()) == list(range(200))
    for index in compared.outcomes["right, none wrong"].tolist():
        label = compared.sample.labels[index]
        assert se.predicted[index] == label != bare.predicted[index]
    assert compared.shown.tolist() == [int(indices[0]) for indices in compared.outcomes.values()]


def test_the_bare_trunk_is_compared_once(run):
    """As a candidate it is not beside itself, and alone it is right or wrong."""
    (found,) = compare(run, [_reference(run, "none")], 2)
    assert [network.name for network in found.networks] == ["none", "cbam everywhere"]
    assert next(iter(found.outcomes)) == "right, cbam everywhere wrong"


def test_the_picture_shows_each_image_and_each_gate(compared, tmp_path):
    """Pixels and gates stand in it as they are; the file is the picture."""
    (path,) = write_maps([compared], tmp_path / "new")
    assert path == tmp_path / "new" / f"{compared.networks[0].key}.png"
    with Image.open(path) as shown:
        assert shown.format == "PNG"
        sheet = np.array(shown)
    assert np.array_equal(sheet, np.array(maps_image(compared)))
    for index in compared.shown.tolist():
        assert _contains(sheet, np.array(picture(compared.sample.images[index], (128, 128))))
    gate = compared.networks[0].gates[1]
    strips, maps = gate.by_channel[compared.shown], gate.by_place[compared.shown]
    limits = (float(min(strips.min(), maps.min())), float(max(strips.max(), maps.max())))
    assert limits[1] - limits[0] > 0.05 * limits[1]
    for channels in strips:
        assert _contains(sheet, np.array(gate_map(channels[None], limits, (128, 12))))


def _contains(sheet, part):
    """Whether ``part`` ``(h, w, 3)`` stands somewhere in ``sheet``."""
    height, width = part.shape[:2]
    rows, columns = (sheet[: -height + 1, : -width + 1] == part[0, 0]).all(2).nonzero()
    return any(
        np.array_equal(sheet[y : y + height, x : x + width], part) for y, x in zip(rows.tolist(), columns.tolist(), strict=True)
    )


def test_next_to_nothing_does_not_look_like_something(run, compared):
    """A gate that varies by a thousandth is drawn in one colour, the middle of its scale."""
    first, *others = compared.networks
    flat = [
        replace(gate, by_place=0.5 + 0.001 * gate.by_place, by_channel=0.5 + 0.001 * gate.by_channel) for gate in first.gates
    ]
    changed = replace(compared, networks=(replace(first, gates=tuple(flat)), *others))
    sheet = np.array(Image.open(io.BytesIO(maps_png(changed))))
    whole = np.array(Image.open(io.BytesIO(maps_png(compared))))
    bright = [253, 231, 37]
    assert (whole[:, : whole.shape[1] // 2] == bright).all(2).sum() > (sheet[:, : sheet.shape[1] // 2] == bright).all(2).sum()


def test_the_document_has_every_figure(compared):
    """It survives JSON, and its gates are the tables'."""
    document = json.loads(json.dumps(compared.to_dict()))
    assert document["sample"] == 200
    assert sum(document["outcomes"].values()) == 200
    gate = document["networks"][0]["gates"][0]
    assert (gate["site"], gate["kind"]) == ("block 0", "gate")
    assert gate["mean"] == compared.networks[0].gates[0].spread.mean
    assert gate["worth"] == compared.networks[0].worth[0]
    assert gate["finding"] == compared.networks[0].gates[0].finding


@pytest.mark.parametrize("number", [0, -1, 51])
def test_an_impossible_number_of_images_is_refused(run, number):
    """With what to choose."""
    with pytest.raises(UsageError, match=f"images = {number}: choose an integer from 1 to 50"):
        compare(run, run.references, number)


def test_weights_that_were_not_kept_or_do_not_fit_are_errors(run):
    """With what to do; nothing else is read."""
    candidate = _reference(run, "cbam everywhere")
    path = run.folder.weights_of(candidate.record.key)
    hidden = path.rename(path.with_suffix(".hidden"))
    try:
        with pytest.raises(RunError, match="were not kept: only the front, the references and confirmed candidates"):
            compare(run, [run.references[0]])
        path.write_bytes(run.folder.weights_of(_reference(run, "none").record.key).read_bytes())
        with pytest.raises(RunError, match="are not those of its network: Error"):
            compare(run, [run.references[0]])
    finally:
        hidden.replace(path)


def test_data_that_are_missing_or_have_changed_are_errors(run, monkeypatch, tmp_path):
    """The message of the data set, or that it is not what it was."""
    from attn_nas.data import load_dataset
    from attn_nas.space.loading import load_space

    monkeypatch.setenv("ATTN_NAS_DATA", str(tmp_path))
    cifar = load_space("cifar10_resnet20").data
    monkeypatch.setattr(facts_module, "load_dataset", lambda settings, rules, download: load_dataset(cifar, download=download))
    with pytest.raises(DataError, match="--download"):
        compare(run, [run.references[0]])
    cued = load_dataset(load_space("cued_digits").data.model_copy(update={"num_train": 100, "num_validation": 50}))
    monkeypatch.setattr(facts_module, "load_dataset", lambda settings, rules, download: cued)
    with pytest.raises(DataError, match="cued_digits is not the data set that the run was begun with"):
        compare(run, [run.references[0]])


def test_an_unwritable_target_is_an_error(compared, tmp_path):
    """A file where the folder should be."""
    (tmp_path / "file").write_text("")
    with pytest.raises(ExportError, match="cannot write to"):
        write_maps([compared], tmp_path / "file")


def _command(monkeypatch, capsys, *arguments):
    """Exit code, output and errors of ``attn-nas maps``, a former name of ``attn-nas why``."""
    monkeypatch.setattr(sys, "argv", ["attn-nas", "maps", *map(str, arguments)])
    monkeypatch.setenv("COLUMNS", "160")
    with pytest.raises(SystemExit) as ended:
        cli.main()
    return ended.value.code or 0, *capsys.readouterr()


def test_the_command_shows_the_pick_in_words_and_as_a_picture(run, monkeypatch, capsys):
    """Into the run, unless told otherwise; a table for each network with attention."""
    code, out, err = _command(monkeypatch, capsys, run.folder.path)
    assert (code, err) == (0, "")
    path = run.folder.path / "maps" / f"{run.pick.record.key}.png"
    assert path.exists()
    assert f"Written: {path}" in out
    assert "CBAM everywhere: " in out
    assert "block 2 cbam r2 k3 gate" in out
    assert "Accuracy after 2 epochs on the first 200 validation images: " in out


def test_the_command_takes_keys_and_the_front(run, monkeypatch, capsys, tmp_path):
    """One picture and one document each."""
    key = _reference(run, "se everywhere").record.key
    _, out, _ = _command(monkeypatch, capsys, run.folder.path, key[:8], "--images", 2, "--to", tmp_path, "--json")
    (document,) = json.loads(out)
    assert document["file"] == str(tmp_path / f"{key}.png")
    assert len(document["shown"]) == 2
    _, out, _ = _command(monkeypatch, capsys, run.folder.path, "--front", "--to", tmp_path / "front", "--json")
    front = [candidate.record.key for candidate in run.front]
    assert [document["networks"][0]["key"] for document in json.loads(out)] == front
    assert {path.stem for path in (tmp_path / "front").iterdir()} == set(front)


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["nowhere"], 1, "nowhere is not a run"),
        (["RUN", "--images", "0"], 2, "images = 0: choose an integer from 1 to 50"),
        (["RUN", "--to", "FILE"], 1, "cannot write to"),
        (["RUN", "KEY"], 1, "; the closest: "),
        (["RUN", "--best-under", "12"], 1, "no candidate has at most 12 FLOPs"),
        (["EMPTY"], 1, "has no finished trial yet"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_bad_input_gets_one_message(run, monkeypatch, capsys, tmp_path, arguments, code, message):
    """On stderr, with the right exit code and nothing written."""
    (tmp_path / "file").write_text("")
    misspelt = run.candidates[0].record.key[:-1] + "x"
    stand_for = {"RUN": run.folder.path, "FILE": tmp_path / "file", "KEY": misspelt, "EMPTY": tmp_path / "empty"}
    if "EMPTY" in arguments:
        _run_without_scores(tmp_path / "empty")
    given = [stand_for.get(argument, argument) for argument in arguments]
    found, out, err = _command(monkeypatch, capsys, *given)
    assert (found, out) == (code, "")
    assert message in err
    assert not list(tmp_path.rglob("*.png"))


def _run_without_scores(folder):
    """A run whose only candidate has failed."""
    bare = Genotype.bare(SMALL)
    trainer = TableTrainer(Task(3, 16, 16, 10), failures={bare.key: "by order"})
    Search(parse_space(SPACE), run=folder, training=trainer).optimize(n_trials=1, confirm=0, execution=Local(workers=1))
