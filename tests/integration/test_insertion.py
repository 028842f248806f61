"""Insertion into torchvision's and timm's models: the same network as our own trunk's, and nothing else is touched."""

import copy
import json
import re
import subprocess
import sys
import warnings
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from generators.blocks import file_of
from safetensors.torch import load_file, save_file
from torch import nn

from attn_nas import insert
from attn_nas.attention.catalog import get_mechanism, mechanism_names
from attn_nas.cost import count_cost
from attn_nas.data.torchvision_import import torchvision_datasets
from attn_nas.errors import SpaceError, UsageError
from attn_nas.export.insert_source import insert_source
from attn_nas.export.source import bare_source
from attn_nas.models.build import build_model, build_trunk, get_slot
from attn_nas.models.insertion import hosts_of
from attn_nas.models.insertion.placing import find_blocks
from attn_nas.space.genotype import Genotype, Placement
from attn_nas.space.task import Task
from attn_nas.space.trunks import Trunk
from attn_nas.testing import legal_placements, perturbed, trunk_in

torchvision_datasets()
import timm  # noqa: E402
from torchvision import models  # noqa: E402
from torchvision.models.convnext import CNBlockConfig  # noqa: E402
from torchvision.models.resnet import BasicBlock, Bottleneck  # noqa: E402

RESNET18, RESNET50 = Trunk("resnet", 18, 64), Trunk("resnet", 50, 64)
CONVNEXT, MOBILE2, MOBILE3 = Trunk("convnext", 59, 96), Trunk("mobilenet_v2", 53, 32), Trunk("mobilenet_v3_large", 48, 16)
SE = Placement("se", reduction=4)


def _small_resnet():
    """Three stages of one of torchvision's basic blocks each, as in the many ResNets for small images copied from it."""

    def stage(channels, out, stride):
        return nn.Sequential(BasicBlock(channels, out, stride, nn.Conv2d(channels, out, 1, stride) if stride > 1 else None))

    stages = [stage(8, 8, 1), stage(8, 16, 2), stage(16, 32, 2)]
    return nn.Sequential(nn.Conv2d(3, 8, 3), *stages, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(32, 10))


SMALL = Trunk("cifar_resnet", 8, 16)


def _small_timm():
    return timm.models.resnet.ResNet(timm.models.resnet.BasicBlock, (2, 2, 2, 2), channels=(8, 16, 24, 32), num_classes=10)


def _everywhere(trunk, placement):
    return Genotype(trunk, (placement,) * len(trunk.blocks))


def _wherever_legal(trunk, placement):
    legal = (placement.position in block.positions for block in trunk.blocks)
    return Genotype(trunk, tuple(placement if found else None for found in legal))


def _every_position(trunk, start=0, names=("cbam", "se", "mhsa", "sk", "coord", "eca", "bam")):
    """One placement at every site, the positions and mechanisms in turn."""
    taken = []
    for number, site in enumerate(trunk.sites):
        position = site.positions[(number + start) % len(site.positions)]
        turned = [names[(number + shift) % len(names)] for shift in range(len(names))]
        legal = (placement for name in turned for placement in legal_placements(get_mechanism(name), site))
        taken.append(next((placement for placement in legal if placement.position == position), None))
    return Genotype.of_sites(trunk, taken)


def _quietly(model, genotype):
    """`insert` without the warning that convolutions were replaced."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="convolutions were replaced")
        return insert(model, genotype)


def _lived_in(model):
    """``model`` in eval mode with weights and statistics as unlike each other as a trained model's."""
    generator = torch.Generator().manual_seed(1)
    for module in perturbed(model).modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.1, generator=generator)
            module.running_var.uniform_(0.5, 1.5, generator=generator)
    return model.eval()


