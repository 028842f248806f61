"""What insertion keeps of a model of the user, and which models it refuses because something would be lost."""

import copy
import random
import warnings

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.utils import parametrizations, prune, weight_norm
from torch.utils.checkpoint import checkpoint

from attn_nas import insert
from attn_nas.attention.catalog import get_mechanism, mechanism_names
from attn_nas.data.torchvision_import import torchvision_datasets
from attn_nas.errors import UsageError
from attn_nas.export.source import model_source
from attn_nas.space.genotype import Genotype, Placement
from attn_nas.space.trunks import Trunk
from attn_nas.testing import legal_placements, perturbed
from attn_nas.testing.tracers import passed_tracers

torchvision_datasets()
import timm  # noqa: E402
from torchvision import models  # noqa: E402
from torchvision.models.feature_extraction import create_feature_extractor  # noqa: E402
from torchvision.models.resnet import BasicBlock  # noqa: E402

TRUNK = Trunk("cifar_resnet", 8, 16)
RESNET50 = Trunk("resnet", 50, 64)
SE = Placement("se", reduction=4)
EVERYWHERE = Genotype(TRUNK, (SE, SE, SE))


def small(block=BasicBlock, lengths=(1, 1, 1), widths=(8, 16, 32), **options):
    """Three stages of torchvision's basic block, or of another with its arguments, and a head."""
    layers, channels = [nn.Conv2d(3, widths[0], 3, padding=1)], widths[0]
    for stage, (length, width) in enumerate(zip(lengths, widths, strict=True)):
        for index in range(length):
            stride = 2 if stage and not index else 1
            down = nn.Conv2d(channels, width, 1, stride) if channels != width else None
            layers.append(block(channels, width, stride, down, **options))
            channels = width
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, 5))


def images(number=2, side=16):
    return torch.linspace(-2, 2, number * 3 * side * side).sin().reshape(number, 3, side, side)


def test_methods_of_the_blocks_own_class_stay():
    """A block that freezes its statistics in train() does so afterwards, and is still an instance of its class."""
    model = insert(small(Frozen), EVERYWHERE).train()
    assert isinstance(model[1], Frozen)
    assert not model[1].bn1.training
    assert model[1].bn2.training


def test_hooks_of_blocks_are_kept_and_never_called_by_insertion():
    """Hooks of forward and backward passes and of state dicts, of the block and of its modules, work afterwards as before."""
    model, calls = small(), []
    block = model[1]
    handle = block.register_forward_hook(lambda *_: calls.append("forward"))
    block.register_forward_pre_hook(lambda *_, **__: calls.append("pre"), with_kwargs=True)
    block.register_full_backward_hook(lambda *_: calls.append("backward"))
    block.register_state_dict_post_hook(lambda *_: calls.append("state dict"))
    block.register_load_state_dict_pre_hook(lambda *_: calls.append("load"))
    block.conv2.register_forward_hook(lambda *_: calls.append("conv2"))
    insert(model, EVERYWHERE)
    assert calls == []
    assert model[1] is block
    model(images()).sum().backward()
    model.load_state_dict(model.state_dict())
    assert calls == ["pre", "conv2", "forward", "backward", "state dict", "load"]
    calls.clear()
    handle.remove()
    model(images())
    assert calls == ["pre", "conv2"]


def test_a_hook_of_what_is_replaced_goes_to_the_mechanism():
    """A hook on an empty slot, or on a convolution that a mechanism substitutes, sees the mechanism's output."""
    model, calls = insert(small(), Genotype(TRUNK, (SE, None, None))), []
    model[1].inner.register_forward_hook(lambda module, *_: calls.append(type(module).__name__))
    model[2].conv2.register_forward_hook(lambda module, *_: calls.append(type(module).__name__))
    eca, sk = Placement("eca", "inner", kernel_size=3), Placement("sk", "replace", reduction=4)
    with pytest.warns(UserWarning, match="their weights are lost"):
        insert(model, Genotype(TRUNK, (eca, sk, None)))
    model(images())
    assert calls == ["EfficientChannelAttention", "SelectiveKernel"]


