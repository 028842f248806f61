"""Sites of any network: which modules are found, what is refused, and what insertion at them and its removal keep."""

import copy
import pickle
import random

import pytest
import torch
from own_model import Net, Unit
from torch import nn
from torch.nn.utils import prune

from attn_nas import Placement, insert, remove, sites
from attn_nas.data.torchvision_import import torchvision_datasets
from attn_nas.errors import SpaceError, UsageError
from attn_nas.models.insertion.finding import pattern_matches

torchvision_datasets()
import timm  # noqa: E402
from torchvision import models  # noqa: E402

SHAPE = (3, 32, 32)


def images(number=2, shape=SHAPE):
    return torch.linspace(-2, 2, number * 3 * shape[1] * shape[2]).sin().reshape(number, *shape)


def outputs(model, x):
    with torch.no_grad():
        return model.eval()(x)


class Repeating(nn.Module):
    """A unit that runs three times, and one that runs once."""

    def __init__(self, channels=8):
        super().__init__()
        self.first, self.shared = Unit(3, channels), Unit(channels, channels)

    def forward(self, x):
        x = self.first(x)
        for _ in range(3):
            x = self.shared(x)
        return x.mean((2, 3))


class Choosing(nn.Module):
    """Runs its second block in training alone."""

    def __init__(self):
        super().__init__()
        self.one, self.two = Unit(3, 8), Unit(8, 8)

    def forward(self, x):
        x = self.one(x)
        return self.two(x) if self.training else x


class Brightness(Choosing):
    def forward(self, x):
        y = self.one(x)
        return self.two(y) if bool(x.abs().mean() > 0.1) else y


def small_timm():
    kinds = {"channels": (8, 8, 8, 8), "num_classes": 3, "zero_init_last": False}
    return timm.models.resnet.ResNet(timm.models.resnet.BasicBlock, (1, 1, 1, 2), **kinds)


def small_dense():
    return models.DenseNet(growth_rate=4, block_config=(2, 2, 2, 2), num_init_features=8, num_classes=3)


class Odd(nn.Module):
    """Blocks whose outputs are no maps: a tuple, and tokens."""

    class Pair(Unit):
        """A unit that gives two maps."""

        def forward(self, x):
            y = super().forward(x)
            return y, y

    class Tokens(Unit):
        """A unit that gives tokens."""

        def forward(self, x):
            return super().forward(x).flatten(2).transpose(1, 2)

    def __init__(self):
        super().__init__()
        self.pair, self.tokens = Odd.Pair(3, 8), Odd.Tokens(8, 8)

    def forward(self, x):
        return self.tokens(self.pair(x)[0]).mean(1)


class Own(nn.Sequential):
    """A sequence that a user has derived."""


def sequences():
    def block(before, after):
        return Own(nn.Conv2d(before, after, 3, 1, 1), nn.ReLU(), nn.Conv2d(after, after, 1))

    return nn.Sequential(block(3, 8), block(8, 8), nn.AdaptiveAvgPool2d(1), nn.Flatten())


def test_repeated_blocks_are_found_in_the_order_in_which_they_run():
    """Names, classes, shapes and positions; modules of no known family have the points before and after them."""
    found = sites(Net(), SHAPE)
    assert [(site.name, site.kind, site.shape) for site in found] == [
        ("body.0", "Unit", (8, 32, 32)),
        ("body.1", "Unit", (16, 16, 16)),
        ("body.2", "Unit", (32, 8, 8)),
    ]
    assert [site.positions for site in found] == [("pre", "post", "stage_end"), ("pre", "post", "stage_end"), ("pre", "post")]
    assert [site.block.channels_at("pre") for site in found] == [8, 8, 16]


def test_known_blocks_have_all_positions_and_others_before_and_after():
    """Timm's residual blocks as our own; VGG, which has no blocks, at its activations; DenseNet at its dense blocks."""
    (*_, block) = sites(small_timm(), (3, 64, 64))
    assert (block.name, block.kind) == ("layer4.1", "BasicBlock")
    assert block.positions == ("standard", "pre", "inner", "pre_norm", "identity", "post", "replace")
    assert [site.kind for site in sites(models.vgg.make_layers([4, "M", 4, "M"]), SHAPE)] == ["ReLU"] * 2
    assert [site.name for site in sites(small_dense(), SHAPE)] == [f"features.denseblock{number}" for number in (1, 2, 3, 4)]