def _our_equal(bare, inserted, genotype):
    """Our network of ``genotype`` with the weights of ``bare``, in their order, and the mechanisms of ``inserted``."""
    with torch.device("meta"):
        trunk, ours = build_trunk(genotype.trunk, 10).state_dict(), build_model(genotype, 10, seed=0)
    theirs, names = bare.state_dict(), ours.state_dict().keys()
    assert [value.numel() for value in theirs.values()] == [value.numel() for value in trunk.values()]
    shaped = {key: value.reshape(our.shape) for (key, our), value in zip(trunk.items(), theirs.values(), strict=True)}
    ours.load_state_dict({key: value for key, value in shaped.items() if key in names}, strict=False, assign=True)
    found = find_blocks(inserted, hosts_of(genotype.trunk))
    last = {site.block.stage: site.index for site in genotype.trunk.sites if not site.at_stage_end}
    for site, placement in genotype.sites:
        if placement is not None:
            host = found[last[site.index] if site.at_stage_end else site.index].block
            slot = host.replaced if placement.position == "replace" else placement.position
            weights = host.get_submodule(slot).state_dict()
            get_slot(ours, site.slot(placement.position)).load_state_dict(weights, assign=True)
    assert not any(value.is_meta for value in ours.state_dict().values())
    return ours.eval()


def _logits(model, side=32):
    images = torch.linspace(-2, 2, 2 * 3 * side * side).sin().reshape(2, 3, side, side)
    with torch.no_grad():
        return model(images)


DOCS = Path(__file__).parents[2] / "docs"

TORCHVISION = [
    (RESNET18, "resnet18"),
    (RESNET50, "resnet50"),
    (CONVNEXT, "convnext_tiny"),
    (MOBILE2, "mobilenet_v2"),
    (MOBILE3, "mobilenet_v3_large"),
]


@pytest.mark.parametrize(("trunk", "name"), TORCHVISION, ids=str)
def test_torchvisions_model_becomes_our_network(trunk, name):
    """Mechanisms at every position: our trunk's logits to the bit, its cost, and every weight under its name as it was."""
    genotype = _every_position(trunk)
    assert {p.position for _, p in genotype.sites if p} == {position for site in trunk.sites for position in site.positions}
    bare = _lived_in(getattr(models, name)(num_classes=10))
    model = copy.deepcopy(bare)
    assert _quietly(model, genotype) is model
    perturbed(model)
    weights = bare.state_dict()
    model.load_state_dict({key: weights.get(key, value) for key, value in model.state_dict().items()})
    ours = _our_equal(bare, model, genotype)
    assert not torch.allclose(_logits(model), _logits(bare), rtol=0.01)
    assert torch.equal(_logits(model), _logits(ours))
    theirs, wanted = (count_cost(each, Task(3, 32, 32, 10)) for each in (model, ours))
    assert (theirs.flops, theirs.macs, theirs.params) == (wanted.flops, wanted.macs, wanted.params)
    replaced = [site for site, placement in genotype.sites if placement and placement.position == "replace"]
    gone = {key.rsplit(".", 1)[0] for key in bare.state_dict().keys() - model.state_dict().keys()}
    assert 0 < len(gone) <= len(replaced)