def test_insertion_leaves_no_trace():
    """Statistics, gradients, random generators, modes and tensors that a hook has kept are as before; not a number is drawn."""
    model = perturbed(small()).train()
    model[1].bn1.eval()
    model[2].conv1.weight.requires_grad_(False)
    model[1].register_forward_hook(lambda module, _, output: setattr(module, "kept", output))
    model(images()).sum().backward()
    before, gradients = copy.deepcopy(model.state_dict()), {n: p.grad for n, p in model.named_parameters()}
    modes = {name: module.training for name, module in model.named_modules()}
    states = torch.get_rng_state(), random.getstate(), np.random.get_state()[1].tolist()
    with torch.inference_mode():
        insert(model, Genotype.bare(TRUNK))
    assert torch.equal(torch.get_rng_state(), states[0])
    assert random.getstate() == states[1]
    assert np.random.get_state()[1].tolist() == states[2]
    insert(model, Genotype(TRUNK, (Placement("simam"), Placement("simam"), None)))
    assert torch.equal(torch.get_rng_state(), states[0])
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert all(p.grad is gradients[n] for n, p in model.named_parameters())
    assert modes.items() <= {name: module.training for name, module in model.named_modules()}.items()
    assert not model[2].conv1.weight.requires_grad
    assert isinstance(model[1].kept, torch.Tensor)


class Dropout(BasicBlock):
    def forward(self, x):
        out = F.dropout(self.relu(self.bn1(self.conv1(x))), 0.5, self.training)
        return self.relu(self.bn2(self.conv2(out)) + (x if self.downsample is None else self.downsample(x)))


class RareDepth(BasicBlock):
    """Stochastic depth that draws from Python's generator, and almost never drops the branch."""

    def forward(self, x):
        shortcut = x if self.downsample is None else self.downsample(x)
        if self.training and random.random() < 1e-9:
            return self.relu(shortcut)
        return self.relu(self.bn2(self.conv2(self.relu(self.bn1(self.conv1(x))))) + shortcut)


class RareDepthOfNumpy(RareDepth):
    """The same, drawing from NumPy's generator."""

    def forward(self, x):
        if self.training and np.random.random() < 1e-9:
            return self.relu(x if self.downsample is None else self.downsample(x))
        return BasicBlock.forward(self, x)


class Scheduled(BasicBlock):
    """Dropout whose rate is 0 in the first epochs."""

    def __init__(self, *arguments):
        super().__init__(*arguments)
        self.drop_prob = 0.0
        self.momentum = 0.0

    def forward(self, x):
        return super().forward(F.dropout(x, self.drop_prob, self.training) if self.drop_prob else x)


class Checkpointed(BasicBlock):
    def forward(self, x):
        if self.training and x.requires_grad:
            return checkpoint(super().forward, x, use_reentrant=False)
        return super().forward(x)


class Frozen(BasicBlock):
    """Statistics that stay as they are in training."""

    def train(self, mode=True):
        super().train(mode)
        self.bn1.eval()
        return self


def patched():
    model = small()
    model[1].forward = model[1].forward
    return model


def with_(change):
    """A small model after ``change`` of the first convolution of its first block."""
    model = small()
    change(model[1].conv1)
    return model


class Gated(BasicBlock):
    def __init__(self, *arguments):
        super().__init__(*arguments)
        self.gate = get_mechanism("se").build(arguments[1])

    def forward(self, x):
        out = self.gate(self.bn2(self.conv2(self.relu(self.bn1(self.conv1(x))))))
        return self.relu(out + (x if self.downsample is None else self.downsample(x)))


