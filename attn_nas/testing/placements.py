"""Material for tests: mechanisms and trunks of plug-in files, all legal placements, modules with perturbed weights."""

from __future__ import annotations

from contextlib import suppress
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING

from attn_nas.attention.catalog import get_mechanism
from attn_nas.attention.mechanism import Mechanism
from attn_nas.errors import SpaceError
from attn_nas.plugins import registry as plugins
from attn_nas.space.genotype import Placement
from attn_nas.space.geometry import Site
from attn_nas.space.trunks import Trunk

if TYPE_CHECKING:
    from torch import nn


def mechanism_in(file: str | Path, name: str) -> Mechanism:
    """Load the plug-in ``file`` and return the record of its mechanism ``name``; raises SpaceError."""
    plugins.load_file(file, named=True)
    return get_mechanism(name)


def trunk_in(file: str | Path, name: str, depth: int, width: int) -> Trunk:
    """Load the plug-in ``file`` and return a trunk of its family ``name``; raises SpaceError."""
    plugins.load_file(file, named=True)
    return Trunk(name, depth, width)


def legal_placements(mechanism: Mechanism, site: Site) -> list[Placement]:
    """Return all placements of ``mechanism`` at ``site`` with the hyperparameters of its record: canonical, each once."""
    found: dict[Placement, None] = {}
    for position in site.positions:
        for reduction, kernel_size, groups in product(
            mechanism.reductions or (None,), mechanism.kernel_sizes or (None,), mechanism.groups or (None,)
        ):
            with suppress(SpaceError):
                found[Placement(mechanism.name, position, reduction, kernel_size, groups).canonical(site)] = None
    return list(found)


def perturbed(module: nn.Module, deviation: float = 0.1) -> nn.Module:
    """Add noise of standard ``deviation`` to every parameter, so that none is zero by initialisation; return ``module``."""
    import torch

    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(deviation * torch.randn(parameter.shape, generator=generator))
    return module
