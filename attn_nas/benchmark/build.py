"""Training the entries of a table: in any number of shards, each of which can be stopped and goes on."""

from __future__ import annotations

import json
import platform
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from attn_nas.benchmark.table import Entry, Header, Table
from attn_nas.cost import CostTable
from attn_nas.data import Dataset, load_dataset
from attn_nas.errors import TableError, UsageError, first_line
from attn_nas.execution.gpu_packing import make_executor
from attn_nas.execution.replicates import OnReplicate, ReplicateFolder, train_replicates
from attn_nas.execution.resources import Resources
from attn_nas.files import write_whole
from attn_nas.runs.folder import RunFolder
from attn_nas.space.encoding import Encoding
from attn_nas.space.genotype import Genotype
from attn_nas.space.references import reference_genotypes
from attn_nas.space.schema import SearchSpace
from attn_nas.training import Numerics
from attn_nas.training.protocol import Replicate
from attn_nas.training.trainer import ProxyTrainer, share_dataset
from attn_nas.version import __version__

_MAX_NETWORKS = 20_000
_TRIED_FOR_SIZE = 64


@dataclass(frozen=True)
class Shard:
    """Part ``index`` of ``number``, from 1."""

    index: int = 1
    number: int = 1

    @classmethod
    def parse(cls, text: str) -> Shard:
        """A shard as ``1/4``; raises UsageError."""
        index, _, number = text.partition("/")
        if not (index.isdecimal() and number.isdecimal() and 1 <= int(index) <= int(number)):
            raise UsageError(f"shard {text!r}: write 1/4 for the first of four")
        return cls(int(index), int(number))


