"""A trainer that reads accuracies from a table."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache

from attn_nas.cost import CostTable
from attn_nas.errors import AttnNasError
from attn_nas.space.genotype import Genotype
from attn_nas.space.task import Task
from attn_nas.space.trunks import Trunk
from attn_nas.training import OnEpoch, ProxyResult
from attn_nas.training.protocol import Trained, Trainer


@dataclass
class TableTrainer(Trainer):
    """Returns results like those of proxy training without training: a stand-in for fast tests.

    The accuracy (0 to 1) of a candidate comes from ``table`` by its key, otherwise from a hash of key and seed. Candidates in
    ``failures`` fail with the reason that is given there. The curve rises linearly over ``epochs``, each of which takes
    ``seconds``. Costs on inputs of ``task`` are real.
    """

    task: Task
    table: Mapping[str, float] = field(default_factory=dict)
    failures: Mapping[str, str] = field(default_factory=dict)
    epochs: int = 1
    seconds: float = 0.0

    def __call__(self, genotype: Genotype, seed: int, on_epoch: OnEpoch) -> Trained:
        """See `attn_nas.training.protocol.Trainer`."""
        if genotype.key in self.failures:
            raise AttnNasError(self.failures[genotype.key])
        digest = hashlib.sha256(f"{genotype.key} {seed}".encode()).digest()
        accuracy = self.table.get(genotype.key, 0.5 + digest[0] / 1000)
        cost = _cost_table(genotype.trunk, self.task).cost(genotype)
        curve = tuple(accuracy * epoch / self.epochs for epoch in range(1, self.epochs + 1))
        for epoch, reached in enumerate(curve, start=1):
            time.sleep(self.seconds)
            on_epoch(epoch, reached)
        losses, margins = tuple(1.0 - each for each in curve), tuple(2.0 * each - 1.0 for each in curve)
        result = ProxyResult(
            accuracy, losses[-1], margins[-1], curve, losses, margins, train_loss=(1.0,) * self.epochs,
            seconds=self.epochs * self.seconds, cpu_seconds=0.0, peak_memory_mb=0.0, micro_batch=1, seed=seed,
        )  # fmt: skip
        return Trained(result, cost)


@cache
def _cost_table(trunk: Trunk, task: Task) -> CostTable:
    return CostTable(trunk, task)
