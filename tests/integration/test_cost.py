"""Cost: the table equals the full count, and no operator is free by accident."""

import random
import time

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from attn_nas.attention.catalog import get_mechanism, mechanism_names
from attn_nas.cost import CostTable, count_cost
from attn_nas.cost.count import count_module
from attn_nas.errors import CostError, SpaceError
from attn_nas.models.build import build_model
from attn_nas.space.genotype import Genotype
from attn_nas.space.task import Task
from attn_nas.space.trunks import Trunk
from attn_nas.testing import legal_placements


def _random_genotype(trunk, rng):
    placements = [
        rng.choice([None, *legal_placements(get_mechanism(rng.choice(mechanism_names())), site)]) for site in trunk.sites
    ]
    return Genotype.of_sites(trunk, placements)


@pytest.mark.parametrize(
    ("trunk", "task"),
    [
        (Trunk("cifar_resnet", 20, 16), Task(3, 32, 32, 10)),
        (Trunk("cifar_resnet", 8, 12), Task(1, 9, 7, 3)),
        (Trunk("resnet", 18, 16), Task(3, 70, 50, 10)),
        (Trunk("resnet", 50, 8), Task(3, 64, 64, 100)),
        (Trunk("resnext", 50, 16), Task(3, 64, 48, 100)),
        (Trunk("mobilenet_v2", 53, 8), Task(3, 65, 71, 10)),
        (Trunk("mobilenet_v3_large", 48, 8), Task(3, 66, 90, 10)),
        (Trunk("mobilenet_v3_large_bare", 48, 8), Task(3, 64, 64, 10)),
        (Trunk("convnext", 59, 8), Task(3, 70, 99, 10)),
    ],
    ids=str,
)
def test_the_table_equals_the_full_count(trunk, task):
    """Trunk plus one term per site is what counting the whole network gives, to the FLOP, at odd sizes too."""
    table, rng = CostTable(trunk, task), random.Random(0)
    for _ in range(2):
        genotype = _random_genotype(trunk, rng)
        model = build_model(genotype, task.num_classes, task.channels)
        assert table.cost(genotype) == count_cost(model, task)


def test_a_known_site_is_looked_up_in_no_time():
    """The second cost of a 20-layer candidate takes well under a millisecond."""
    trunk, rng = Trunk("cifar_resnet", 20, 16), random.Random(1)
    table, genotype = CostTable(trunk, Task(3, 32, 32, 10)), _random_genotype(trunk, rng)
    table.cost(genotype)
    start = time.perf_counter()
    for _ in range(100):
        table.cost(genotype)
    assert (time.perf_counter() - start) / 100 < 1e-3


def test_attention_products_are_counted():
    """Scaled dot-product attention, which fvcore counts as nothing, costs its matrix products, scaling and softmax."""

    class SelfAttention(nn.Module):
        def forward(self, x):
            return F.scaled_dot_product_attention(x, x, x)

    cost = count_module(SelfAttention(), (2, 10, 8))
    assert cost.flops == 2 * 10 * 10 * (8 + 8 + 4)
    assert cost.fvcore_default == 0


def test_the_spelling_of_global_pooling_does_not_change_the_complete_count():
    """A mean and an adaptive pool cost the same, though fvcore alone sees only the second."""

    class Mean(nn.Module):
        def forward(self, x):
            return x.mean((2, 3), keepdim=True)

    mean, pool = count_module(Mean(), (8, 6, 6)), count_module(nn.AdaptiveAvgPool2d(1), (8, 6, 6))
    assert mean.flops == pool.flops == 288
    assert (mean.fvcore_default, pool.fvcore_default) == (0, 288)


def test_an_unknown_operator_is_an_error():
    """Nothing is counted as zero in silence."""

    class Strange(nn.Module):
        def forward(self, x):
            return torch.special.entr(x)

    with pytest.raises(CostError, match="special_entr"):
        count_module(Strange(), (2, 3, 3))


def test_counting_leaves_the_model_alone():
    """Mode and batch statistics are untouched."""
    model = build_model(Genotype.bare(Trunk("cifar_resnet", 8, 8)), 10).train()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    count_cost(model, Task(3, 16, 16, 10))
    assert model.training
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())


def test_images_too_small_for_the_trunk_are_a_clear_error():
    """Said before anything is trained, with the trunk and the size."""
    with pytest.raises(SpaceError, match=r"convnext depth 59 width 8 cannot take images of 3 x 16 x 16: .*Kernel size"):
        CostTable(Trunk("convnext", 59, 8), Task(3, 16, 16, 10))


def test_a_table_is_for_one_trunk():
    """A genotype of another trunk is refused."""
    table = CostTable(Trunk("cifar_resnet", 8, 8), Task(3, 16, 16, 10))
    with pytest.raises(ValueError, match="the table is for"):
        table.cost(Genotype.bare(Trunk("cifar_resnet", 8, 16)))
