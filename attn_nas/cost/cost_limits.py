"""Limits of FLOPs and parameters of a search, as totals."""

from __future__ import annotations

from dataclasses import dataclass

from attn_nas.cost.count import Cost
from attn_nas.errors import SpaceError
from attn_nas.space.limits import most_allowed
from attn_nas.space.schema import LimitSettings


@dataclass(frozen=True)
class Limits:
    """Largest complete FLOPs (multiply-adds) and number of parameters of a network, trunk included; None for no limit."""

    flops: int | None
    params: int | None

    @classmethod
    def of(cls, settings: LimitSettings, bare: Cost) -> Limits:
        """The limits of a search space whose bare trunk costs ``bare``.

        Raises:
            SpaceError: the bare trunk exceeds them.

        """
        found: dict[str, int | None] = {}
        for axis, limit in (("flops", settings.max_flops), ("params", settings.max_params)):
            least: int = getattr(bare, axis)
            most = None if limit is None else most_allowed(limit, least)
            if most is not None and most < least:
                raise SpaceError(
                    f"limits.max_{axis} = {limit}: the bare trunk has {least:,} already; to limit the addition, write "
                    f"+5% or '+{limit}'"
                )
            found[axis] = most
        return cls(**found)

    def most(self, axis: str) -> float:
        """The limit of ``axis``; infinity if it has none."""
        found: int | None = getattr(self, axis, None)
        return float("inf") if found is None else found

    def allow(self, cost: Cost) -> bool:
        """True if a network of this ``cost`` is within the limits."""
        return cost.flops <= self.most("flops") and cost.params <= self.most("params")
