"""What a trainer is asked for and gives back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Protocol, runtime_checkable

from attn_nas.cost import Cost
from attn_nas.space.genotype import Genotype
from attn_nas.training import ProxyResult, StepProfile
from attn_nas.training.result import OnEpoch
from attn_nas.training.scores import Scores


@dataclass(frozen=True)
class Replicate:
    """Train ``genotype`` with ``seed``."""

    genotype: Genotype
    seed: int

    def __str__(self) -> str:
        return f"{self.genotype.key}-{self.seed}"


@dataclass(frozen=True)
class Trained:
    """What a trainer gives back; ``cost`` is the full count of the network that was trained, ``profile`` its step time.

    ``test`` are its scores on the test split, which no search asks for.
    """

    result: ProxyResult
    cost: Cost
    profile: StepProfile | None = None
    test: Scores | None = None

    def to_dict(self) -> dict[str, Any]:
        """Plain data, the inverse of `from_dict`."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Trained:
        """What `to_dict` wrote."""
        profile, test = data["profile"], data["test"]
        return cls(
            ProxyResult.from_dict(data["result"]),
            Cost.from_dict(data["cost"]),
            StepProfile.from_dict(profile) if profile else None,
            Scores.from_dict(test) if test else None,
        )


@dataclass(frozen=True)
class DryRun:
    """Train ``genotype`` until the monotonic clock shows ``until``, to see how fast it goes in the last ``seconds``."""

    number: int
    genotype: Genotype
    seconds: float
    until: float


@dataclass(frozen=True)
class Throughput:
    """What a dry run found: training images per second, and memory of the device that was in use with it, and in all."""

    number: int
    images_per_second: float
    used_memory_mb: float
    total_memory_mb: float


class Trainer(Protocol):
    """Trains one candidate; picklable, so that it can go to a worker process."""

    def __call__(self, genotype: Genotype, seed: int, on_epoch: OnEpoch) -> Trained:
        """What came of it; raises AttnNasError when the candidate cannot be scored."""
        ...


@runtime_checkable
class MeasuredTrainer(Protocol):
    """A trainer that can also say how fast it is, and whether its process should be replaced by a fresh one."""

    @property
    def worn_out(self) -> bool:
        """Whether the process should end after this job."""
        ...

    def dry_run(self, run: DryRun) -> Throughput:
        """Train for a moment."""
        ...


@runtime_checkable
class PausingTrainer(Protocol):
    """A trainer that can pause after an epoch, and go on in any process that has the same files."""

    def train_until(self, epoch: int, genotype: Genotype, seed: int, on_epoch: OnEpoch) -> Trained:
        """What came of it so far, from the first epoch on; raises AttnNasError when the candidate cannot be scored."""
        ...