@pytest.mark.parametrize(
    ("pattern", "name", "fits"),
    [
        ("decoder.blocks.*", "decoder.blocks.0", True),
        ("decoder.blocks.*", "decoder.blocks.0.conv1", False),
        ("**.conv1", "decoder.blocks.0.conv1", True),
        ("**.conv1", "conv1", True),
        ("decoder.**", "decoder.blocks.0.conv1", True),
        ("layer*.1", "layer4.1", True),
        ("layer4.1", "layer4x1", False),
    ],
)
def test_a_pattern_takes_parts_of_names(pattern, name, fits):
    """One star is one part of a name, or a piece of it; two are any number of parts."""
    assert pattern_matches(pattern, name) is fits


def test_finding_sites_changes_nothing():
    """Modes of single modules, statistics, hooks, and the random generators are as before."""
    model = Net().train()
    model.body[1].eval()
    before = copy.deepcopy(model.state_dict())
    python, state = random.getstate(), torch.get_rng_state()
    sites(model, images(1))
    assert [module.training for module in model.body] == [True, False, True]
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert (random.getstate() == python, torch.equal(torch.get_rng_state(), state)) == (True, True)
    assert not any(module._forward_hooks for module in model.modules())


def test_a_module_that_runs_several_times_is_a_site_if_its_channels_agree():
    """The attention runs as often; the parameters are there once."""
    model = Repeating()
    _, shared = sites(model, SHAPE)
    assert (shared.name, shared.block.calls) == ("shared", 3)
    insert(model, {shared: "se"}, identity_init=True)
    calls = []
    model.shared.attention_post.register_forward_hook(lambda *_: calls.append(1))
    model(images())
    assert len(calls) == 3


def _pruned():
    model = Net()
    prune.l1_unstructured(model.body[0].mix, "weight", 0.5)
    return model


REFUSED = {
    "module": (lambda: "net", SHAPE, None, r"model is a str: give a torch module first"),
    "half": (lambda: Net().half(), SHAPE, None, r"stem\.weight is in half precision \(float16\): call model\.float\(\)"),
    "meta": (lambda: Net().to("meta"), SHAPE, None, r"stem\.weight is on the meta device .*: make the model on the CPU"),
    "example": (
        Net,
        (1, 32, 32),
        None,
        r"Net cannot run on the example of shape \(1, 32, 32\): RuntimeError: .*Give an example",
    ),
    "values": (
        Brightness,
        SHAPE,
        None,
        r"Brightness depends on the values of its input: two runs 0 times on the example and 1",
    ),
    "tuple": (Odd, SHAPE, ["pair"], r"'pair' fits no module whose output is a map \(B, C, H, W\): pair gives a tuple"),
    "tokens": (Odd, SHAPE, ["tokens"], r"tokens gives a tensor of shape \(1, 1024, 8\)"),
    "no maps": (
        lambda: nn.Sequential(nn.Flatten(), nn.Linear(3072, 2)),
        SHAPE,
        None,
        r"Sequential has no repeated blocks .*: at",
    ),
    "name": (Net, SHAPE, ["bady.*"], r"no module has a name that fits 'bady\.\*'"),
    "text": (Net, SHAPE, "body.*", r"sites = 'body\.\*': give a list of patterns"),
    "unused": (Choosing, SHAPE, ["two"], r"two does not run in evaluation mode"),
    "parallel": (lambda: nn.DataParallel(Net()), SHAPE, None, r"the model is a DataParallel, which has fixed its parameters"),
    "pruned": (_pruned, SHAPE, None, r"body\.0\.mix is pruned: make it permanent"),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_what_cannot_have_sites_is_refused_by_name(kind):
    """One message with the place and the remedy."""
    make, example, patterns, message = REFUSED[kind]
    with pytest.raises(UsageError, match=message):
        sites(make(), example, sites=patterns)


def test_maps_with_channels_last_are_not_taken_for_maps():
    """A Swin transformer gives (B, H, W, C), and a vision transformer tokens: both are refused."""
    swin = models.SwinTransformer([4, 4], 24, [2, 2], [2, 2], [4, 4])
    vit = models.VisionTransformer(image_size=32, patch_size=8, num_layers=2, num_heads=2, hidden_dim=16, mlp_dim=32)
    for model in (swin, vit):
        with pytest.raises(UsageError, match=r"has no repeated blocks whose output is a map \(B, C, H, W\)"):
            sites(model, SHAPE)


NETWORKS = {
    "own": (Net, "se"),
    "sequences": (sequences, "eca"),
    "timm": (small_timm, "se"),
    "dictionary": (small_dense, "se"),
    "activations": (lambda: nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(inplace=True), nn.AdaptiveAvgPool2d(1)), "cbam"),
    "shared": (Repeating, "se"),
}


