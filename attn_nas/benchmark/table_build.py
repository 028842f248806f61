"""Trains the entries of a table, in any number of shards that can be stopped and resumed."""

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
from attn_nas.data.arrays import share_dataset
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
from attn_nas.training.trainer import ProxyTrainer
from attn_nas.version import __version__

_MAX_NETWORKS = 20_000
_TRIED_FOR_SIZE = 64


@dataclass(frozen=True)
class Shard:
    """Part ``index`` of ``number`` parts, counted from 1."""

    index: int = 1
    number: int = 1

    @classmethod
    def parse(cls, text: str) -> Shard:
        """The shard written as ``1/4``.

        Raises:
            UsageError: the text has another form.

        """
        index, _, number = text.partition("/")
        if not (index.isdecimal() and number.isdecimal() and 1 <= int(index) <= int(number)):
            raise UsageError(f"shard {text!r}: write 1/4 for the first of four")
        return cls(int(index), int(number))


class TableBuild:
    """The trainings of a table, or of one shard of it.

    Trainings are ordered by seed, then by network, and a shard is a contiguous part, so that an unfinished table is complete
    for its first seeds. If shards consist of whole seeds, differences between machines do not affect comparisons of networks.

    Args:
        name: name of the table.
        space: the search space.
        seeds: seeds that every network is trained with.
        folder: folder of the results, one file per training.
        numerics: device, precision and memory format.
        shard: the part to train; all of it by default.
        sample: number of networks: the references, and random ones drawn with seed 0. None trains all networks of the space.
        hardware: description of the machine, stored with each entry.
        download: allow downloads of the data.
        known: a table whose entries are not trained again.

    Raises:
        UsageError: there are no seeds; the space is too large, or has limits, plug-ins or costs other than FLOPs; or the
            folder belongs to another table or machine.
        TableError: ``known`` belongs to another table, or the folder is damaged or cannot be written.
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
            raise UsageError("there are no seeds: give at least one")
        if space.plugins:
            raise UsageError("a table cannot have plug-ins: remove them from its space")
        if space.limits.model_fields_set or space.objectives.costs != ["flops"]:
            raise UsageError("a table contains whole spaces and FLOPs: remove limits and objectives from its space")
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
        """Check that the folder belongs to this table and this machine, or mark a new folder.

        Raises:
            UsageError: it belongs to another table or machine.
            TableError: it is damaged, or cannot be written.

        """
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
            raise UsageError(
                f"{self._run.path} was begun with another {differing[0]}: name another folder, and merge the tables"
            )

    @property
    def missing(self) -> list[Replicate]:
        """The trainings that are not finished."""
        return self.folder.missing(self.replicates)

    def train(self, resources: Resources, on_end: OnReplicate) -> None:
        """Train everything that is `missing`; ``on_end`` is called after each training.

        Raises:
            RunError: another process uses the folder, a result cannot be written, or no worker can start.
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
        """The networks with the most FLOPs, with which the memory of a GPU is measured."""
        networks = {each.genotype.key: each.genotype for each in self.missing}
        ordered = sorted(networks.values(), key=lambda genotype: -self._costs.cost(genotype).flops)
        return ordered[:_TRIED_FOR_SIZE]

    @property
    def failures(self) -> dict[str, str]:
        """The reason of each failed training, by name of its replicate; failed trainings are not in the table."""
        return self.folder.failures(self.replicates)

    def forget_failures(self) -> None:
        """Delete the marks of failed trainings, so that they are tried again.

        Raises:
            RunError: another process uses the folder, or it cannot be written.

        """
        with self._run.locked():
            for name in self.failures:
                (self.folder.path / f"{name}.failed").unlink(missing_ok=True)

    def table(self) -> Table:
        """The table of all finished trainings."""
        kept = [(replicate, self.folder.get(replicate)) for replicate in self.replicates]
        return Table(
            self.header,
            [Entry(replicate.genotype, replicate.seed, trained, **self._machine) for replicate, trained in kept if trained],
        )


def chosen_networks(space: SearchSpace, encoding: Encoding, sample: int | None) -> list[Genotype]:
    """The networks of a table: all networks of the space ordered by key, or a sample that starts with the references.

    Raises:
        UsageError: all networks of a space of more than 20,000 are requested, or a sample of less than 1.

    """
    if sample is not None and sample < 1:
        raise UsageError(f"a sample of {sample} networks: choose at least 1")
    if sample is None or sample >= encoding.num_genotypes:
        if encoding.num_genotypes > _MAX_NETWORKS:
            raise UsageError(f"the space has {encoding.num_genotypes:,} networks: choose a sample of at most {_MAX_NETWORKS:,}")
        return sorted(encoding.genotypes(), key=lambda genotype: genotype.key)
    rng = np.random.default_rng(0)
    found = {genotype.key: genotype for genotype in reference_genotypes(space, encoding).values()}
    while len(found) < sample:
        genotype = encoding.decode(encoding.random(rng))
        found.setdefault(genotype.key, genotype)
    return list(found.values())[:sample]