@pytest.mark.parametrize(
    ("trunk", "name"),
    [
        (RESNET18, "resnet18"),
        (RESNET50, "resnet50"),
        (CONVNEXT, "convnext_tiny"),
        (MOBILE2, "mobilenetv2_100"),
        (MOBILE3, "mobilenetv3_large_100"),
    ],
    ids=str,
)
def test_timms_model_becomes_our_network(trunk, name):
    """Mechanisms at every position: our trunk's logits within rounding."""
    genotype = _every_position(trunk, start=1)
    bare = _lived_in(timm.create_model(name, num_classes=10))
    if trunk is MOBILE3:
        for module in bare.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.eps = 1e-3
    model = _quietly(copy.deepcopy(bare), genotype)
    weights = bare.state_dict()
    assert all(torch.equal(value, weights.get(key, value)) for key, value in model.state_dict().items())
    logits = _logits(model)
    assert not torch.allclose(logits, _logits(bare), rtol=0.01)
    torch.testing.assert_close(logits, _logits(_our_equal(bare, model, genotype)), rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize(("trunk", "make"), [(SMALL, _small_resnet), (RESNET18, _small_timm)], ids=["torchvision", "timm"])
def test_neutral_mechanisms_change_nothing(trunk, make):
    """Gates that start at the identity give the model's own logits to the bit, at every gate position; so does no gate."""
    bare = _lived_in(make())
    for position in ("standard", "pre", "inner", "pre_norm", "identity", "post"):
        neutral = Placement("se", position, reduction=4, identity_init=True)
        model = insert(copy.deepcopy(bare), _everywhere(trunk, neutral))
        assert len(model.state_dict()) == len(bare.state_dict()) + 2 * len(trunk.blocks)
        assert torch.equal(_logits(model), _logits(bare))
    asked = insert(copy.deepcopy(bare), _everywhere(trunk, Placement("cbam", reduction=4, kernel_size=3)), identity_init=True)
    assert torch.equal(_logits(asked), _logits(bare))
    assert not torch.equal(_logits(insert(copy.deepcopy(bare), _everywhere(trunk, SE))), _logits(bare))
    untouched = insert(copy.deepcopy(bare), Genotype.bare(trunk))
    assert [type(module) for module in untouched.modules()] == [type(module) for module in bare.modules()]


def test_every_block_of_a_known_library_is_computed_as_before():
    """Hosts with empty slots give the model's logits to the bit, variants of the blocks included."""
    for name in ("convnextv2_atto", "convnext_atto", "resnet10t", "mobilenetv3_small_050", "mobilenetv2_035"):
        bare = _lived_in(timm.create_model(name))
        model = copy.deepcopy(bare)
        found = find_blocks(model, (*hosts_of(RESNET18), *hosts_of(CONVNEXT), *hosts_of(MOBILE2)))
        assert len(found) >= 4
        for each in found:
            each.host.take(each.block)
        assert torch.equal(_logits(model), _logits(bare)), name


def _small_convnext(**options):
    widths = (8, 16, 24, 32, None)
    setting = [CNBlockConfig(a, b, n) for a, b, n in zip(widths, widths[1:], (3, 3, 9, 3), strict=False)]
    return models.ConvNeXt(setting, num_classes=10, **options)


@pytest.mark.parametrize(
    ("trunk", "make"),
    [
        (RESNET18, lambda: timm.create_model("resnet18", drop_path_rate=1.0)),
        (CONVNEXT, lambda: _small_convnext(stochastic_depth_prob=1.0)),
    ],
    ids=["timm", "torchvision"],
)
def test_stochastic_depth_keeps_its_place(trunk, make):
    """A branch that is dropped in training takes the attention in it along."""
    model = perturbed(make()).train()
    attended = insert(copy.deepcopy(model), _everywhere(trunk, SE))
    (*_, before), (*_, after) = (find_blocks(each, hosts_of(trunk)) for each in (model, attended))
    images = torch.rand(2, before.geometry.in_channels, 8, 8)
    assert torch.equal(after.block(images), before.block(images))
    assert not torch.equal(after.block.eval()(images), before.block.eval()(images))


def test_new_modules_join_the_model():
    """Data type, mode and names are the block's; the rest of the model keeps its own modules."""
    model = models.resnet18().to(torch.bfloat16).eval()
    first = model.layer1[0]
    genotype = Genotype(RESNET18, (None, SE, *(None,) * 6), (Placement("bam", "stage_end", reduction=16), None, None))
    insert(model, genotype)
    new = [name for name, _ in model.named_modules() if re.match(r"layer1\.1\.(standard|stage_end)\.", name)]
    assert "layer1.1.standard.fc1" in new
    assert all(parameter.dtype == torch.bfloat16 for parameter in model.parameters())
    assert not any(module.training for module in model.modules())
    assert model.layer1[0] is first
    assert type(first) is BasicBlock
    assert _logits(model.float()).shape == (2, 1000)


@pytest.mark.parametrize("start", [0, 3])
def test_an_inserted_model_is_an_ordinary_model(start):
    """State dict round trip, deep copy, whole-graph compilation and torch.export."""
    genotype = _every_position(SMALL, start)
    model = perturbed(_quietly(_small_resnet(), genotype)).eval()
    again = _quietly(_small_resnet(), genotype).eval()
    again.load_state_dict(model.state_dict())
    images = torch.linspace(-2, 2, 2 * 3 * 32 * 32).sin().reshape(2, 3, 32, 32)
    compiled = torch.compile(model, backend="eager", fullgraph=True)
    exported = torch.export.export(model, (images,)).module()
    wanted = _logits(model)
    with torch.no_grad():
        for each in (again, copy.deepcopy(model), compiled, exported):
            torch.testing.assert_close(each(images), wanted)


def test_mechanisms_are_sized_by_the_model():
    """A ResNet-50 with an eighth of the inner channels of the one on which the placements were found."""
    model = models.ResNet(Bottleneck, [3, 4, 6, 3], width_per_group=8)
    insert(model, _everywhere(RESNET50, Placement("se", "inner", reduction=2)))
    assert model.layer1[0].inner.fc1.weight.shape == (4, 8, 1, 1)
    assert model.layer4[2].inner.fc1.weight.shape == (32, 64, 1, 1)


def test_a_second_genotype_can_join_the_first():
    """In blocks and at positions that are still free; the first one's modules stay."""
    model = insert(_small_resnet(), Genotype(SMALL, (SE, SE, None), (Placement("bam", "stage_end", reduction=2), None)))
    first = dict(model.named_modules())
    insert(model, Genotype(SMALL, (Placement("eca", "pre", kernel_size=3), None, SE)))
    kept = {name: module for name, module in first.items() if name != "1.0.pre"}
    assert {name: dict(model.named_modules())[name] for name in kept} == kept
    assert {"1.0.pre.conv.weight", "3.0.standard.fc1.weight"} <= model.state_dict().keys()


def test_blocks_are_found_wherever_they_are():
    """In a small ResNet that is the body of another model."""
    model = nn.ModuleDict({"body": _small_resnet(), "head": nn.Linear(10, 4)})
    insert(model, Genotype(SMALL, (None, SE, Placement("eca", "identity", kernel_size=3))))
    keys = [key for key in model.state_dict() if "standard" in key or "identity" in key]
    assert keys == ["body.2.0.standard.fc1.weight", "body.2.0.standard.fc2.weight", "body.3.0.identity.conv.weight"]


def test_replaced_convolutions_are_named():
    """Their weights are lost, and the user is told at the line that did it."""
    genotype = Genotype(RESNET18, (*(None,) * 7, Placement("sk", "replace", reduction=4)))
    with pytest.warns(UserWarning, match=r"their weights are lost: layer4\.1\.conv2$") as caught:
        insert(models.resnet18(), genotype)
    assert [warning.filename for warning in caught] == [__file__]


def test_genotypes_are_read_from_exports(tmp_path):
    """Plain data, a config.json, the folder it is in; and what is neither."""
    genotype = _everywhere(SMALL, SE)
    (tmp_path / "config.json").write_text(json.dumps({"key": genotype.key, "genotype": genotype.to_dict()}))
    for given in (genotype, genotype.to_dict(), tmp_path, str(tmp_path / "config.json")):
        assert "3.0.standard.fc1.weight" in insert(_small_resnet(), given).state_dict()
    with pytest.raises(UsageError, match=r"cannot read .*absent: No such file.*: give an exported folder"):
        insert(_small_resnet(), tmp_path / "absent")
    (tmp_path / "broken.json").write_text("{")
    with pytest.raises(SpaceError, match=r"broken\.json is not JSON"):
        insert(_small_resnet(), tmp_path / "broken.json")
    with pytest.raises(UsageError, match="model is a Genotype: give a torch module first, then a genotype or placements"):
        insert(genotype, _small_resnet())


class Preactivated(BasicBlock):
    """The modules of torchvision's block in another order."""

    def forward(self, x):
        return x + self.conv2(self.relu(self.bn2(self.conv1(self.relu(self.bn1(x))))))


class Misfit(BasicBlock):
    """The modules of torchvision's block, of sizes that do not fit in its order."""

    def __init__(self, channels):
        super().__init__(channels, channels)
        self.bn1 = nn.BatchNorm2d(3 * channels)

    def forward(self, x):
        return x


def _undivided():
    model = models.resnet18()
    model.layer4[0].conv1.stride = model.layer4[0].downsample[0].stride = (1, 1)
    return model


def _with_se_somewhere():
    return insert(models.resnet18(), Genotype(RESNET18, (*(None,) * 5, SE, None, None)))


REFUSED = [
    (
        models.squeezenet1_1,
        RESNET18,
        SE,
        r"SqueezeNet has no block of a supported kind: supported are those of torchvision's ResNet \(Basic",
    ),
    (
        models.resnet18,
        RESNET50,
        SE,
        r"the model has 8 blocks; resnet depth 50 width 64.* has 16 \(stages of 3, 4, 6, 3",
    ),
    (
        models.resnet34,
        RESNET50,
        SE,
        r"block 0 \(layer1\.0\) has 2 layers from 64 to 64 .* it has 3 layers from 64 to 25",
    ),
    (_undivided, RESNET18, SE, r"block 6 \(layer4\.0\) has 2 layers .* at stride 1 .* it has 2 layers .* at stride 2"),
    (_with_se_somewhere, RESNET18, SE, r"attention at layer3\.1\.standard already: SqueezeExcitation"),
    (
        lambda: timm.create_model("seresnet18"),
        RESNET18,
        SE,
        r"layer1\.0 has the modules of timm's ResNet \(BasicBlock\), and se \(SEModule\): .* put an nn\.Identity",
    ),
    (
        models.mobilenet_v3_large,
        Trunk("mobilenet_v3_large_bare", 48, 16),
        SE,
        r"block 3 \(features\.4\) has 5 layers .*features\.4\.block\.2 \(SqueezeExcitation\): put an nn\.Identity",
    ),
    (
        models.mobilenet_v2,
        Trunk("mobilenet_v2", 53, 8),
        Placement("se", "post", reduction=4),
        r"features\.1 of the model has no shortcut, and therefore no position post",
    ),
    (
        lambda: models.resnet18(num_classes=2),
        Trunk("resnet", 18, 48),
        Placement("sge", groups=48),
        r"layer1\.0\.standard: groups = 48 with channels = 64",
    ),
    (
        lambda: nn.Sequential(Preactivated(8, 8)),
        RESNET18,
        SE,
        r"0 has the modules of torchvision's .*, but gives other outputs: its forward method",
    ),
    (lambda: nn.Sequential(Misfit(8)), RESNET18, SE, r"0 has the modules of torchvision's .*, but cannot be run like it"),
]


@pytest.mark.parametrize(("make", "trunk", "placement", "message"), REFUSED, ids=range(len(REFUSED)))
def test_what_does_not_fit_is_refused_and_left_alone(make, trunk, placement, message):
    """The message says what the model has; not one module is another afterwards."""
    with torch.device("cpu" if message.startswith("0 has") else "meta"):
        model = make()
    before = dict(model.named_modules())
    with pytest.raises(UsageError, match=message):
        insert(model, _wherever_legal(trunk, placement))
    assert dict(model.named_modules()) == before


def test_own_gates_can_be_taken_out_first():
    """As the error says: then placements of the bare MobileNetV3 fit torchvision's and timm's."""
    trunk = Trunk("mobilenet_v3_large_bare", 48, 16)
    theirs, timms = models.mobilenet_v3_large(), timm.create_model("mobilenetv3_large_100")
    for block in theirs.features:
        if len(getattr(block, "block", ())) == 4:
            block.block[2] = nn.Identity()
    for module in timms.modules():
        if hasattr(module, "se"):
            module.se = nn.Identity()
    for model in (theirs, timms):
        insert(model, _everywhere(trunk, Placement("eca", "inner", kernel_size=3)))
        assert sum(name.endswith("inner.conv.weight") for name in model.state_dict()) == 15


SOURCES = [
    (Trunk("resnet", 18, 8), models.resnet18),
    (Trunk("resnet", 50, 8), lambda: models.ResNet(Bottleneck, [3, 4, 6, 3], width_per_group=16)),
    (Trunk("resnext", 50, 8), None),
    (Trunk("mobilenet_v2", 53, 8), lambda: models.mobilenet_v2(width_mult=0.25)),
    (Trunk("mobilenet_v3_large", 48, 8), None),
    (Trunk("mobilenet_v3_large_bare", 48, 8), None),
    (Trunk("convnext", 59, 8), _small_convnext),
    (Trunk("cifar_resnet", 20, 8), None),
]


def _module(source):
    namespace = {"__name__": "exported"}
    exec(compile(source, "exported.py", "exec"), namespace)
    return SimpleNamespace(**namespace)


def _check_style(source):
    select = ["--select", "E,W,F,I,UP,B", "--line-length", "128"]
    for arguments in (["check", *select, "--quiet"], ["format", "--line-length", "128", "--check"]):
        command = [sys.executable, "-m", "ruff", *arguments, "--isolated", "-"]
        checked = subprocess.run(command, input=source, text=True, capture_output=True, check=False)
        assert checked.returncode == 0, checked.stdout


@pytest.mark.parametrize(("trunk", "make"), SOURCES, ids=[str(trunk) for trunk, _ in SOURCES])
def test_exported_insertion_does_the_same(trunk, make):
    """Into torchvision's model with equal fresh weights, and into the exported bare trunk with the network's own weights."""
    genotype = _every_position(trunk, start=2)
    source = insert_source(genotype)
    assert "attn_nas" not in source
    _check_style(source)
    exported = _module(source)
    if make:
        model = make()
        torch.manual_seed(0)
        wanted = _quietly(copy.deepcopy(model), genotype).state_dict()
        torch.manual_seed(0)
        with pytest.warns(UserWarning, match="their weights are lost") as caught:
            given = exported.insert(model).state_dict()
        assert [warning.filename for warning in caught] == [__file__]
        assert list(given) == list(wanted)
        assert all(torch.equal(value, wanted[key]) for key, value in given.items())
    ours = perturbed(build_model(genotype, 10, seed=0)).eval()
    bare = _module(bare_source(trunk, 10, 3)).build_model()
    with pytest.warns(UserWarning, match="their weights are lost"):
        exported.insert(bare).load_state_dict(ours.state_dict())
    assert torch.equal(_logits(bare.eval()), _logits(ours))


def test_every_mechanism_can_be_exported_for_insertion():
    """All in one source: it is clean, no name is defined twice, and each comes to stand where the trunk has it."""
    names = mechanism_names()
    trunk = Trunk("cifar_resnet", 2 + 6 * ((len(names) + 2) // 3), 16)
    sites = trunk.sites[: len(names)]
    taken = [next(iter(legal_placements(get_mechanism(name), site)), None) for name, site in zip(names, sites, strict=True)]
    assert [name for name, placement in zip(names, taken, strict=True) if placement is None] == ["bam"]
    blocks = (*taken, *[None] * (len(trunk.blocks) - len(taken)))
    genotype = Genotype(trunk, blocks, (Placement("bam", "stage_end", reduction=2), None))
    source = insert_source(genotype)
    _check_style(source)
    defined = re.findall(r"^(?:class|def) (\w+)", source, re.MULTILINE)
    assert len(defined) == len(set(defined))
    with pytest.warns(UserWarning, match="their weights are lost"):
        model = _module(source).insert(build_trunk(trunk, 10))
    assert list(model.state_dict()) == list(build_model(genotype, 10).state_dict())


def test_a_bare_genotype_can_be_exported_too():
    """It inserts nothing, and says so."""
    source = insert_source(Genotype.bare(SMALL))
    _check_style(source)
    model = _small_resnet()
    before = dict(model.named_modules())
    assert dict(_module(source).insert(model).named_modules()) == before


ALONE = """
import sys
sys.modules["attn_nas"] = None
sys.path.insert(0, sys.argv[1])
import torch
from safetensors.torch import load_file
from bare import build_model
from insert import insert
from safetensors.torch import load_file, save_file
torch.set_num_threads(1)
model = insert(build_model())
model.load_state_dict(load_file(sys.argv[1] + "/model.safetensors"))
images = torch.linspace(-2, 2, 2 * 3 * 16 * 16).sin().reshape(2, 3, 16, 16)
save_file({"logits": model.eval()(images).detach()}, sys.argv[1] + "/logits.safetensors")
try:
    insert(model)
except ValueError as error:
    print(error)
"""


def test_exported_insertion_works_where_the_package_does_not_exist(tmp_path):
    """In an isolated interpreter: the trained network's logits to the bit, and a second insertion is refused."""
    trunk = Trunk("cifar_resnet", 8, 8)
    bam = Placement("bam", "stage_end", reduction=2)
    genotype = Genotype(trunk, (Placement("cbam", "pre", reduction=2, kernel_size=3), None, SE), (None, bam))
    model = perturbed(build_model(genotype, 10, seed=0)).eval()
    (tmp_path / "insert.py").write_text(insert_source(genotype))
    (tmp_path / "bare.py").write_text(bare_source(trunk, 10, 3))
    save_file(model.state_dict(), tmp_path / "model.safetensors")
    done = subprocess.run([sys.executable, "-I", "-c", ALONE, str(tmp_path)], capture_output=True, text=True, check=True)
    assert torch.equal(load_file(tmp_path / "logits.safetensors")["logits"], _logits(model, side=16))
    assert done.stdout == "the model has attention at blocks.0.pre already: CBAM\n"


def test_trunks_of_plugins_can_be_inserted_into(tmp_path):
    """The documentation's trunk, by `insert` and by the exported source: our network's logits to the bit."""
    code = file_of(DOCS / "extending.md", "my_trunk.py")
    (tmp_path / "hosted_trunk.py").write_text(code.replace('"plain_net"', '"hosted_net"'))
    trunk = trunk_in(tmp_path / "hosted_trunk.py", "hosted_net", depth=1, width=8)
    genotype = Genotype(trunk, (Placement("se", "pre", reduction=2), SE), (Placement("bam", "stage_end", reduction=2),))
    ours = perturbed(build_model(genotype, 10, seed=0)).eval()
    for put in (lambda model: insert(model, genotype), _module(insert_source(genotype)).insert):
        model = put(build_trunk(trunk, 10)).eval()
        model.load_state_dict(ours.state_dict())
        assert torch.equal(_logits(model), _logits(ours))


def test_the_tutorial_fine_tunes(tmp_path, monkeypatch):
    """The documented file as it stands, but for the download: old and new parameters learn, and the result can be loaded."""
    code = file_of(DOCS / "winner.md", "fine_tune.py")
    genotype = _everywhere(RESNET50, SE)
    (tmp_path / "runs/mine/export/51626d17d50a").mkdir(parents=True)
    (tmp_path / "runs/mine/export/51626d17d50a/config.json").write_text(json.dumps({"genotype": genotype.to_dict()}))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(models, "resnet50", lambda weights=None: models.ResNet(Bottleneck, [3, 4, 6, 3], width_per_group=8))
    tutorial = _module(code.replace("epochs=10", "epochs=1"))
    tutorial.main([(torch.rand(2, 3, 32, 32), torch.tensor([1, 2]))])
    saved = load_file("attended.safetensors")
    again = tutorial.attended_resnet("runs/mine/export/51626d17d50a")
    again.load_state_dict(saved)
    assert saved["layer1.0.standard.fc2.weight"].abs().sum() > 0
