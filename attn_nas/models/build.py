"""Builds the network of a genotype: makes the trunk, then fills its slots."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from attn_nas.attention.catalog import get_mechanism
from attn_nas.plugins.lazy_class import LazyClass
from attn_nas.space.genotype import Genotype, Placement
from attn_nas.space.geometry import Site
from attn_nas.space.host import Host, HostSite
from attn_nas.space.trunks import AnyTrunk, Trunk

ModuleCall = tuple[type[nn.Module], dict[str, Any]]


def trunk_call(trunk: Trunk) -> ModuleCall:
    """Class and keyword arguments of the bare ``trunk``."""
    given = trunk.family.arguments(trunk.depth, trunk.width)
    arguments = {name: value.load() if isinstance(value, LazyClass) else value for name, value in given.items()}
    return LazyClass(trunk.family.target).load(), arguments


def build_trunk(trunk: AnyTrunk, num_classes: int, in_channels: int = 3) -> nn.Module:
    """The bare trunk, in which every slot is an ``nn.Identity``; of a host the user's own network, with such slots.

    Raises:
        SpaceError: the user's function cannot be found, or fails.

    """
    if isinstance(trunk, Host):
        from attn_nas.models.insertion.user_model import make_host, with_all_slots

        return with_all_slots(make_host(trunk, num_classes or None), trunk)
    module, arguments = trunk_call(trunk)
    return module(**arguments, num_classes=num_classes, in_channels=in_channels)


class _NothingDrawn(TorchFunctionMode):
    """Initial weights are not drawn: on the meta device the first normal draw would load torch's compiler, for a second."""

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        given = kwargs or {}
        if func is Tensor.normal_ or getattr(func, "__module__", None) == nn.init.__name__:
            return args[0] if args else given["tensor"]
        return func(*args, **given)


@contextmanager
def weightless() -> Iterator[None]:
    """Modules that are made here are on the meta device: their weights have names and shapes, and are not allocated."""
    with _NothingDrawn(), torch.device("meta"):
        yield


def trunk_without_weights(trunk: AnyTrunk) -> nn.Module:
    """The bare trunk for one class on the meta device."""
    with weightless():
        return build_trunk(trunk, num_classes=1)


def model_without_weights(genotype: Genotype, num_classes: int, in_channels: int = 3) -> nn.Module:
    """The network of ``genotype`` on the meta device."""
    with weightless():
        return build_model(genotype, num_classes, in_channels, seed=0)


def site_call(placement: Placement, site: Site) -> tuple[type[nn.Module], int, dict[str, Any]]:
    """Class, channels and keyword arguments of the mechanism of a canonical ``placement`` at ``site``."""
    mechanism = get_mechanism(placement.mechanism)
    arguments = mechanism.arguments(
        placement.hyperparameters,
        identity_init=placement.identity_init,
        stride=site.stride_at(placement.position),
    )
    return mechanism.load(), site.block.channels_at(placement.position), arguments


def build_site(placement: Placement, site: Site) -> nn.Module:
    """The module of a canonical ``placement``, sized for ``site``."""
    module, channels, arguments = site_call(placement, site)
    return module(channels, **arguments)


def get_slot(model: nn.Module, path: str) -> nn.Module:
    """The module at a dotted ``path``, in which numbers are indices; ``model`` if the path is empty."""
    found: Any = model
    for part in path.split(".") if path else ():
        own = found._modules.get(part) if isinstance(found, nn.Module) else None
        found = own if own is not None else found[int(part)] if part.isdecimal() else getattr(found, part)
    return found


def fill_slot(model: nn.Module, path: str, module: nn.Module) -> None:
    """Replace the module at a dotted ``path`` by ``module``."""
    parent, _, name = path.rpartition(".")
    owner: Any = get_slot(model, parent)
    if name.isdecimal() and name not in owner._modules:
        owner[int(name)] = module
    else:
        setattr(owner, name, module)


def build_model(genotype: Genotype, num_classes: int, in_channels: int = 3, seed: int | None = None) -> nn.Module:
    """The network of ``genotype``: maps images ``(B, in_channels, H, W)`` to logits ``(B, num_classes)``.

    The trunk and each site have random generators of their own. With equal seeds, two genotypes therefore have the same
    initial trunk weights, and equal initial weights for the same mechanism at the same site.

    Args:
        genotype: trunk and placements.
        num_classes: number of logits.
        in_channels: channels of the images.
        seed: seed of the initial weights; drawn from torch's global generator if None.

    Raises:
        SpaceError: the class of a trunk or mechanism cannot be loaded.

    """
    if seed is None:
        seed = int(torch.randint(2**31, ()))
    with torch.random.fork_rng(devices=[]):
        # Weights are drawn on the CPU: torch.manual_seed would seed GPUs too, and keep the stack of each call for them.
        is_on_cpu = torch.get_default_device().type == "cpu"
        reseed = torch.default_generator.manual_seed if is_on_cpu else torch.manual_seed
        reseed(seed)
        model = _bare_model(genotype.trunk, num_classes, in_channels)
        for number, (site, placement) in enumerate(genotype.sites):
            if placement is not None:
                reseed((seed + 1) * 1_000_003 + number)
                if isinstance(site, HostSite):
                    from attn_nas.models.insertion.user_model import fill_site

                    fill_site(model, placement, site)
                else:
                    fill_slot(model, site.slot(placement.position), build_site(placement, site))
    return model


def _bare_model(trunk: AnyTrunk, num_classes: int, in_channels: int) -> nn.Module:
    """The network that gets mechanisms: a trunk with all its slots, or a host as the user makes it."""
    if isinstance(trunk, Host):
        from attn_nas.models.insertion.user_model import make_host

        return make_host(trunk, num_classes or None)
    return build_trunk(trunk, num_classes, in_channels)
