"""Costs of mechanisms at the sites of a user's network, one by one."""

from __future__ import annotations

from collections.abc import Sequence

from attn_nas.attention.catalog import get_mechanism
from attn_nas.cost.count import Cost
from attn_nas.cost.table import CostTable
from attn_nas.errors import SpaceError
from attn_nas.space.genotype import Placement
from attn_nas.space.host import Host, HostSite, usual_position
from attn_nas.space.task import Task


class SiteCosts:
    """Costs of a network of the user's own for one input of the shape of its example, and of mechanisms at its sites.

    ``bare`` is the cost of the network as it is made. A mechanism has the hyperparameters of its paper, or the nearest that
    the channels allow, and the position of `usual_position`.

    Raises:
        SpaceError: the network cannot be made.

    """

    def __init__(self, host: Host) -> None:
        channels, height, width = host.example
        self.host = host
        self._table = CostTable(host, Task(channels, height, width, 0))

    @property
    def bare(self) -> Cost:
        """Cost of the network without attention."""
        return self._table.bare

    def at(self, site: HostSite, mechanisms: Sequence[str]) -> dict[str, Cost | str]:
        """Cost that each of ``mechanisms`` adds at ``site``, by name; where it cannot be there, the reason."""
        return {name: self._at(site, name) for name in mechanisms}

    def _at(self, site: HostSite, name: str) -> Cost | str:
        mechanism = get_mechanism(name)
        try:
            position = usual_position(mechanism, site)
            chosen = mechanism.typical_at(site.block.channels_at(position))
            placement = Placement(mechanism.name, position, **vars(chosen)).canonical(site)
        except SpaceError as error:
            return str(error)
        return self._table.site(placement, site)
