"""Where the trainings of a search run, as a user says it: `Local` or `Ray`."""

from __future__ import annotations

from dataclasses import dataclass

from attn_nas.errors import UsageError
from attn_nas.format import parse_seconds

_DEVICES = ("auto", "cpu", "cuda")
_LEAST_GPU = 0.0001
"""The smallest share of a GPU that Ray can assign."""


@dataclass(frozen=True, kw_only=True)
class _Execution:
    workers: int | None = None
    threads: int | None = None
    device: str = "auto"
    trial_timeout: float | str | None = None

    def __post_init__(self) -> None:
        if self.device not in _DEVICES:
            raise UsageError(f"device = {self.device!r}: choose from {', '.join(_DEVICES)}")
        if self.trial_timeout is not None:
            object.__setattr__(self, "trial_timeout", parse_seconds("trial_timeout", str(self.trial_timeout)))
        for name, number in (("workers", self.workers), ("threads", self.threads)):
            if number is not None and type(number) is not int:
                raise UsageError(f"{name} = {number!r}: choose an integer of at least 1")

    @property
    def trial_seconds(self) -> float | None:
        """The time limit of a training in seconds; None without one."""
        return None if self.trial_timeout is None else float(self.trial_timeout)


@dataclass(frozen=True, kw_only=True)
class Local(_Execution):
    """Trainings in processes of this machine.

    Args:
        workers: number of processes; one per core on a CPU by default, on GPUs it is measured before the search begins. A
            single one trains in this process.
        threads: threads of each process; cores divided by workers by default.
        device: ``"auto"``, ``"cpu"`` or ``"cuda"``.
        trial_timeout: seconds, or text such as ``"20m"``, after which a worker that still trains is replaced; the candidate is
            trained again, at most three times in all.

    Raises:
        UsageError: an unknown device, or a time limit that is not a duration.

    """


@dataclass(frozen=True, kw_only=True)
class Ray(_Execution):
    """Trainings on the nodes of a Ray cluster; needs the extra ``ray``.

    Args:
        address: the cluster's head, ``host:port``; ``"auto"`` for the cluster that this machine is a node of. By default that
            of ``ray.init`` or of the variable RAY_ADDRESS, else a cluster that is started on this machine for the search.
        gpus_per_trial: GPUs that a training takes, a share (``0.25``) or a whole number; a whole GPU where there are any.
        start_timeout: seconds, or text such as ``"5m"``, to wait for the first node that can train.
        workers: largest number of trainings at a time; as many as the nodes have room for by default.
        threads: processor cores that a training takes; one by default.
        device: as of `Local`.
        trial_timeout: as of `Local`.

    Raises:
        UsageError: an address or a number that cannot be used.

    """

    address: str | None = None
    gpus_per_trial: float | None = None
    start_timeout: float | str = 600.0

    def __post_init__(self) -> None:
        super().__post_init__()
        share = self.gpus_per_trial
        if share is not None and not isinstance(share, int | float):
            raise UsageError(f"gpus_per_trial = {share!r}: give a number")
        if share is not None and not (_LEAST_GPU <= share <= 1 or (share > 1 and float(share).is_integer())):
            raise UsageError(f"gpus_per_trial = {share}: choose a share of a GPU, such as 0.25, or a whole number of GPUs")
        object.__setattr__(self, "start_timeout", parse_seconds("start_timeout", str(self.start_timeout)))
        if self.address is not None:
            check_address(self.address)

    @property
    def start_seconds(self) -> float:
        """Seconds to wait for the first node that can train."""
        return float(self.start_timeout)


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
