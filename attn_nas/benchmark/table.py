"""Tables of trainings of many networks of one small space, by genotype and seed, in one Parquet file.

Earlier tabular benchmarks contain cells of convolutional networks (NAS-Bench-101, arXiv 1902.09635; NAS-Bench-201, arXiv
2001.00326); this one contains attention placements.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from attn_nas.cost import Cost, CostTable
from attn_nas.errors import TableError, first_line
from attn_nas.space.encoding import Encoding
from attn_nas.space.genotype import Genotype
from attn_nas.space.references import reference_genotypes
from attn_nas.space.schema import SearchSpace
from attn_nas.space.task import Task
from attn_nas.training import OnEpoch, ProxyResult, Scores, StepProfile
from attn_nas.training.protocol import Trained

FORMAT = 1
"""Number of the file format; files of other formats are refused."""
LICENCE = "CC BY 4.0"
EMBEDDED = Path(__file__).parent / "cued_digits_resnet8.parquet"
_METADATA = b"attn_nas"
_CURVES = ("curve", "loss_curve", "margin_curve", "train_loss")
_NUMBERS = ("seconds", "cpu_seconds", "peak_memory_mb")


@dataclass(frozen=True)
class Header:
    """Properties of all entries of a table: space, task, cost of the bare trunk, largest FLOPs of a network."""

    name: str
    space: SearchSpace
    task: Task
    bare: Cost
    dearest_flops: int

    def to_dict(self) -> dict[str, Any]:
        """Plain data, the inverse of `from_dict`."""
        return {
            "format": FORMAT,
            "licence": LICENCE,
            "name": self.name,
            "space": self.space.model_dump(mode="json"),
            "task": asdict(self.task),
            "bare": self.bare.to_dict(),
            "dearest_flops": self.dearest_flops,
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Header:
        """The header that `to_dict` wrote."""
        return cls(
            data["name"],
            SearchSpace.model_validate(data["space"]),
            Task(**data["task"]),
            Cost.from_dict(data["bare"]),
            data["dearest_flops"],
        )


@dataclass(frozen=True)
class Entry:
    """One training of one network.

    ``numerics`` (device, precision, memory format), ``hardware`` and ``versions`` describe the machine and its software.
    """

    genotype: Genotype
    seed: int
    trained: Trained
    numerics: str
    hardware: str
    versions: str

    @property
    def name(self) -> tuple[str, int]:
        """Key of the network and seed, which identify the entry."""
        return self.genotype.key, self.seed


class Table:
    """Entries of one space, at most one per network and seed, ordered by key and seed.

    Raises:
        TableError: an entry has another trunk, or two entries of one network and seed differ.

    """

    def __init__(self, header: Header, entries: Iterable[Entry]) -> None:
        self.header = header
        self.encoding = Encoding(header.space)
        by_name: dict[tuple[str, int], Entry] = {}
        for entry in entries:
            if entry.genotype.trunk != self.encoding.trunk:
                raise TableError(f"{entry.genotype.trunk} is not the trunk of the table, {self.encoding.trunk}")
            known = by_name.setdefault(entry.name, entry)
            if known != entry:
                raise TableError(
                    f"there are two different trainings of {entry.genotype.key} with seed {entry.seed}: keep one of them"
                )
        self.entries = tuple(by_name[name] for name in sorted(by_name))
        self._by_key: dict[str, dict[int, Entry]] = {}
        for entry in self.entries:
            self._by_key.setdefault(entry.genotype.key, {})[entry.seed] = entry

    @classmethod
    def load(cls, path: str | Path = EMBEDDED) -> Table:
        """The table in a Parquet file; by default the embedded table.

        Raises:
            TableError: there is no such file, or it is not a table of this format.

        """
        import pyarrow.parquet

        if not Path(path).is_file():
            raise TableError(f"{path} is not a table of trainings: No such file")
        try:
            read = pyarrow.parquet.read_table(path)
            if _METADATA not in (read.schema.metadata or {}):
                raise TableError(f"{path} is not a table of trainings: its metadata have no header")
            described = json.loads(read.schema.metadata[_METADATA])
            if described["format"] != FORMAT:
                raise TableError(f"{path} is a table of format {described['format']}, this version reads {FORMAT}")
            genotypes: dict[str, Genotype] = {}
            return cls(Header.from_dict(described), [_entry(row, genotypes) for row in read.to_pylist()])
        except (OSError, pyarrow.ArrowException, KeyError, ValueError, TypeError) as error:
            raise TableError(f"{path} is not a table of trainings: {first_line(error)}") from None

    def save(self, path: str | Path) -> None:
        """Write the table as a Parquet file, atomically; equal tables give equal files.

        Raises:
            TableError: the file cannot be written.

        """
        import pyarrow
        import pyarrow.parquet

        rows = [_row(entry) for entry in self.entries]
        metadata = {_METADATA: json.dumps(self.header.to_dict(), sort_keys=True)}
        unfinished = Path(path).with_suffix(".unfinished")
        try:
            content = pyarrow.Table.from_pylist(rows, schema=_schema().with_metadata(metadata))
            pyarrow.parquet.write_table(content, unfinished, compression="zstd")
            unfinished.replace(path)
        except OSError as error:
            raise TableError(f"{path} cannot be written: {error.strerror or error}") from None

    def add_to(self, path: str | Path) -> Table:
        """Merge this table into the file ``path``, which is created if it is missing; processes take turns.

        Raises:
            TableError: the two cannot be merged, or the file cannot be read or written.

        """
        path = Path(path)
        try:
            folder = os.open(path.absolute().parent, os.O_RDONLY)
        except OSError as error:
            raise TableError(f"{path} cannot be written: {error.strerror}") from None
        try:
            fcntl.flock(folder, fcntl.LOCK_EX)
            whole = Table.merge([Table.load(path), self]) if path.exists() else self
            whole.save(path)
        finally:
            os.close(folder)
        return whole

    @classmethod
    def merge(cls, tables: Sequence[Table]) -> Table:
        """One table of the entries of all ``tables``; equal entries are kept once.

        Raises:
            TableError: there are no tables, their headers differ, or two entries of one network and seed differ.

        """
        if not tables:
            raise TableError("there is nothing to merge")
        first = tables[0].header.to_dict()
        for other in tables[1:]:
            differing = [name for name, value in other.header.to_dict().items() if value != first[name]]
            if differing:
                raise TableError(f"tables of different {differing[0]} cannot be merged")
        return cls(tables[0].header, [entry for table in tables for entry in table.entries])

    def __len__(self) -> int:
        return len(self.entries)

    def __contains__(self, genotype: Genotype) -> bool:
        return genotype.key in self._by_key

    @cached_property
    def genotypes(self) -> dict[str, Genotype]:
        """The networks by key."""
        return {key: next(iter(entries.values())).genotype for key, entries in self._by_key.items()}

    @property
    def space(self) -> SearchSpace:
        """The search space."""
        return self.header.space

    @property
    def task(self) -> Task:
        """The images and classes."""
        return self.header.task

    @cached_property
    def costs(self) -> CostTable:
        """The cost table of the space, as a search uses it."""
        return CostTable(self.encoding.trunk, self.header.task)

    @cached_property
    def references(self) -> dict[str, Genotype]:
        """The reference placements of the space, by name."""
        return reference_genotypes(self.header.space, self.encoding)

    @property
    def complete(self) -> bool:
        """True if every network of the space has an entry."""
        return len(self._by_key) == self.encoding.num_genotypes

    @cached_property
    def seeds(self) -> list[int]:
        """The seeds that every network of the table was trained with."""
        return sorted(set.intersection(*(set(entries) for entries in self._by_key.values()))) if self._by_key else []

    def of(self, genotype: Genotype | str) -> list[Entry]:
        """The entries of a network, given by genotype or key, ordered by seed.

        Raises:
            TableError: there are none.

        """
        key = genotype if isinstance(genotype, str) else genotype.key
        if key not in self._by_key:
            raise TableError(f"the table has no network {genotype}")
        return [*self._by_key[key].values()]

    def entry(self, genotype: Genotype, seed: int) -> Entry:
        """The entry of ``genotype`` with seed number ``seed`` modulo the number of `seeds`, so that networks are paired.

        Raises:
            TableError: there is no such network, or no seed of all networks.

        """
        paired = self._paired(genotype)
        return paired[seed % len(paired)]

    def _paired(self, genotype: Genotype) -> list[Entry]:
        """The entries of a network with the common `seeds`."""
        if not self.seeds:
            raise TableError("no seed was trained with every network of the table: finish one")
        return [entry for entry in self.of(genotype) if entry.seed in self.seeds]

    def cost(self, genotype: Genotype) -> Cost:
        """The cost of a network.

        Raises:
            TableError: the network has no entry.

        """
        return self.of(genotype)[0].trained.cost

    def query(self, genotype: Genotype, seed: int | None = None) -> ProxyResult:
        """The result of ``genotype`` with ``seed`` (see `entry`); without a seed, the mean over all common `seeds`.

        Raises:
            TableError: see `entry`.

        """
        if seed is None:
            return _mean([entry.trained.result for entry in self._paired(genotype)])
        return self.entry(genotype, seed).trained.result

    def trainer(self, *, noise_free: bool = False) -> TableLookup:
        """A trainer that looks results up, for `attn_nas.search`; a search of the table's space then takes seconds."""
        return TableLookup(self, noise_free)


