"""Every mechanism against an implementation that is not ours: recorded answers, and timm and torchvision where they import.

The recorded answers and where they are from: ``data/parity.json``, ``data/parity.safetensors``, written by ``make_parity.py``.
"""

import importlib
import json
import warnings
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import nn
from torch.nn import functional as F

from attn_nas.attention.catalog import get_mechanism
from attn_nas.attention.records import RECORDS
from attn_nas.data.torchvision_import import torchvision_datasets
from attn_nas.errors import DataError

DATA = Path(__file__).parents[1] / "data"
CASES = json.loads((DATA / "parity.json").read_text(encoding="utf-8"))
TENSORS = load_file(DATA / "parity.safetensors")
EXEMPT = {"eca_max": "a variant of ours, which no reference has"}

CHANNELS = 16
SIZE = (9, 6)
LIVE = {
    "se": (lambda timm: timm.SEModule(CHANNELS, rd_channels=4, bias=True), {"reduction": 4, "bias": True}, {}),
    "ese": (lambda timm: timm.EffectiveSEModule(CHANNELS), {}, {}),
    "eca": (lambda timm: timm.EcaModule(kernel_size=5), {"kernel_size": 5}, {}),
    "cbam": (
        lambda timm: timm.cbam.CbamModule(CHANNELS, rd_channels=4, spatial_kernel_size=5, mlp_bias=True),
        {"reduction": 4, "kernel_size": 5},
        {"spatial.conv.conv": "spatial.conv", "spatial.conv.bn": "spatial.bn"},
    ),
    "coord": (lambda timm: timm.coord_attn.CoordAttn(CHANNELS, rd_channels=8, bias=True), {"reduction": 2}, {}),
    "gc": (
        lambda timm: timm.GlobalContext(CHANNELS, rd_channels=4, fuse_add=True, fuse_scale=False),
        {"reduction": 4},
        {"conv_attn": "conv_mask", "mlp_add.fc1": "fc1", "mlp_add.norm": "norm", "mlp_add.fc2": "fc2"},
    ),
    "sk": (
        lambda timm: timm.SelectiveKernel(CHANNELS, rd_channels=4, split_input=False, groups=4),
        {"reduction": 4, "groups": 4},
        {
            "paths.0.conv": "branches.0.0",
            "paths.0.bn": "branches.0.1",
            "paths.1.conv": "branches.1.0",
            "paths.1.bn": "branches.1.1",
            "attn.fc_reduce": "reduce",
            "attn.bn": "bn",
            "attn.fc_select": "select",
        },
    ),
    "split_attention": (
        lambda timm: timm.SplitAttn(CHANNELS, rd_channels=4, norm_layer=nn.BatchNorm2d),
        {"reduction": 2},
        {},
    ),
    "mhsa": (
        lambda timm: timm.bottleneck_attn.BottleneckAttn(CHANNELS, feat_size=SIZE, num_heads=4, scale_pos_embed=True),
        {"groups": 4, "max_distance": 8},
        {"pos_embed.height_rel": "row_embedding", "pos_embed.width_rel": "column_embedding"},
    ),
    "nonlocal": (
        lambda timm: timm.NonLocalAttn(CHANNELS, rd_channels=8, use_scale=False),
        {"reduction": 2},
        {"t": "theta", "p": "phi", "z": "expand", "norm": "bn"},
    ),
}
"""Per mechanism timm's module, the arguments of ours, and timm's prefixes of parameter names beside ours where they differ."""


def agree(found, expected):
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)


def our_name(name, prefixes):
    """The name under which our module holds what timm's holds under ``name``."""
    for theirs, ours in prefixes.items():
        if name == theirs or name.startswith(f"{theirs}."):
            return ours + name.removeprefix(theirs)
    return name


def randomised(module):
    """The module with random parameters and running statistics."""
    for name, tensor in module.state_dict().items():
        if name.endswith("running_var"):
            nn.init.uniform_(tensor, 0.5, 1.5)
        elif tensor.is_floating_point():
            nn.init.normal_(tensor, std=0.5)
    return module


def agree_in_both_modes(ours, theirs):
    """Equality of two modules on maps that are not square, first in evaluation, then in training mode."""
    x = torch.randn(4, CHANNELS, *SIZE)
    with torch.no_grad():
        agree(ours.eval()(x), theirs.eval()(x))
        agree(ours.train()(x), theirs.train()(x))


