"""The Ray cluster that a search trains on, and the share of it that a trial takes."""

from __future__ import annotations

from dataclasses import dataclass

from attn_nas.errors import UsageError

LEAST_GPU = 0.0001
"""The smallest share of a GPU that Ray can assign."""


@dataclass(frozen=True)
class RayCluster:
    """A Ray cluster to train on.

    ``address`` is the ``host:port`` of its head, or ``auto`` for the cluster that this machine is a node of. Without an address
    it is the cluster that this process has joined with ``ray.init``, otherwise that of the environment variable RAY_ADDRESS,
    otherwise a new one on this machine for the duration of the search.

    ``gpus_per_trial`` is the number of GPUs of a trial, or a share of one GPU below 1; by default 1 if the cluster has GPUs.
    ``start_timeout`` is how many seconds to wait for the first node that can train.

    Raises:
        UsageError: a value is impossible.

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
    """Raise UsageError unless ``address`` is ``auto`` or the ``host:port`` of a head."""
    if "://" in address:
        raise UsageError(
            f"address = {address}: give the head's own address, host:6379, on a machine of the cluster (elsewhere begin the "
            "search with `ray job submit`)"
        )
    host, _, port = address.rpartition(":")
    if address != "auto" and not (host and port.isdecimal() and int(port) < 2**16):
        raise UsageError(f"address = {address}: give host:port, such as head:6379, or auto")