@dataclass(frozen=True)
class TableLookup:
    """See `Table.trainer`."""

    table: Table
    noise_free: bool

    def __call__(self, genotype: Genotype, seed: int, on_epoch: OnEpoch) -> Trained:
        """See `attn_nas.training.protocol.Trainer`."""
        trained = self.table.entry(genotype, seed).trained
        if self.noise_free:
            trained = replace(trained, result=self.table.query(genotype))
        for epoch, accuracy in enumerate(trained.result.curve, start=1):
            on_epoch(epoch, accuracy)
        return replace(trained, test=None)


def _mean(results: Sequence[ProxyResult]) -> ProxyResult:
    """The mean result, field by field and epoch by epoch."""

    def mean(name: str) -> Any:
        values = np.mean([getattr(result, name) for result in results], axis=0)
        return tuple(values.tolist()) if values.ndim else float(values)

    means = {field.name: mean(field.name) for field in fields(ProxyResult)}
    return ProxyResult(**{**means, "micro_batch": results[0].micro_batch, "seed": results[0].seed})


def _schema() -> Any:
    """The columns of the Parquet file."""
    import pyarrow

    text, number = pyarrow.string(), pyarrow.float64()
    return pyarrow.schema(
        [
            ("key", text),
            ("placements", text),
            ("genotype", text),
            ("seed", pyarrow.int64()),
            *((f"validation_{score.name}", number) for score in fields(Scores)),
            *((f"test_{score.name}", number) for score in fields(Scores)),
            *((name, pyarrow.list_(number)) for name in _CURVES),
            *((name, pyarrow.int64()) for name in ("micro_batch", *(cost.name for cost in fields(Cost)))),
            *((name, number) for name in _NUMBERS),
            *((figure.name, number) for figure in fields(StepProfile)),
            *((name, text) for name in ("numerics", "hardware", "versions")),
        ]
    )