REFUSED = {
    "dropout": (lambda: small(Dropout), r"1 has .* gives other outputs in training mode, as with dropout"),
    "stochastic depth": (lambda: small(RareDepth), r"1 has .* gives other outputs in training mode"),
    "stochastic depth by NumPy": (lambda: small(RareDepthOfNumpy), r"1 has .* gives other outputs in training mode"),
    "checkpointing": (lambda: small(Checkpointed), r"1 has .* as with checkpointing .*: checkpoint the call of the block"),
    "patched": (patched, r"1 has .* a forward method of its own on the object"),
    "parallel": (lambda: nn.DataParallel(small()), r"the model is a DataParallel, which has fixed its .* before you wrap it"),
    "inner parallel": (
        lambda: nn.Sequential(nn.DataParallel(small())),
        r"0 of the model is a DataParallel, which has fixed its parameters",
    ),
    "compiled": (lambda: torch.compile(small()), r"the model is a OptimizedModule, made by torch\.compile: insert before"),
    "scripted": (lambda: torch.jit.script(small()), r"the model is a ScriptModule, made by torch\.jit.*: insert before"),
    "graph": (lambda: torch.fx.symbolic_trace(small()), r"the model is a GraphModule, made by tracing.*: insert before"),
    "pruned": (lambda: with_(lambda c: prune.l1_unstructured(c, "weight", 0.5)), r"1\.conv1 is pruned: make it permanent by"),
    "parametrised": (lambda: with_(parametrizations.orthogonal), r"1\.conv1 is parametrised \(_Orthogonal\): call torch\.nn"),
    "weight norm": (lambda: with_(weight_norm), r"1\.conv1 has a WeightNorm: call torch\.nn\.utils\.remove_weight_norm"),
    "quantised": (
        lambda: with_(lambda c: c.__dict__.update(activation_post_process=None)),
        r"1\.conv1 is quantised, or prepared for it \(Conv2d\): insert into the float model",
    ),
    "integers": (
        lambda: with_(lambda c: setattr(c, "weight", nn.Parameter(c.weight.detach().to(torch.int8), requires_grad=False))),
        r"1\.conv1 is quantised or sharded \(weight is a Tensor of int8\)",
    ),
    "attention": (lambda: small(Gated), r"1 has the modules of .*, and gate \(SqueezeExcitation\): if this is attention"),
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", REFUSED)
def test_what_would_be_lost_is_refused_with_what_to_do(kind):
    """The message names the place and the remedy, and nothing is changed."""
    make, message = REFUSED[kind]
    model = make()
    before = dict(model.named_modules())
    with pytest.raises(UsageError, match=message):
        insert(model, EVERYWHERE)
    assert dict(model.named_modules()) == before


def test_a_rate_that_is_zero_now_and_would_be_lost_is_named():
    """A schedule would raise it later; attributes that the forward method does not use are not named alone."""
    with pytest.warns(UserWarning, match=r"use 1\.drop_prob, 3\.drop_prob, without effect now"):
        insert(small(Scheduled), Genotype(TRUNK, (SE, None, SE)))


def test_dropout_by_a_hook_is_kept():
    """The remedy in the message about dropout."""
    model = small()
    model[1].conv2.register_forward_pre_hook(lambda module, inputs: F.dropout(inputs[0], 0.5, module.training))
    insert(model, EVERYWHERE).train()
    x = model[0](images())
    assert not torch.equal(model[1](x), model[1](x))


def test_an_identity_in_the_place_of_attention_is_enough():
    """As the error says."""
    model = small(Gated)
    for block in model[1:4]:
        block.gate = nn.Identity()
    assert "1.standard.fc1.weight" in insert(model, EVERYWHERE).state_dict()


class NoWeights(nn.Module):
    """A gate of timm's blocks, which is given the number of channels."""

    def __init__(self, *_, **__):
        super().__init__()

    def forward(self, x):
        return x * x.mean((2, 3), keepdim=True).sigmoid()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: timm.create_model("skresnet18"), r"and has attention already, layer1\.0 \(SelectiveKernelBasic\)"),
        (lambda: timm.create_model("resnest14d"), r"and has attention already, layer1\.0\.conv2 \(SplitAttn\)"),
        (lambda: timm.create_model("resnet18", block_args={"attn_layer": "eca"}), r"and se \(EcaModule\): if this is"),
        (
            lambda: timm.create_model("resnet18", block_args={"attn_layer": NoWeights}),
            r"and se \(NoWeights\): if this is attention",
        ),
    ],
    ids=["block", "middle convolution", "gate", "gate without parameters"],
)
def test_attention_that_a_model_of_timm_has_is_named(make, message):
    """Wherever it is in the block."""
    with torch.device("meta"):
        model = make()
    with pytest.raises(UsageError, match=message):
        insert(model, Genotype(Trunk("resnet", 18, 64), (SE,) * 8))


