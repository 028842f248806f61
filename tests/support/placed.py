"""Trainers that train nothing, whose scores depend on where attention is."""

import hashlib
from dataclasses import replace

from attn_nas.testing import TableTrainer


class First(TableTrainer):
    """Only a gate in block 0 helps, by ``gain``; seeds scatter by half a point."""

    gain = 0.2

    def __call__(self, genotype, seed, on_epoch):
        trained = super().__call__(genotype, seed, on_epoch)
        digest = hashlib.sha256(f"{genotype.key} {seed}".encode()).digest()
        accuracy = 0.6 + self.gain * (genotype.placements[0] is not None) + (digest[1] - 128) / 25600
        return replace(trained, result=replace(trained.result, accuracy=accuracy, curve=(accuracy,)))


class Nothing(First):
    """No gate helps."""

    gain = 0.0
