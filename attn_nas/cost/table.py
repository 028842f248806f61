"""The additive cost table: the trunk, and one term for every site."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from attn_nas.cost.count import Cost, count_cost, count_module
from attn_nas.errors import CostError, SpaceError, first_line
from attn_nas.models.build import build_site, build_trunk, get_slot
from attn_nas.space.encoding import Encoding
from attn_nas.space.genotype import Genotype, Placement
from attn_nas.space.geometry import Site
from attn_nas.space.task import Task
from attn_nas.space.trunks import Trunk

Shape = tuple[int, ...]


def slot_shapes(model: nn.Module, trunk: Trunk, task: Task) -> dict[str, Shape]:
    """The shape ``(C, H, W)`` of what reaches every slot of the bare ``model``, from one image of ``task``, by its path."""
    shapes: dict[str, Shape] = {}

    def note(path: str) -> Any:
        def hook(module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
            shapes[path] = tuple(inputs[0].shape[1:])

        return hook

    paths = [site.slot(position) for site in trunk.sites for position in site.positions]
    hooks = [get_slot(model, path).register_forward_pre_hook(note(path)) for path in paths]
    was_training = model.training
    with torch.no_grad():
        model.eval()(torch.zeros(1, task.channels, task.height, task.width))
    model.train(was_training)
    for hook in hooks:
        hook.remove()
    return shapes


class CostTable:
    """Exact costs of all genotypes of one trunk at one task, each site counted once and then looked up.

    A mechanism fills an empty slot, so its term is its own cost at the feature map it sees; at ``replace`` the
    convolution that it replaces is taken off.

    Raises:
        SpaceError: the trunk cannot take images of the task's size.

    """

    def __init__(self, trunk: Trunk, task: Task) -> None:
        self.trunk = trunk
        self.task = task
        self._model = build_trunk(trunk, task.num_classes, task.channels)
        try:
            self._shapes = slot_shapes(self._model, trunk, task)
        except RuntimeError as error:
            size = f"{task.channels} x {task.height} x {task.width}"
            raise SpaceError(f"{trunk} cannot take images of {size}: {first_line(error)}") from None
        self.bare = count_cost(self._model, task)
        self._sites: dict[tuple[Placement, Site], Cost] = {}
        self._modules: dict[tuple[Placement, Shape, int], Cost] = {}

    def site(self, placement: Placement, site: Site) -> Cost:
        """What a canonical placement adds at ``site``; raises CostError."""
        if (placement, site) not in self._sites:
            self._sites[placement, site] = self._count(placement, site)
        return self._sites[placement, site]

    def _count(self, placement: Placement, site: Site) -> Cost:
        shape = self._shapes[site.slot(placement.position)]
        known = (placement, shape, site.stride_at(placement.position))
        if known not in self._modules:
            try:
                self._modules[known] = count_module(build_site(placement, site), shape)
            except CostError as error:
                raise CostError(f"{placement}: {error}") from None
        added = self._modules[known]
        if placement.position == "replace":
            added -= count_module(get_slot(self._model, site.slot("replace")), shape)
        return added

    def dearest(self, encoding: Encoding, axis: str) -> int:
        """The field ``axis`` of `Cost` for the dearest network of a space; raises CostError."""
        worst: int = getattr(self.bare, axis)
        for site in self.trunk.sites:
            worst += max([0, *(getattr(self.site(placement, site), axis) for placement in encoding.dearest(site))])
        return worst

    def cost(self, genotype: Genotype) -> Cost:
        """Cost of the whole network, equal to counting it.

        Raises:
            ValueError: a genotype of another trunk.
            CostError: an operator that no counter knows.

        """
        if genotype.trunk != self.trunk:
            raise ValueError(f"the table is for {self.trunk}, the genotype for {genotype.trunk}")
        total = self.bare
        for site, placement in genotype.sites:
            if placement is not None:
                total += self.site(placement, site)
        return total
