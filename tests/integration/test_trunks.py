"""Trunks: the exact integers of the literature, torchvision's parameter names, and every slot at work."""

import copy

import pytest
import torch

from attn_nas.attention.catalog import get_mechanism
from attn_nas.attention.mechanism import POSITIONS
from attn_nas.attention.zoo.cbam import CBAM
from attn_nas.attention.zoo.se import SqueezeExcitation
from attn_nas.cost import count_cost
from attn_nas.data.torchvision_import import torchvision_datasets
from attn_nas.errors import SpaceError
from attn_nas.models.build import build_model, build_site, build_trunk, fill_slot
from attn_nas.space.genotype import Genotype, Placement
from attn_nas.space.task import Task
from attn_nas.space.trunks import Trunk
from attn_nas.testing import TrunkContract, legal_placements, perturbed

CIFAR = Task(3, 32, 32, 10)


def _everywhere(trunk, placement):
    return Genotype(trunk, (placement,) * len(trunk.blocks))


def _fill(trunk, num_classes, make):
    """The trunk with ``make(channels)`` in every standard slot, for options that a genotype does not have."""
    model = build_trunk(trunk, num_classes)
    for module, block in zip(model.blocks, trunk.blocks, strict=True):
        module.standard = make(block.out_channels)
    return model


def _params(model):
    return sum(parameter.numel() for parameter in model.parameters())


@pytest.mark.parametrize(
    ("depth", "params", "mega_macs"),
    [(20, 269_722, 40.551), (32, 464_154, 68.863), (56, 853_018, 125.486), (110, 1_727_962, 252.888)],
)
def test_bare_cifar_resnets_have_the_published_size(depth, params, mega_macs):
    """Option A shortcuts, 10 classes."""
    cost = count_cost(build_trunk(Trunk("cifar_resnet", depth, 16), 10), CIFAR)
    assert (cost.params, round(cost.macs / 1e6, 3)) == (params, mega_macs)


@pytest.mark.parametrize(
    ("depth", "se", "eca", "cbam"),
    [(20, 271_738, 269_749, 272_995), (56, 859_066, 853_099, 862_837), (110, 1_740_058, 1_728_124, 1_747_600)],
)
def test_attended_cifar_resnets_have_the_published_parameters(depth, se, eca, cbam):
    """SE and CBAM at reduction 16 without a floor on the hidden width, and ECA of size 3."""
    trunk = Trunk("cifar_resnet", depth, 16)
    assert _params(_fill(trunk, 10, lambda c: SqueezeExcitation(c, reduction=16, min_hidden=1))) == se
    assert _params(build_model(_everywhere(trunk, Placement("eca", kernel_size=3)), 10)) == eca
    assert _params(_fill(trunk, 10, lambda c: CBAM(c, reduction=16, min_hidden=1))) == cbam


