"""Whole searches on instances of landscapes: the search, then the confirmation that `attn-nas search` does after it."""

from __future__ import annotations

from collections.abc import Sequence

from attn_nas.benchmark.landscapes import Instance
from attn_nas.benchmark.strategies import SearchStrategy
from attn_nas.engine.confirmation import Confirmation
from attn_nas.runs.record import Record
from attn_nas.space.genotype import Genotype

AXES = ("flops",)
SEED = 0
"""The seed of all trainings of a search; the rounds of its confirmation have the seeds 1, 2 and so on."""


def trained(instance: Instance, genotype: Genotype, seed: int) -> Record:
    """The training of ``genotype`` with ``seed``."""
    names = {each.key: name for name, each in instance.references.items()}
    result = instance.query(genotype, seed)
    return Record(0, "finished", genotype, seed, instance.cost(genotype), names.get(genotype.key), result, None, None)


def searched(instance: Instance, budget: int, sampler_seed: int) -> list[Record]:
    """The trainings of a search of ``budget`` candidates without confirmation."""
    strategy, records = SearchStrategy(instance, sampler_seed), list[Record]()
    while len(records) < budget and (genotype := strategy.ask()):
        record = trained(instance, genotype, SEED)
        assert record.result
        strategy.tell(genotype, record.result)
        records.append(record)
    return records


def confirmed(instance: Instance, records: Sequence[Record], rounds: int) -> list[Record]:
    """The same trainings and those of a confirmation of ``rounds`` rounds."""
    references = {each.key for each in instance.references.values()}
    confirmation, grown = Confirmation(SEED, rounds, references, AXES), [*records]
    while (found := confirmation.next_round(grown)) is not None:
        grown += [trained(instance, each.genotype, each.seed) for each in found.missing]
    return grown