class Function(nn.Module):
    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, x):
        return self.function(x)


class CifarBlock(nn.Module):
    """The blocks of most ResNets for CIFAR: ``shortcut`` is an empty sequence, a projection, or a function (option A)."""

    def __init__(self, inside, outside, stride, option):
        super().__init__()
        self.conv1 = nn.Conv2d(inside, outside, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(outside)
        self.conv2 = nn.Conv2d(outside, outside, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(outside)
        self.shortcut = nn.Sequential()
        if stride > 1:
            more = (outside - inside) // 2
            padded = Function(lambda x: F.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, more, more)))
            project = nn.Sequential(nn.Conv2d(inside, outside, 1, stride, bias=False), nn.BatchNorm2d(outside))
            self.shortcut = padded if option == "A" else project

    def forward(self, x):
        out = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
        out += self.shortcut(x)
        return F.relu(out)


@pytest.mark.parametrize("option", ["A", "B"])
def test_resnets_for_cifar_with_functional_relu_are_known(option):
    """Gates that start as the identity give the model's logits to the bit, at every position."""
    model = perturbed(small(lambda a, b, stride, _: CifarBlock(a, b, stride, option))).eval()
    for position in ("standard", "pre", "inner", "pre_norm", "identity", "post"):
        gate = Placement("se", position, reduction=4)
        attended = insert(copy.deepcopy(model), Genotype(TRUNK, (gate,) * 3), identity_init=True)
        assert len(attended.state_dict()) == len(model.state_dict()) + 6
        assert torch.equal(attended(images()), model(images()))


@pytest.mark.parametrize(
    "make",
    [
        lambda: timm.create_model("resnet50", output_stride=8),
        lambda: models.resnet50(replace_stride_with_dilation=[False, False, True]),
    ],
    ids=["timm", "torchvision"],
)
def test_dilation_may_take_the_place_of_a_stride(make):
    """As in backbones of segmentation models; a convolution that loses its dilation is named."""
    with torch.device("meta"):
        model = insert(make(), Genotype(RESNET50, (SE,) * 16))
        assert sum(name.endswith("standard.fc1.weight") for name in model.state_dict()) == 16
        replaced = Genotype(RESNET50, (*(None,) * 15, Placement("sk", "replace", reduction=4)))
        with pytest.warns(UserWarning, match=r"substitutes have no dilation as layer4\.2\.conv2 had"):
            insert(model, replaced)


def test_every_mechanism_can_be_traced_where_it_is_inserted_and_exported():
    """All in one network: by torch.fx, torchvision's feature extractor, torch.jit.trace, and scripted if the host can be."""
    names = [name for name in mechanism_names() if name != "bam"]
    trunk = Trunk("cifar_resnet", 2 + 6 * (-(-len(names) // 3)), 16)
    length = len(trunk.blocks) // 3
    placed = [next(iter(legal_placements(get_mechanism(name), site))) for name, site in zip(names, trunk.sites, strict=False)]
    genotype = Genotype(
        trunk, (*placed, *(None,) * (len(trunk.blocks) - len(placed))), (Placement("bam", "stage_end", reduction=4), None)
    )
    model = small(lengths=(length,) * 3, widths=(16, 32, 64))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        attended = perturbed(insert(model, genotype)).eval()
    assert passed_tracers(attended, images()) == ["torch.fx", "torch.jit.trace", "torch.jit.script"]
    features = create_feature_extractor(attended, {"1": "first", f"{length + 1}": "later"})(images())
    assert [features[name].shape[1] for name in ("first", "later")] == [16, 32]
    namespace = {"__name__": "exported"}
    exec(compile(model_source(genotype, 5, 3, "A network."), "exported.py", "exec"), namespace)
    exported = perturbed(namespace["build_model"]()).eval()
    with torch.no_grad():
        for parameter in exported.parameters():
            parameter.mul_(0.1)
    assert passed_tracers(exported, images()) == ["torch.fx", "torch.jit.trace"]
