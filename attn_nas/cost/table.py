"""The additive cost table: the trunk, and one term for every site."""

from __future__ import annotations

from torch import nn

from attn_nas.cost.count import Cost, count_cost, count_module
from attn_nas.models.build import build_site, build_trunk
from attn_nas.space.genotype import Genotype, Placement
from attn_nas.space.task import Task
from attn_nas.space.trunks import Block, Trunk

_Site = tuple[Placement, int, int, int, int]


class CostTable:
    """Exact costs of all genotypes of one trunk at one task, each site counted once and then looked up.

    A mechanism fills an empty slot, so its term is its own cost at the feature map it sees; at ``replace`` the
    convolution that it replaces is taken off.
    """

    def __init__(self, trunk: Trunk, task: Task) -> None:
        self.trunk = trunk
        self.task = task
        model = build_trunk(trunk, task.num_classes, task.channels)
        self.bare = count_cost(model, task)
        self._convolutions: list[nn.Module] = [block.conv2 for block in model.blocks]  # type: ignore[union-attr]
        self._sites: dict[_Site, Cost] = {}

    def site(self, placement: Placement, index: int) -> Cost:
        """What a canonical placement adds at block ``index``; raises CostError."""
        block = self.trunk.blocks[index]
        height, width = block.size_at(placement.position, self.task.height, self.task.width)
        site = (placement, block.channels_at(placement.position), height, width, block.replace_stride)
        if site not in self._sites:
            self._sites[site] = self._count(placement, block, index, height, width)
        return self._sites[site]

    def _count(self, placement: Placement, block: Block, index: int, height: int, width: int) -> Cost:
        shape = (block.channels_at(placement.position), height, width)
        added = count_module(build_site(placement, block), shape)
        if placement.position == "replace":
            added -= count_module(self._convolutions[index], shape)
        return added

    def cost(self, genotype: Genotype) -> Cost:
        """Cost of the whole network, equal to counting it.

        Raises:
            ValueError: a genotype of another trunk.
            CostError: an operator that no counter knows.

        """
        if genotype.trunk != self.trunk:
            raise ValueError(f"the table is for {self.trunk}, the genotype for {genotype.trunk}")
        total = self.bare
        for index, placement in enumerate(genotype.placements):
            if placement is not None:
                total += self.site(placement, index)
        return total