@pytest.fixture(scope="module")
def torchvision_ops():
    """``torchvision.ops``, or the reason why there is none."""
    try:
        torchvision_datasets()
        return importlib.import_module("torchvision.ops")
    except (DataError, ImportError, RuntimeError) as error:
        pytest.skip(f"torchvision does not import: {error}")


@pytest.fixture(scope="module")
def timm_layers(torchvision_ops):
    """``timm.layers``, or the reason why there is none; what its import warns of is not ours to mend."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return importlib.import_module("timm.layers")
        except (ImportError, RuntimeError) as error:
            pytest.skip(f"timm does not import: {error}")


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


def test_every_mechanism_has_a_reference():
    """Each mechanism of the package has a recorded reference or a reason to have none, and not both."""
    recorded = {case["mechanism"] for case in CASES.values()}
    assert recorded | set(EXEMPT) == {record.name for record in RECORDS}
    assert not recorded & set(EXEMPT)


def test_every_reference_names_its_source():
    """Numbers of others come with repository, version, path and licence, and every number belongs to a case."""
    assert {key.partition("/")[0] for key in TENSORS} == set(CASES)
    for case in CASES.values():
        assert all(case["source"][key] for key in ("repository", "commit", "path", "licence"))


@pytest.mark.parametrize("mode", ["eval", "train"])
@pytest.mark.parametrize("name", CASES)
def test_output_equals_the_recorded_reference(name, mode):
    """With the reference's weights our module gives the reference's output, with running and with batch statistics."""
    case = CASES[name]
    weights = {key.removeprefix(f"{name}/weights/"): TENSORS[key] for key in TENSORS if key.startswith(f"{name}/weights/")}
    module = get_mechanism(case["mechanism"]).build(case["channels"], **case["arguments"])
    module.load_state_dict(weights, strict=True)
    expected = TENSORS.get(f"{name}/{mode}", TENSORS[f"{name}/eval"])
    with torch.no_grad():
        agree(module.train(mode == "train")(TENSORS[f"{name}/input"]), expected)


@pytest.mark.parametrize("name", LIVE)
def test_output_equals_timm(name, timm_layers):
    """With timm's weights our module gives the output of timm's."""
    build, arguments, prefixes = LIVE[name]
    theirs = randomised(build(timm_layers))
    ours = get_mechanism(name).build(CHANNELS, **arguments)
    weights = {our_name(key, prefixes): value for key, value in theirs.state_dict().items()}
    if name == "cbam":
        # timm stacks [mean, max], we [max, mean]
        weights["spatial.conv.weight"] = weights["spatial.conv.weight"].flip(1)
    if name == "gc":
        # timm's 1e-6 is not the authors'
        theirs.mlp_add.norm.eps = 1e-5
    if name == "mhsa":
        # timm's table ends at the map's width, ours reaches as far as its height
        weights["column_embedding"] = F.pad(weights["column_embedding"], (0, 0, 3, 3), value=float("nan"))
    ours.load_state_dict(weights, strict=True)
    agree_in_both_modes(ours, theirs)


@pytest.mark.parametrize("extent", [0, 2, 4, 8])
def test_gather_excite_equals_timm(extent, timm_layers):
    """The gather-excite without parameters gathers over timm's windows, for every extent."""
    theirs = timm_layers.GatherExcite(CHANNELS, extent=extent, use_mlp=False)
    name, window = ("ge", 2 * extent - 1) if extent else ("ge_global", None)
    ours = get_mechanism(name).build(CHANNELS, kernel_size=window)
    agree_in_both_modes(ours, theirs)


@pytest.mark.parametrize("channels", [8, 16, 48, 64, 100, 256, 512, 2048])
def test_adaptive_kernel_size_equals_timm(channels, timm_layers):
    """ECA's adaptive kernel is as wide as timm's, from 8 channels up, where timm's floor of 3 changes nothing."""
    theirs = timm_layers.EcaModule(channels).conv.kernel_size
    assert get_mechanism("eca").build(channels).conv.kernel_size == theirs


def test_squeeze_excitation_equals_torchvision(torchvision_ops):
    """With torchvision's weights ours gives the output of torchvision's squeeze-and-excitation."""
    theirs = randomised(torchvision_ops.SqueezeExcitation(CHANNELS, 4))
    ours = get_mechanism("se").build(CHANNELS, reduction=4, bias=True)
    ours.load_state_dict(theirs.state_dict(), strict=True)
    agree_in_both_modes(ours, theirs)
