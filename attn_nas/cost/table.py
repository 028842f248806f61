"""Costs of genotypes as a sum: the bare trunk, and one term for each placement."""

from __future__ import annotations

from dataclasses import replace
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn

from attn_nas.cost.count import Cost, count_module, count_network
from attn_nas.errors import CostError, SpaceError, first_line
from attn_nas.models.build import build_trunk, get_slot, site_call, trunk_call
from attn_nas.space.encoding import Encoding
from attn_nas.space.genotype import Genotype, Placement
from attn_nas.space.geometry import Site
from attn_nas.space.host import Host
from attn_nas.space.task import Task
from attn_nas.space.trunks import AnyTrunk

Shape = tuple[int, ...]


def slot_shapes(model: nn.Module, trunk: AnyTrunk, task: Task) -> dict[str, tuple[Shape, ...]]:
    """Input shapes ``(C, H, W)`` of all slots of the bare ``model`` for an image of ``task``, one per call, by dotted path."""
    shapes: dict[str, tuple[Shape, ...]] = {}

    def note(path: str) -> Any:
        def hook(module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
            shapes[path] = (*shapes.get(path, ()), tuple(inputs[0].shape[1:]))

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
    """Exact costs of all genotypes of one trunk for one task.

    The term of a placement is the cost of its module at the input shape of the slot; at ``replace`` the cost of the
    substituted convolution is subtracted. What has been counted in this process is not counted again.

    Args:
        trunk: the trunk.
        task: shape of the images and number of classes.

    Raises:
        SpaceError: the trunk cannot process images of the task's size.

    """

    def __init__(self, trunk: AnyTrunk, task: Task) -> None:
        self.trunk = trunk
        self.task = task
        self._shapes, self.bare = _bare(trunk, task)
        self._sites: dict[tuple[Placement, Site], Cost] = {}

    def site(self, placement: Placement, site: Site) -> Cost:
        """Cost that a canonical placement adds at ``site``.

        Raises:
            CostError: the mechanism has an operator without a counter.

        """
        if (placement, site) not in self._sites:
            self._sites[placement, site] = self._count(placement, site)
        return self._sites[placement, site]

    def _count(self, placement: Placement, site: Site) -> Cost:
        module, channels, arguments = site_call(placement, site)
        shapes = self._shapes[site.slot(placement.position)]
        known = (module, channels, repr(sorted(arguments.items())), shapes)
        if known not in _MODULES:
            try:
                _MODULES[known] = _in_all_calls(module(channels, **arguments), shapes)
            except CostError as error:
                raise CostError(f"{placement}: {error}") from None
        added = _MODULES[known]
        if placement.position == "replace":
            added -= _in_all_calls(get_slot(self._model, site.slot("replace")), shapes)
        return added

    @cached_property
    def _model(self) -> nn.Module:
        return build_trunk(self.trunk, self.task.num_classes, self.task.channels)

    def highest_cost(self, encoding: Encoding, axis: str) -> int:
        """The largest ``axis`` (a field of `Cost`) of a network of a space.

        Raises:
            CostError: a mechanism has an operator without a counter.

        """
        worst: int = getattr(self.bare, axis)
        for site in self.trunk.sites:
            worst += max([0, *(getattr(self.site(placement, site), axis) for placement in encoding.costliest_placements(site))])
        return worst

    def cost(self, genotype: Genotype) -> Cost:
        """Cost of the whole network, equal to that of `count_cost`.

        Raises:
            ValueError: the genotype has another trunk.
            CostError: a mechanism has an operator without a counter.

        """
        if genotype.trunk != self.trunk:
            raise ValueError(f"the table is for {self.trunk}, the genotype for {genotype.trunk}")
        total = self.bare
        for site, placement in genotype.sites:
            if placement is not None:
                total += self.site(placement, site)
        return total


def _in_all_calls(module: nn.Module, shapes: tuple[Shape, ...]) -> Cost:
    """Cost of ``module`` in calls with inputs of these ``shapes``; it has its parameters once."""
    counts = [count_module(module, shape) for shape in shapes]
    total = counts[0]
    for more in counts[1:]:
        total = replace(total + more, params=total.params)
    return total


_BARE: dict[tuple[object, ...], tuple[dict[str, tuple[Shape, ...]], Cost]] = {}
_MODULES: dict[tuple[object, ...], Cost] = {}
"""What was counted in this process, by class and arguments, as a plug-in that is loaded again has other classes."""


def _bare(trunk: AnyTrunk, task: Task) -> tuple[dict[str, tuple[Shape, ...]], Cost]:
    """Input shapes of the slots of a bare trunk, and its cost; raises SpaceError."""
    if isinstance(trunk, Host):
        made_by: tuple[object, ...] = (trunk.maker(),)
    else:
        module, arguments = trunk_call(trunk)
        made_by = (module, repr(sorted(arguments.items())))
    known = (*made_by, trunk, task)
    if known not in _BARE:
        model = build_trunk(trunk, task.num_classes, task.channels)
        try:
            shapes = slot_shapes(model, trunk, task)
        except RuntimeError as error:
            size = f"{task.channels} x {task.height} x {task.width}"
            raise SpaceError(f"{trunk} cannot take images of {size}: {first_line(error)}") from None
        _BARE[known] = shapes, count_network(model, trunk, task)
    return _BARE[known]
