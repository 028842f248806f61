"""Class activation maps, gates and their pictures, against hand computation, identities and the mechanisms' own gates."""

import io
import json
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from attn_nas import cli
from attn_nas.attention.catalog import get_mechanism, mechanism_names
from attn_nas.attention.zoo.cbam import SpatialGate
from attn_nas.engine.search import Search
from attn_nas.errors import DataError, ExportError, RunError, UsageError
from attn_nas.execution.settings import Local
from attn_nas.maps import Gate, PooledHead, activation_maps, compare, gates_of, grad_cam, pooled_head, without
from attn_nas.maps import network_comparison as comparison_module
from attn_nas.maps.network_comparison import in_turns
from attn_nas.models.build import build_model, build_trunk, fill_slot, get_slot
from attn_nas.report import write_maps
from attn_nas.report.maps_picture import maps_image, maps_png
from attn_nas.report.raster import fitted, gate_map, heated, picture
from attn_nas.runs import manifest as facts_module
from attn_nas.space.genotype import Genotype, Placement
from attn_nas.space.loading import parse_space
from attn_nas.space.task import Task
from attn_nas.space.trunks import Trunk
from attn_nas.testing import TableTrainer, legal_placements, perturbed

SMALL = Trunk("cifar_resnet", 8, 8)
SE = Placement("se", reduction=2)


def _images(number=3, side=16):
    return torch.randn((number, 3, side, side), generator=torch.Generator().manual_seed(1))


def _network(*placements, trunk=SMALL):
    """A genotype, its network away from its start in eval mode, and the modules of its placements."""
    genotype = Genotype(trunk, placements)
    model = perturbed(build_model(genotype, 10, seed=0)).eval()
    attended = [(site, placement) for site, placement in genotype.sites if placement]
    return genotype, model, [get_slot(model, site.slot(placement.position)) for site, placement in attended]


def _received(model, module, images):
    """What ``module`` gets when ``model`` computes ``images``."""
    inputs = []
    handle = module.register_forward_pre_hook(lambda module, given: inputs.append(given[0].clone()))
    with torch.no_grad():
        model(images)
    handle.remove()
    return inputs[0]


def test_a_closed_form_map_is_the_sum_of_weighted_features():
    """Two channels, two classes, by hand: class 0 is A - 2 B, class 1 is 3 B."""
    features = torch.tensor([[[[1.0, 2.0]], [[3.0, 5.0]]]]).expand(2, 2, 1, 2)
    layer = nn.Linear(2, 2)
    layer.weight = nn.Parameter(torch.tensor([[1.0, -2.0], [0.0, 3.0]]))
    found = PooledHead(features, layer).activation(torch.tensor([0, 1]))
    assert found.tolist() == [[[-5.0, -8.0]], [[9.0, 15.0]]]


POOLED = [SMALL, Trunk("resnet", 18, 8), Trunk("resnext", 50, 8), Trunk("mobilenet_v2", 53, 8)]