def test_attended_resnet20_has_the_published_cost():
    """SE at reduction 4 and GSoP of dimension 16, parameters and mega MACs."""
    trunk = Trunk("cifar_resnet", 20, 16)
    gsop = tuple(Placement("gsop", reduction=block.out_channels // 16) for block in trunk.blocks)
    se_cost = count_cost(build_model(_everywhere(trunk, Placement("se", reduction=4)), 10), CIFAR)
    gsop_cost = count_cost(build_model(Genotype(trunk, gsop), 10), CIFAR)
    assert (se_cost.params, round(se_cost.macs / 1e6, 3)) == (277_786, 40.559)
    assert (gsop_cost.params, round(gsop_cost.macs / 1e6, 3)) == (307_450, 42.990)


@pytest.mark.parametrize(("depth", "params"), [(18, 11_689_512), (34, 21_797_672), (50, 25_557_032), (101, 44_549_160)])
def test_bare_imagenet_resnets_have_the_published_parameters(depth, params):
    """1,000 classes."""
    assert _params(build_trunk(Trunk("resnet", depth, 64), 1000)) == params


@pytest.mark.parametrize(
    ("placement", "params"),
    [
        (Placement("se", reduction=16), 28_071_976),
        (Placement("se", reduction=2), 45_676_584),
        (Placement("se", reduction=4), 35_616_808),
        (Placement("se", reduction=8), 30_586_920),
        (Placement("se", reduction=32), 26_814_504),
        (Placement("se", "inner", reduction=16), 25_714_216),
        (Placement("cbam", reduction=16, kernel_size=7), 28_089_624),
        (Placement("eca", kernel_size="adaptive"), 25_557_118),
    ],
    ids=str,
)
def test_attended_resnet50_has_the_published_parameters(placement, params):
    """The tables of the SENet, CBAM and ECA papers, by exact count."""
    assert _params(build_model(_everywhere(Trunk("resnet", 50, 64), placement), 1000)) == params


@pytest.mark.parametrize(("stage", "params"), [(0, 25_581_608), (1, 25_688_104), (2, 26_343_464)])
def test_se_in_one_stage_has_the_published_parameters(stage, params):
    """Table 13 of the SENet paper."""
    trunk = Trunk("resnet", 50, 64)
    se = Placement("se", reduction=16)
    genotype = Genotype(trunk, tuple(se if block.stage == stage else None for block in trunk.blocks))
    assert _params(build_model(genotype, 1000)) == params


def test_se_and_cbam_with_biases_have_the_published_parameters():
    """The releases with biases: SE-ResNet-50, SE-ResNet-18 and CBAM-ResNet-18 and -34."""
    assert _params(_fill(Trunk("resnet", 50, 64), 1000, lambda c: SqueezeExcitation(c, bias=True))) == 28_088_024
    assert _params(_fill(Trunk("resnet", 18, 64), 1000, lambda c: SqueezeExcitation(c, bias=True))) == 11_778_592
    assert _params(_fill(Trunk("resnet", 18, 64), 1000, CBAM)) == 11_779_392
    assert _params(_fill(Trunk("resnet", 34, 64), 1000, CBAM)) == 21_960_468


@pytest.mark.parametrize(("depth", "giga_macs", "attended"), [(18, 1.8141, 1.8151), (34, 3.6638, 3.6654)])
def test_imagenet_resnets_have_the_published_macs(depth, giga_macs, attended):
    """Bare and with CBAM, at 224 pixels."""
    trunk, task = Trunk("resnet", depth, 64), Task(3, 224, 224, 1000)
    assert round(count_cost(build_trunk(trunk, 1000), task).macs / 1e9, 4) == giga_macs
    cbam = _everywhere(trunk, Placement("cbam", reduction=16, kernel_size=7))
    assert round(count_cost(build_model(cbam, 1000), task).macs / 1e9, 4) == attended


@pytest.mark.parametrize(
    ("trunk", "name", "params"),
    [
        (Trunk("resnet", 18, 64), "resnet18", 11_689_512),
        (Trunk("resnet", 34, 64), "resnet34", 21_797_672),
        (Trunk("resnet", 50, 64), "resnet50", 25_557_032),
        (Trunk("resnet", 101, 64), "resnet101", 44_549_160),
        (Trunk("resnext", 50, 64), "resnext50_32x4d", 25_028_904),
        (Trunk("mobilenet_v2", 53, 32), "mobilenet_v2", 3_504_872),
        (Trunk("mobilenet_v3_large", 48, 16), "mobilenet_v3_large", 5_483_032),
        (Trunk("convnext", 59, 96), "convnext_tiny", 28_589_128),
    ],
    ids=str,
)
def test_parameter_names_are_torchvisions(trunk, name, params):
    """A torchvision state dict loads, and gives torchvision's logits."""
    torchvision_datasets()
    from torchvision import models

    theirs = getattr(models, name)().eval()
    ours = build_trunk(trunk, 1000).eval()
    assert _params(ours) == params
    ours.load_state_dict(theirs.state_dict())
    images = torch.randn(1, 3, 65, 79)
    with torch.no_grad():
        torch.testing.assert_close(ours(images), theirs(images), rtol=1e-4, atol=1e-4)


def test_the_bare_mobilenet_takes_all_of_torchvisions_weights_but_the_gates():
    """Without its own squeeze-and-excitation, only the gates' parameters are left over."""
    torchvision_datasets()
    from torchvision import models

    theirs = models.mobilenet_v3_large().state_dict()
    found = build_trunk(Trunk("mobilenet_v3_large_bare", 48, 16), 1000).load_state_dict(theirs, strict=False)
    assert found.missing_keys == []
    assert len(found.unexpected_keys) == 8 * 4
    assert all(".fc1." in name or ".fc2." in name for name in found.unexpected_keys)


@pytest.mark.parametrize(("depth", "params", "giga_macs"), [(18, 11_712_503, 1.8192), (50, 25_915_099, None)])
def test_bam_between_the_stages_has_the_published_cost(depth, params, giga_macs):
    """Three modules behind the first three stages, as in the paper."""
    trunk = Trunk("resnet", depth, 64)
    bam = Placement("bam", "stage_end", reduction=16)
    model = build_model(Genotype(trunk, (None,) * len(trunk.blocks), (bam,) * 3), 1000)
    assert _params(model) == params
    if giga_macs:
        assert round(count_cost(model, Task(3, 224, 224, 1000)).macs / 1e9, 4) == giga_macs


@pytest.mark.parametrize(
    ("placement", "params", "mega_macs"),
    [
        (Placement("triplet", kernel_size=7), 272_422, 41.849),
        (Placement("coord", reduction=32), 278_674, 40.698),
        (Placement("simam", "pre_norm"), 269_722, 40.551),
    ],
    ids=str,
)
def test_resnet20_with_newer_mechanisms_has_the_published_cost(placement, params, mega_macs):
    """Triplet attention, coordinate attention and SimAM in every block, parameters and mega MACs."""
    cost = count_cost(build_model(_everywhere(Trunk("cifar_resnet", 20, 16), placement), 10), CIFAR)
    assert (cost.params, round(cost.macs / 1e6, 3)) == (params, mega_macs)


class TestContract(TrunkContract):
    """The public contract, for every family."""

    @pytest.fixture(autouse=True)
    def _trunk(self, each_trunk):
        torch.manual_seed(0)
        self.trunk = each_trunk


def _kinds_of_sites(trunk):
    """One site for each combination of stride, shortcut and strided replacement that the trunk has."""
    kinds = {(s.at_stage_end, s.block.stride, s.block.replace_stride, s.block.shortcut): s for s in trunk.sites}
    return list(kinds.values())


@pytest.mark.sweep(sample=2)
def test_every_legal_position_works(trunk, name):
    """Forward and backward, at stride 1 and 2, with and without shortcut; each position gives another output."""
    mechanism = get_mechanism(name)
    bare = build_trunk(trunk, 5)
    for site in _kinds_of_sites(trunk):
        by_position = {placement.position: placement for placement in legal_placements(mechanism, site)}
        assert set(by_position) == set(mechanism.positions) & set(site.positions)
        images = torch.randn(2, site.block.out_channels if site.at_stage_end else site.block.in_channels, 8, 8)
        outputs = []
        for placement in by_position.values():
            torch.manual_seed(0)
            module = build_site(placement, site)
            if not site.at_stage_end:
                block = copy.deepcopy(bare.blocks[site.index])
                fill_slot(block, site.block.slot(placement.position), module)
                module = block
            output = perturbed(module)(images)
            side = 8 if site.at_stage_end else 8 // site.block.stride
            assert output.shape == (2, site.block.out_channels, side, side)
            output.sum().backward()
            outputs.append(output.detach())
        assert all(not torch.equal(a, b) for i, a in enumerate(outputs) for b in outputs[:i])


def test_illegal_pairs_cannot_be_expressed():
    """A mechanism at a position it does not have is refused, with the choices."""
    trunk = Trunk("cifar_resnet", 8, 8)
    with pytest.raises(SpaceError, match=r"block 0: se cannot have the position 'replace': choose from standard"):
        _everywhere(trunk, Placement("se", "replace", reduction=4))
    with pytest.raises(SpaceError, match="sk cannot have the position 'standard': choose from replace"):
        _everywhere(trunk, Placement("sk", "standard", reduction=4))
    with pytest.raises(SpaceError, match="bam cannot have the position 'post': choose from stage_end"):
        _everywhere(trunk, Placement("bam", "post", reduction=4))
    with pytest.raises(SpaceError, match=r"end of stage 0: se cannot have the position 'stage_end'"):
        Genotype(trunk, (None,) * 3, (Placement("se", "stage_end", reduction=4), None))
    with pytest.raises(SpaceError, match=r"block 0: this site has no position 'stage_end'"):
        _everywhere(trunk, Placement("bam", "stage_end", reduction=4))
    with pytest.raises(SpaceError, match=r"block 1: this site has no position 'identity': choose from standard, inner"):
        _everywhere(Trunk("mobilenet_v2", 53, 8), Placement("se", "identity", reduction=4))
    assert set(POSITIONS) == {"standard", "pre", "inner", "pre_norm", "identity", "post", "replace", "stage_end"}


def test_impossible_trunks_name_the_choices():
    """Unknown family, depth or width."""
    for arguments, message in (
        (("cifar_resnt", 8, 16), "did you mean cifar_resnet"),
        (("cifar_resnet", 21, 16), r"choose from 6n \+ 2"),
        (("resnet", 20, 64), "choose from 18, 34, 50"),
        (("resnet", 18, 0), "at least 1"),
    ):
        with pytest.raises(SpaceError, match=message):
            Trunk(*arguments)


def test_equal_seeds_share_trunk_and_site_weights():
    """Two genotypes of one seed differ in their mechanisms alone, and the same site starts equal in both."""
    trunk = Trunk("cifar_resnet", 8, 16)
    se = Placement("se", reduction=4)
    one = build_model(Genotype(trunk, (se, None, None)), 10, seed=3).state_dict()
    two = build_model(Genotype(trunk, (se, Placement("cbam", reduction=4, kernel_size=3), None)), 10, seed=3).state_dict()
    assert set(one) < set(two)
    assert all(torch.equal(value, two[name]) for name, value in one.items())
    other = build_model(Genotype(trunk, (se, None, None)), 10, seed=4).state_dict()
    assert not torch.equal(other["conv1.weight"], one["conv1.weight"])


def test_building_leaves_the_global_random_state_alone():
    """With a seed given, building a model draws nothing from torch's generator."""
    before = torch.random.get_rng_state()
    build_model(Genotype.bare(Trunk("cifar_resnet", 8, 8)), 10, seed=1)
    assert torch.equal(torch.random.get_rng_state(), before)
