"""Which Ray cluster a search trains on, and what a trial takes of it."""

from __future__ import annotations

from dataclasses import dataclass

from attn_nas.errors import UsageError

LEAST_GPU = 0.0001
"""The finest share of a GPU that Ray counts."""


@dataclass(frozen=True)
class RayCluster:
    """The cluster whose head is at ``address`` (``host:port``), and the share of a GPU that each trial takes there.

    ``auto`` is the cluster that this machine is a node of. Without an address it is that of ``ray.init``, if this process has
    called it, else that of the variable RAY_ADDRESS, else one that is started on this machine for the search. A trial takes a
    whole GPU where there are any, unless ``gpus_per_trial`` says otherwise. ``start_timeout`` is for how many seconds the first
    node that can train may be waited for.
    """

    address: str | None = None
    gpus_per_trial: float | None = None
    start_timeout: float = 600.0

    def __post_init__(self) -> None:
        share = self.gpus_per_trial
        if share is not None and not (LEAST_GPU <= share <= 1 or (share > 1 and share.is_integer())):
            raise UsageError(f"gpus_per_trial = {share}: choose a share of a GPU, such as 0.25, or a whole number of GPUs")
        if not self.start_timeout > 0:
            raise UsageError(f"start_timeout = {self.start_timeout}: choose a number of seconds above 0")
        if self.address is not None:
            check_address(self.address)


def check_address(address: str) -> None:
    """Raise UsageError for what is not the address of a head."""
    if "://" in address:
        raise UsageError(
            f"address = {address}: give the head's own address, host:6379, on a machine of the cluster (elsewhere begin the "
            "search with `ray job submit`)"
        )
    host, _, port = address.rpartition(":")
    if address != "auto" and not (host and port.isdecimal() and int(port) < 2**16):
        raise UsageError(f"address = {address}: give host:port, such as head:6379, or auto")