@pytest.mark.parametrize("trunk", POOLED, ids=str)
def test_the_mean_of_a_map_and_the_bias_are_the_logit(trunk):
    """Where the head is a linear layer on the mean over places, and it is found there."""
    model, images = perturbed(build_trunk(trunk, 5)).eval(), _images(side=64)
    head = pooled_head(model, images)
    for label in range(5):
        classes = torch.full((3,), label)
        with torch.no_grad():
            logits = head.activation(classes).mean((1, 2)) + head.layer.bias[label]
            assert torch.allclose(logits, model(images)[:, label], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("trunk", [Trunk("mobilenet_v3_large", 48, 8), Trunk("convnext", 59, 8)], ids=str)
def test_other_heads_get_gradients_instead(trunk):
    """Two linear layers, or a norm behind the average: no closed form, Grad-CAM of the last stage in its place."""
    model, images = perturbed(build_trunk(trunk, 5)).eval(), _images(side=64)
    assert pooled_head(model, images) is None
    last, before = activation_maps(model, trunk, images, torch.tensor([0, 1, 2]))
    assert (last.method, before.method) == ("Grad-CAM", "Grad-CAM")
    assert (last.where, before.where) == (f"stage {trunk.num_stages - 1}", f"stage {trunk.num_stages - 2}")
    assert last.values.shape == (3, 2, 2)
    assert before.values.shape == (3, 4, 4)


def test_gradients_at_the_last_map_are_the_closed_form():
    """Grad-CAM times the number of places is the positive part of CAM, which comes first among the maps."""
    _, model, _ = _network(SE, None, SE)
    images, classes = _images(), torch.tensor([0, 3, 9])
    closed, before = activation_maps(model, SMALL, images, classes)
    assert (closed.method, closed.where, closed.values.shape) == ("CAM", "last map", (3, 4, 4))
    assert (before.method, before.where, before.values.shape) == ("Grad-CAM", "stage 1", (3, 8, 8))
    assert (closed.values < 0).any()
    found = grad_cam(model, model.blocks[-1], images, classes)
    assert torch.allclose(16 * found, closed.values.relu(), rtol=1e-4, atol=1e-5)


def test_gradients_at_an_earlier_map_are_the_slopes_of_the_logit():
    """A channel's weight is how much the logit rises when a little is added to it everywhere, over the places."""
    _, model, _ = _network(None, SE, None)
    model, images, classes = model.double(), _images(1).double(), torch.tensor([4])
    layer, step = model.blocks[1], 1e-6
    features = []

    def logit(channel, size):
        def raise_channel(module, inputs, output):
            features[:] = [output.clone()]
            output[:, channel] += size
            return output

        handle = layer.register_forward_hook(raise_channel)
        with torch.no_grad():
            found = model(images)[0, 4]
        handle.remove()
        return found

    slopes = torch.stack([(logit(channel, step) - logit(channel, -step)) / (2 * step) for channel in range(16)])
    expected = (slopes[None, :, None, None] / 64 * features[0]).sum(1).relu()
    assert torch.allclose(grad_cam(model, layer, images, classes), expected, rtol=1e-5, atol=1e-9)
    assert expected.max() > 0


def test_a_trunk_of_one_stage_has_one_map():
    """There is no stage before the last."""
    model = nn.Module()
    model.blocks = nn.ModuleList([nn.Conv2d(3, 4, 3)])
    model.forward = lambda x: model.blocks[0](x).square().mean((2, 3))

    class OneStage:
        blocks = SMALL.blocks[:1]

    (only,) = activation_maps(model, OneStage(), _images(), torch.tensor([0, 1, 2]))
    assert (only.method, only.where, only.values.shape) == ("Grad-CAM", "stage 0", (3, 14, 14))


@pytest.mark.parametrize("position", ["standard", "pre", "inner", "post"])
def test_the_gate_of_squeeze_and_excitation_is_its_sigmoid(position):
    """Channel by channel, where the input is zero too; the same at every place."""
    genotype, model, (se,) = _network(None, Placement("se", position, reduction=2), None)
    images = _images()
    logits, (found,) = gates_of(model, genotype, images)
    with torch.no_grad():
        assert torch.equal(logits, model(images))
        gate = se.gate(_received(model, se, images))[:, :, 0, 0]
    assert found.kind == "gate"
    assert torch.allclose(found.by_channel, gate, atol=1e-5)
    assert torch.allclose(found.by_place, gate.mean(1)[:, None, None].expand_as(found.by_place), atol=1e-5)
    spread = found.spread
    assert spread.mean == pytest.approx(float(gate.mean()), abs=1e-5)
    assert spread.channels == pytest.approx(float(gate.mean(0).std(correction=0)), abs=1e-5)
    assert spread.places == pytest.approx(0, abs=1e-5)


def test_the_gate_of_spatial_attention_is_its_map():
    """Place by place; the same for every channel."""
    genotype, model, (sam,) = _network(Placement("sam", "post", kernel_size=3), None, None)
    images = _images()
    _, (found,) = gates_of(model, genotype, images)
    with torch.no_grad():
        gate = sam.gate(_received(model, sam, images))[:, 0]
    assert isinstance(sam, SpatialGate)
    assert torch.allclose(found.by_place, gate, atol=1e-5)
    assert torch.allclose(found.by_channel, gate.mean((1, 2))[:, None].expand_as(found.by_channel), atol=1e-5)
    assert found.spread.channels == pytest.approx(0, abs=1e-5)
    assert found.finding == "differs between places and images"


def test_a_module_that_does_nothing_has_gate_one():
    """A fresh gate that starts at the identity, and is said to be no more than a scale."""
    genotype = Genotype(SMALL, (Placement("se", reduction=2, identity_init=True), Placement("gct"), None))
    model = build_model(genotype, 10, seed=0).eval()
    for gate in gates_of(model, genotype, _images())[1]:
        assert torch.allclose(gate.by_place, torch.ones(()), atol=1e-6)
        assert torch.allclose(gate.by_channel, torch.ones(()), atol=1e-6)
        assert gate.finding == "constant: only a scale"


def test_what_is_added_is_a_change_over_the_input():
    """Global context adds one vector everywhere: its norm over the mean norm of the input's places."""
    genotype, model, (context,) = _network(None, Placement("gc", reduction=4), None)
    images = _images()
    _, (found,) = gates_of(model, genotype, images)
    x = _received(model, context, images)
    with torch.no_grad():
        added = (context(x) - x)[:, :, 0, 0]
    assert found.kind == "change"
    expected = added.norm(dim=1) / x.norm(dim=1).mean((1, 2))
    assert torch.allclose(found.by_place, expected[:, None, None].expand_as(found.by_place), rtol=1e-3)
    of_channels = 8 * added.abs() / x.flatten(2).norm(dim=2).mean(1, keepdim=True)
    assert torch.allclose(found.by_channel, of_channels, rtol=1e-3)


CHANGES = {"gc", "danet_cam", "danet_pam", "nonlocal", "psa_pointwise", "shuffle"}
OUTPUTS = {"sk", "split_attention", "mhsa"}


@pytest.mark.parametrize("name", mechanism_names())
def test_every_mechanism_is_shown_for_what_it_is(name):
    """Most multiply their input; the others change it, or stand in the place of a convolution, whatever its stride."""
    placements = [next(iter(legal_placements(get_mechanism(name), site)), None) for site in SMALL.sites]
    genotype = Genotype.of_sites(SMALL, placements)
    model = perturbed(build_model(genotype, 10, seed=0)).eval()
    _, gates = gates_of(model, genotype, _images())
    assert len(gates) == genotype.num_attended > 0
    expected = "change" if name in CHANGES else "output" if name in OUTPUTS else "gate"
    for gate in gates:
        if name != "mhsa" or gate.placement.position == "replace":
            assert gate.kind == expected
        assert gate.by_place.shape[0] == gate.by_channel.shape[0] == 3
        assert gate.by_place.isfinite().all()
        assert gate.by_channel.isfinite().all()
        assert gate.finding


def test_the_output_of_a_replaced_convolution_is_relative():
    """Its mean over places, and over channels, is one."""
    genotype, model, _ = _network(None, Placement("split_attention", "replace", reduction=2), None)
    _, (found,) = gates_of(model, genotype, _images())
    assert torch.allclose(found.by_place.mean((1, 2)), torch.ones(3), atol=1e-5)
    assert torch.allclose(found.by_channel.mean(1), torch.ones(3), atol=1e-5)


def _gate(by_channel, by_place=None, kind="gate"):
    channels = torch.tensor(by_channel)
    places = channels.mean(1)[:, None, None].expand(-1, 2, 1) if by_place is None else torch.tensor(by_place)[:, :, None]
    return Gate(SMALL.sites[0], SE, kind, places, channels)


def test_spreads_are_standard_deviations():
    """By hand: channels 0.2 and 0.6 on average, places 0.3 apart in the second image, channels that move by 0.1."""
    spread = _gate([[0.1, 0.5], [0.3, 0.7]], [[0.3, 0.3], [0.35, 0.65]]).spread
    assert spread.mean == pytest.approx(0.4)
    assert spread.channels == pytest.approx(0.2)
    assert spread.places == pytest.approx(0.075)
    assert spread.images == pytest.approx(0.1)


@pytest.mark.parametrize(
    ("gate", "finding"),
    [
        (_gate([[0.5, 0.5], [0.51, 0.51]]), "constant: only a scale"),
        (_gate([[0.2, 0.8], [0.2, 0.8]]), "one value per channel, equal for all images"),
        (_gate([[0.4, 0.4], [0.6, 0.6]]), "differs between images"),
        (_gate([[0.2, 0.8], [0.8, 0.2]]), "differs between images"),
        (_gate([[0.1, 0.9], [0.3, 1.0]], [[0.1, 0.9], [0.5, 0.5]]), "differs between channels, places and images"),
        (_gate([[0.01, 0.04], [0.0, 0.0]], kind="change"), "changes its input by less than 5 %"),
        (_gate([[1.0, 1.0], [1.0, 1.0]], kind="output"), "constant"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_findings_say_what_a_gate_tells_apart(gate, finding):
    """Less than 5 % of the mean is nothing."""
    assert gate.finding == finding


def test_gates_of_batches_are_those_of_all_images():
    """Joined in order."""
    genotype, model, _ = _network(SE, None, Placement("sam", kernel_size=3))
    images = _images(5)
    whole = gates_of(model, genotype, images)[1]
    parts = [gates_of(model, genotype, batch)[1] for batch in images.split(2)]
    for gate, pieces in zip(whole, zip(*parts, strict=True), strict=True):
        found = Gate.joined(pieces)
        assert torch.allclose(found.by_place, gate.by_place, atol=1e-6)
        assert torch.allclose(found.by_channel, gate.by_channel, atol=1e-6)


class _Scale(nn.Module):
    def __init__(self, scale):
        super().__init__()
        self.scale = scale

    def forward(self, x):
        return self.scale * x


def test_a_network_without_a_gate_scales_by_its_mean():
    """The same logits as of a network that has the mean in the gate's place, or nothing in that of a change."""
    genotype, model, _ = _network(SE, None, Placement("gc", reduction=4))
    images = _images()
    gate, change = gates_of(model, genotype, images)[1]
    for found, stand_in in ((gate, _Scale(gate.by_channel.mean())), (change, nn.Identity())):
        logits = without(model, found, images)
        expected = _network(SE, None, Placement("gc", reduction=4))[1]
        fill_slot(expected, found.site.slot("standard"), stand_in)
        with torch.no_grad():
            assert torch.allclose(logits, expected(images), atol=1e-5)
            assert not torch.allclose(logits, model(images), atol=1e-3)


def test_images_are_dealt_in_turns_and_shown_by_group():
    """The first of each group, then the second; an exhausted group is passed over."""
    groups = [torch.tensor([4, 5, 9]), torch.tensor([], dtype=torch.long), torch.tensor([0]), torch.tensor([7, 8])]
    assert in_turns(groups, 5).tolist() == [4, 5, 0, 7, 8]
    assert in_turns(groups, 2).tolist() == [4, 0]
    assert in_turns(groups, 50).tolist() == [4, 5, 9, 0, 7, 8]


def test_small_images_are_enlarged_pixel_by_pixel():
    """By a whole number; large ones are fitted."""
    assert fitted(16, 28, 140) == (80, 140)
    assert fitted(448, 224, 140) == (140, 70)
    pixels = torch.randint(256, (3, 4, 2), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    shown = torch.from_numpy(np.array(picture(pixels, (4, 8)))).permute(2, 0, 1)
    assert torch.equal(shown, pixels.repeat_interleave(2, 1).repeat_interleave(2, 2))
    assert np.array(picture(pixels[:1], (2, 4)))[..., 2].tolist() == pixels[0].tolist()


def test_heat_lies_where_the_evidence_is():
    """Brightest at the maximum, the grey image elsewhere, no heat at all where nothing speaks for the class."""
    black = torch.zeros((3, 8, 8), dtype=torch.uint8)
    evidence = torch.tensor([[5.0, -3.0], [0.0, -1.0]])
    shown = np.array(heated(black, evidence, (32, 32)))
    assert shown[0, 0].tolist() == [189, 191, 123]
    assert shown[31, 31].tolist() == [0, 0, 0]
    assert not np.array(heated(black, -evidence.abs(), (32, 32))).any()


def test_gates_are_coloured_between_their_limits():
    """Dark violet at the lower, yellow at the upper, beyond them the same."""
    shown = np.array(gate_map(torch.tensor([[0.2, 0.4, 0.6, 9.0]]), (0.2, 0.6), (4, 1)))[0].tolist()
    assert shown == [[68, 1, 84], [33, 145, 140], [253, 231, 37], [253, 231, 37]]


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
    inputs = comparison_module._normalised(run, compared.sample.images)
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
    monkeypatch.setattr(facts_module, "load_dataset", lambda settings, download: load_dataset(cifar, download=download))
    with pytest.raises(DataError, match="--download"):
        compare(run, [run.references[0]])
    cued = load_dataset(load_space("cued_digits").data.model_copy(update={"num_train": 100, "num_validation": 50}))
    monkeypatch.setattr(facts_module, "load_dataset", lambda settings, download: cued)
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


def test_the_command_shows_the_knee_in_words_and_as_a_picture(run, monkeypatch, capsys):
    """Into the run, unless told otherwise; a table for each network with attention."""
    code, out, err = _command(monkeypatch, capsys, run.folder.path)
    assert (code, err) == (0, "")
    path = run.folder.path / "maps" / f"{run.knee.record.key}.png"
    assert path.exists()
    assert f"Written: {path}" in out
    assert "cbam everywhere: " in out
    assert "block 2 cbam r2 k3 gate" in out
    assert "Accuracy on the first 200 validation images: " in out


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
        (["RUN", "KEY"], 1, "did you mean"),
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