class Build:
    """The trainings of a table of ``space``, or of one ``shard`` of it, kept in ``folder`` one file each.

    All networks of the space are trained, or the references and as many as make up ``sample``, drawn with seed 0. All of them
    are trained with one seed before the next is begun, and a shard is a stretch of that, so that a table which is not finished
    is of use. Shards of whole seeds keep what differs between machines out of the comparison of networks. What is in
    ``known`` is not trained again.

    Raises:
        UsageError: no seeds, a space too large to be listed, one with limits, plug-ins or another cost than FLOPs, or a
            folder that was begun for another table or on another machine.
        TableError: ``known`` is of another table, or the folder is damaged or cannot be written.
        DataError, SpaceError: the space or its data cannot be used.

    """

    def __init__(
        self,
        name: str,
        space: SearchSpace,
        seeds: Sequence[int],
        folder: Path,
        numerics: Numerics,
        *,
        shard: Shard | None = None,
        sample: int | None = None,
        hardware: str = "",
        download: bool = False,
        known: Table | None = None,
    ) -> None:
        if not seeds:
            raise UsageError("no seeds: train with one at least")
        if space.plugins:
            raise UsageError("a table is read without plug-ins: leave them out of its space")
        if space.limits.model_fields_set or space.objectives.costs != ["flops"]:
            raise UsageError("a table has whole spaces, judged by FLOPs: leave limits and objectives out of its space")
        self._space, self._run, self._numerics = space, RunFolder(folder), numerics
        encoding = Encoding(space)
        self._dataset: Dataset = load_dataset(space.data, download=download)
        self._costs = CostTable(encoding.trunk, self._dataset.task)
        dearest = self._costs.highest_cost(encoding, "flops")
        self.header = Header(name, space, self._dataset.task, self._costs.bare, dearest)
        self.folder = ReplicateFolder(folder / "trainings")
        shard = shard or Shard()
        networks = chosen_networks(space, encoding, sample)
        if known:
            Table.merge([known, Table(self.header, [])])
        done = {entry.name for entry in known.entries} if known else set()
        every = [Replicate(genotype, seed) for seed in seeds for genotype in networks]
        start, end = (len(every) * part // shard.number for part in (shard.index - 1, shard.index))
        self.replicates = [each for each in every[start:end] if (each.genotype.key, each.seed) not in done]
        versions = f"attn-nas {__version__}, torch {torch.__version__}, python {platform.python_version()}"
        self._machine = {"numerics": str(numerics), "hardware": hardware, "versions": versions}
        self._check_folder()

    def _check_folder(self) -> None:
        """Hold the folder to one table and one machine: entries must say truly what they are."""
        path = self._run.path / "table.json"
        described = {"header": self.header.to_dict(), "machine": self._machine}
        if not path.exists():
            try:
                self._run.path.mkdir(parents=True, exist_ok=True)
                write_whole(path, json.dumps(described, indent=1))
            except OSError as error:
                raise TableError(f"{path} cannot be written: {error.strerror}") from None
        try:
            kept = json.loads(path.read_text(encoding="utf-8"))
            differing = [name for part, value in described.items() for name, now in value.items() if kept[part][name] != now]
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise TableError(f"{path} is damaged ({first_line(error)}): name another folder") from None
        if differing:
            raise UsageError(f"{self._run.path} was begun with another {differing[0]}: name another folder, and merge them")

    @property
    def missing(self) -> list[Replicate]:
        """What is still to be trained."""
        return self.folder.missing(self.replicates)

    def train(self, resources: Resources, on_end: OnReplicate) -> None:
        """Train what is missing.

        Raises:
            RunError: another process works in the folder, a result cannot be written, or no worker can start.
            DeviceError: a GPU is too small.

        """
        if not self.missing:
            return
        with self._run.locked():
            data = self._run.cache
            share_dataset(self._dataset, data, test=True)
            trainer = ProxyTrainer(
                self._space.proxy, self._numerics, resources.threads, data, self._run.trunks, profiled=True, tested=True
            )
            executor = make_executor(trainer, resources, self._dearest())
            try:
                train_replicates(self.replicates, self.folder, executor, on_end)
            finally:
                executor.close()

    def _dearest(self) -> list[Genotype]:
        """The networks that are tried for size: those of most FLOPs."""
        networks = {each.genotype.key: each.genotype for each in self.missing}
        ordered = sorted(networks.values(), key=lambda genotype: -self._costs.cost(genotype).flops)
        return ordered[:_TRIED_FOR_SIZE]

    @property
    def failures(self) -> dict[str, str]:
        """The reason by replicate of each training that failed: the table does without them until they are tried again."""
        return self.folder.failures(self.replicates)

    def forget_failures(self) -> None:
        """Have what failed trained again; raises RunError if another process works in the folder, or it cannot be written."""
        with self._run.locked():
            for name in self.failures:
                (self.folder.path / f"{name}.failed").unlink(missing_ok=True)

    def table(self) -> Table:
        """What is trained so far."""
        kept = [(replicate, self.folder.get(replicate)) for replicate in self.replicates]
        return Table(
            self.header,
            [Entry(replicate.genotype, replicate.seed, trained, **self._machine) for replicate, trained in kept if trained],
        )


def chosen_networks(space: SearchSpace, encoding: Encoding, sample: int | None) -> list[Genotype]:
    """The networks of a table: all of the space in the order of their keys, or a sample that begins with the references.

    Raises:
        UsageError: all of a space that has more than 20,000, or a sample of none.

    """
    if sample is not None and sample < 1:
        raise UsageError(f"a sample of {sample} networks: choose at least 1")
    if sample is None or sample >= encoding.num_genotypes:
        if encoding.num_genotypes > _MAX_NETWORKS:
            raise UsageError(f"the space has {encoding.num_genotypes:,} networks: sample some of them")
        return sorted(encoding.genotypes(), key=lambda genotype: genotype.key)
    rng = np.random.default_rng(0)
    found = {genotype.key: genotype for genotype in reference_genotypes(space, encoding).values()}
    while len(found) < sample:
        genotype = encoding.decode(encoding.random(rng))
        found.setdefault(genotype.key, genotype)
    return list(found.values())[:sample]