def _row(entry: Entry) -> dict[str, Any]:
    """The row of an entry in the Parquet file."""
    trained, result = entry.trained, entry.trained.result
    named = [*_CURVES, *_NUMBERS, "micro_batch"]
    return {
        "key": entry.genotype.key,
        "placements": str(entry.genotype),
        "genotype": entry.genotype.to_json(),
        "seed": entry.seed,
        **{f"validation_{score.name}": getattr(result, score.name) for score in fields(Scores)},
        **{f"test_{name}": value for name, value in (trained.test.to_dict() if trained.test else {}).items()},
        **{name: getattr(result, name) for name in named},
        **trained.cost.to_dict(),
        **(trained.profile.to_dict() if trained.profile else {}),
        **{name: getattr(entry, name) for name in ("numerics", "hardware", "versions")},
    }


def _entry(row: Mapping[str, Any], genotypes: dict[str, Genotype]) -> Entry:
    """The entry of a row, the inverse of `_row`; ``genotypes`` caches parsed genotypes."""

    def group(kind: Callable[..., Any], names: Iterable[str], prefix: str = "") -> Any:
        values = {name: row[prefix + name] for name in names}
        return None if None in values.values() else kind(**values)

    key = row["key"]
    if key not in genotypes:
        genotypes[key] = Genotype.from_json(row["genotype"])
    scores = [score.name for score in fields(Scores)]
    named = {name: row[name] for name in (*_CURVES, *_NUMBERS, "micro_batch", "seed")}
    result = ProxyResult.from_dict({**{name: row[f"validation_{name}"] for name in scores}, **named})
    trained = Trained(
        result,
        group(Cost, (cost.name for cost in fields(Cost))),
        group(StepProfile, (figure.name for figure in fields(StepProfile))),
        group(Scores, scores, "test_"),
    )
    return Entry(genotypes[key], row["seed"], trained, row["numerics"], row["hardware"], row["versions"])