@pytest.mark.parametrize("kind", NETWORKS)
def test_insertion_at_sites_keeps_all_and_is_undone_to_the_bit(kind):
    """Identity at first, copies and pickles work, and afterwards classes, names, values and hooks are those of before."""
    make, mechanism = NETWORKS[kind]
    model, x = make(), images()
    expected, text = outputs(model, x), repr(model)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    classes = [type(module) for module in model.modules()]
    insert(model, dict.fromkeys(sites(model, SHAPE), mechanism), identity_init=True)
    assert torch.equal(outputs(model, x), expected) or mechanism == "cbam"
    attended = model.state_dict()
    assert all(torch.equal(attended[name], value) for name, value in before.items())
    assert len(attended) > len(before)
    assert all(isinstance(module, kept) for module, kept in zip(_bare_modules(model), classes, strict=True))
    copies = [model, copy.deepcopy(model)]
    if kind != "sequences":  # a class of a test's module has another name in a pickle
        copies.append(pickle.loads(pickle.dumps(model)))
    for each in copies:
        each.load_state_dict(attended)
        assert torch.equal(outputs(each, x), outputs(model, x)) or each is model
    for each in copies:
        assert remove(each) is each
        assert repr(each) == text
        assert list(each.state_dict()) == list(before)
        assert [type(module) for module in each.modules()] == classes
        assert torch.equal(outputs(each, x), expected)
        assert not any("attention" in name for module in each.modules() for name in vars(module))


def _bare_modules(model):
    return [module for name, module in model.named_modules() if "attention" not in name and not _in_slot(name)]


def _in_slot(name):
    return any(part in ("pre", "inner", "pre_norm", "standard", "identity", "post", "stage_end") for part in name.split("."))


def test_placements_are_given_by_site_by_pattern_or_by_name():
    """A mechanism by its name takes its paper's hyperparameters, and standard or else post."""
    model = insert(small_timm(), {"layer4.*": "se", "layer3.0": Placement("eca", "pre", kernel_size=3)})
    names = {name for name in model.state_dict() if any(slot in name for slot in (".standard.", ".pre."))}
    assert names == {
        *(f"layer4.{block}.standard.{layer}.weight" for block in (0, 1) for layer in ("fc1", "fc2")),
        "layer3.0.pre.conv.weight",
    }
    model = insert(Net(), {"body.1": {"mechanism": "se", "reduction": 2}}, example=SHAPE)
    assert model.state_dict()["body.1.attention_post.fc1.weight"].shape[0] == 8


def test_placements_that_do_not_fit_are_refused():
    """An unknown module without an example, two placements, attention that is there, a position that the site lacks."""
    model = Net()
    with pytest.raises(UsageError, match=r"no block of a known family has a name that fits 'body\.1': give an example"):
        insert(model, {"body.1": "se"})
    with pytest.raises(UsageError, match=r"body\.1 has two placements: leave one out"):
        insert(model, {"body.1": "se", "body.*": "eca"}, example=SHAPE)
    with pytest.raises(SpaceError, match=r"body\.0: this site has no position 'inner': choose from pre, post"):
        insert(model, {"body.0": Placement("se", "inner", reduction=4)}, example=SHAPE)
    with pytest.raises(SpaceError, match="3 is no placement: give a Placement, or the name of a mechanism"):
        insert(model, {"body.0": 3}, example=SHAPE)
    found = sites(model, SHAPE)
    insert(model, {found[0]: "se"})
    with pytest.raises(UsageError, match=r"the model has attention at body\.0\.attention_post already: SqueezeExcitation"):
        insert(model, {found[0]: "se"})
    with pytest.raises(UsageError, match=r"attention was inserted at body\.0 already: call attn_nas\.remove"):
        sites(model, SHAPE)
    with pytest.raises(UsageError, match=r"the model has no module body\.0, in which a Unit was expected"):
        insert(nn.Sequential(), {found[0]: "se"})


def test_a_replaced_convolution_comes_back():
    """Removal puts it where it was, with its weights."""
    model, x = small_timm(), images()
    expected = outputs(model, x)
    with pytest.warns(UserWarning, match=r"convolutions were replaced, and their weights are lost: layer4\.1\.conv2"):
        insert(model, {"layer4.1": Placement("mhsa", "replace", groups=4)})
    assert not torch.equal(outputs(model, x), expected)
    assert torch.equal(outputs(remove(model), x), expected)


def test_methods_that_take_the_place_of_forward_pass_the_attention_too():
    """Where a host puts another method in the place of forward, as when it fuses layers, the attention stays in the path."""

    class Fusing(Unit):
        def forward_fuse(self, x):
            return Unit.forward(self, x)

    model = nn.Sequential(Fusing(3, 8), Fusing(8, 8))
    insert(model, {"*": "se"}, example=SHAPE)
    expected = outputs(model, images())
    for block in model:
        block.forward = block.forward_fuse
    assert torch.equal(outputs(model, images()), expected)


def test_timm_models_stay_timm_models():
    """Feature extraction, a new classifier, features before the head and a copy of averaged weights work with attention."""
    x = images(shape=(3, 64, 64))
    model = small_timm()
    insert(model, {"layer*.*": "se"})
    assert model.forward_features(x).shape == (2, 8, 2, 2)
    model.reset_classifier(7)
    assert outputs(model, x).shape == (2, 7)
    average = timm.utils.ModelEmaV2(model, decay=0.5)
    average.update(model)
    assert torch.equal(outputs(average.module, x), outputs(model, x))
    features = timm.models.FeatureListNet(small_timm())
    shapes = [each.shape for each in outputs(features, x)]
    insert(features, dict.fromkeys(sites(features, (3, 64, 64)), "eca"))
    assert [each.shape for each in outputs(features, x)] == shapes
    assert "layer1.0.standard.conv.weight" in features.state_dict()


def test_networks_with_attention_are_exported_and_trained_in_parallel():
    """torch.export gives the same output, and DistributedDataParallel the same gradients on one process."""
    model = Net()
    insert(model, dict.fromkeys(sites(model, SHAPE), "se"))
    exported = torch.export.export(model.eval(), (images(),)).module()
    assert torch.equal(exported(images()), model(images()))
    single = copy.deepcopy(model).train()
    single(images()).sum().backward()
    torch.distributed.init_process_group("gloo", store=torch.distributed.HashStore(), rank=0, world_size=1)
    try:
        parallel = nn.parallel.DistributedDataParallel(model.train())
        parallel(images()).sum().backward()
    finally:
        torch.distributed.destroy_process_group()
    assert all(torch.allclose(a.grad, b.grad) for a, b in zip(model.parameters(), single.parameters(), strict=True))


def test_a_container_that_is_edited_keeps_its_attention_in_its_place():
    """Items are numbered anew without the slots."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Sequential(nn.Conv2d(3, 8, 3), nn.Conv2d(8, 8, 3), nn.Conv2d(8, 8, 3)))
    insert(model, {"0": Placement("eca", "pre", kernel_size=3)}, example=SHAPE)
    block = model[0]
    del block[-1]
    block.insert(0, nn.Identity())
    assert [type(each).__name__ for each in block] == ["Identity", "Conv2d", "Conv2d"]
    assert len(block) == 3
    assert "eca" in str(block).lower() or any("EfficientChannelAttention" in type(each).__name__ for each in block.modules())
    assert outputs(model, images()).shape == (2, 8, 28, 28)


def test_several_double_stars_are_one():
    assert pattern_matches("**.**", "encoder.layer4.0")
