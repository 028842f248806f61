"""Landscapes: families of made-up and of recorded search problems whose true accuracies are known.

Each instance of a landscape has its own truth, its own noise, and costs counted on the real networks of its space. Effects are
logits. The deviation of true accuracies between random networks is 0.2 logits (1.8 points near 90 %), unless a landscape says
otherwise.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, cached_property, partial
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, logit

from attn_nas.benchmark.noise import Gaussian, Noise, Recorded
from attn_nas.benchmark.table import EMBEDDED, Table
from attn_nas.cost import Cost, CostTable
from attn_nas.errors import TableError, UsageError, choose_from
from attn_nas.sampling.rows import CostedRows, Rows
from attn_nas.space.encoding import Encoding
from attn_nas.space.genotype import Genotype, Placement
from attn_nas.space.loading import load_space
from attn_nas.space.references import reference_genotypes
from attn_nas.space.schema import SearchSpace
from attn_nas.space.task import Task
from attn_nas.stats.pareto import hypervolume
from attn_nas.training import ProxyResult

Floats = NDArray[np.float64]
EFFECT = 0.2
"""Standard deviation of true accuracies over random networks, in logits."""
_BARE = 0.9
_SECONDS = 10.0
_SAMPLE = 2000
_EXHAUSTIVE = 5000
_KICKS = 4


class Ground:
    """A search space with the costs of its networks, on which the instances of a landscape differ in their truth alone."""

    def __init__(self, space: SearchSpace, task: Task) -> None:
        self.space = space
        self.task = task
        self.encoding = Encoding(space)
        self.costs = CostTable(self.encoding.trunk, task)
        self.rows = CostedRows(space, self.costs)
        self.references = reference_genotypes(space, self.encoding)
        self.stages = np.array([sites[0].block.stage for sites in self.encoding.sites])
        """The stage of each gene."""

    @cached_property
    def placements(self) -> list[list[Placement | None]]:
        """For each gene, the placement of each option at its first site; the first option is none."""
        return [[option[0] for option in options] for options in self.encoding.options]

    def per_option(self, value: Callable[[int, Placement], float]) -> list[Floats]:
        """For each gene, the ``value`` of each option, from the number of the gene and the placement; 0 for none."""
        return [
            np.array([0.0 if placement is None else value(gene, placement) for placement in options])
            for gene, options in enumerate(self.placements)
        ]

    def random(self, rng: np.random.Generator) -> Rows:
        """2,000 random networks."""
        return self.rows.random(_SAMPLE, rng)


class Truth(Protocol):
    """Maps networks ``(networks, genes)`` to true accuracies as fractions of 1, ``(networks,)``."""

    def __call__(self, rows: Rows) -> Floats:
        """The true accuracies."""
        ...


class Instance:
    """One problem of a landscape; see `Problem` and `Judge`.

    ``expected`` gives the mean result of a network over all seeds, whose accuracy is that of ``truth``. Trainings are drawn
    from the number of the instance, the seed and the network, and repeat themselves.
    """

    def __init__(
        self, ground: Ground, truth: Truth, noise: Noise, number: int, expected: Callable[[Genotype, float], ProxyResult]
    ) -> None:
        self.ground = ground
        self.truth = truth
        self._noise = noise
        self._number = number
        self._expected = expected
        self.space = ground.space
        self.task = ground.task
        self.encoding = ground.encoding
        self.costs = ground.costs
        self.references: Mapping[str, Genotype] = ground.references

    def cost(self, genotype: Genotype) -> Cost:
        """See `Problem.cost`."""
        return self.costs.cost(genotype)

    def query(self, genotype: Genotype, seed: int | None = None) -> ProxyResult:
        """See `Problem.query`."""
        expected = self._expected(genotype, self.accuracy(genotype))
        if seed is None:
            return expected
        own = np.random.default_rng([self._number, seed, int(genotype.key, 16)])
        return self._noise.training(genotype, expected, own, np.random.default_rng([self._number, seed]))

    def accuracy(self, genotype: Genotype) -> float:
        """See `Judge.accuracy`."""
        return float(self.truth(self._rows([genotype]))[0])

    def hypervolume(self, networks: Iterable[Genotype]) -> float:
        """See `Judge.hypervolume`; costs are those of `CostedRows`."""
        return self._dominated(self._rows(list(networks)))

    @cached_property
    def best_hypervolume(self) -> float:
        """See `Judge.best_hypervolume`."""
        return self._dominated(self._best)

    @cached_property
    def reference_hypervolume(self) -> float:
        """See `Judge.reference_hypervolume`."""
        return self.hypervolume(self.references.values())

    @cached_property
    def front(self) -> list[Genotype]:
        """The true front by rising cost: exact for at most 5,000 networks, otherwise the best that a local search finds."""
        return [self.encoding.from_row(row) for row in self._best.tolist()]

    def _rows(self, genotypes: Sequence[Genotype]) -> Rows:
        rows = [self.encoding.to_row(genotype) for genotype in genotypes]
        for genotype, row in zip(genotypes, rows, strict=True):
            if row is None:
                raise UsageError(f"the landscape has no network {genotype}")
        return np.array(rows, dtype=np.int64).reshape(len(rows), self.encoding.num_genes)

    def _dominated(self, rows: Rows) -> float:
        if not len(rows):
            return 0.0
        bare = float(self.truth(np.zeros((1, self.encoding.num_genes), dtype=np.int64))[0])
        return hypervolume([*zip(self.truth(rows), self.ground.rows.costs(rows)[:, 0], strict=True)], (bare, 1.0))

    @cached_property
    def _best(self) -> Rows:
        """The rows of the true front."""
        space = self.ground.rows
        if space.size <= _EXHAUSTIVE:
            return self._undominated(space.all())
        rng = np.random.default_rng([self._number])
        best = self._climbed(
            self._undominated(np.concatenate([self._rows([*self.references.values()]), space.random(_SAMPLE, rng)]))
        )
        for _ in range(_KICKS):
            twice = space.mutations(space.mutations(best)[rng.integers(len(best), size=_SAMPLE // 20)])
            kicked = [best, space.crossed(best, _SAMPLE, rng), space.random(_SAMPLE, rng), twice]
            best = self._climbed(self._undominated(np.concatenate(kicked)))
        return best

    def _climbed(self, best: Rows) -> Rows:
        """The front after changes of single genes until none improves it (Pareto local search, Paquete et al., 2004)."""
        while True:
            better = self._undominated(np.concatenate([best, self.ground.rows.mutations(best)]))
            if np.array_equal(better, best):
                return best
            best = better

    def _undominated(self, rows: Rows) -> Rows:
        rows = np.unique(rows, axis=0)
        accuracies, costs = self.truth(rows), self.ground.rows.costs(rows)[:, 0]
        order = np.lexsort((-accuracies, costs))
        ranked = accuracies[order]
        leads = np.append(True, ranked[1:] > np.maximum.accumulate(ranked)[:-1])
        return rows[order[leads]]


@dataclass(frozen=True)
class Landscape:
    """A family of problems; `instance` makes one.

    Args:
        name: its name.
        about: what its truth is like, in one sentence.
        make: makes the instance of a number.

    """

    name: str
    about: str
    make: Callable[[int], Instance] = field(repr=False)

    def instance(self, number: int) -> Instance:
        """The instance ``number``: equal numbers give equal instances."""
        return self.make(number)


Effect = Callable[[Rows], Floats]
"""Maps networks ``(networks, genes)`` to logits above an accuracy of reference, ``(networks,)``."""
EffectMaker = Callable[[Ground, np.random.Generator], Effect]


def _scaled(effect: Effect, ground: Ground, rng: np.random.Generator) -> Effect:
    """``effect`` times a factor that gives random networks a standard deviation of `EFFECT`."""
    factor = EFFECT / max(float(effect(ground.random(rng)).std()), 1e-9)
    return lambda rows: factor * effect(rows)


def _sum(tables: Sequence[Floats]) -> Effect:
    """The sum over genes of the values of their options."""
    return lambda rows: np.sum([table[rows[:, gene]] for gene, table in enumerate(tables)], axis=0)


def _drawn(ground: Ground, rng: np.random.Generator) -> list[Floats]:
    """For each gene, an independent normal effect of each option."""
    return ground.per_option(lambda gene, placement: rng.normal())


def _additive(ground: Ground, rng: np.random.Generator) -> Effect:
    return _scaled(_sum(_drawn(ground, rng)), ground, rng)


def _pairs(ground: Ground, rng: np.random.Generator) -> Effect:
    """As many random pairs of genes as there are genes, each with a table of the effects of both options."""
    sizes = [len(options) for options in ground.placements]
    chosen = [rng.choice(len(sizes), 2, replace=False) for _ in sizes]
    tables = [rng.normal(size=(sizes[a], sizes[b])) for a, b in chosen]
    return _scaled(
        lambda rows: np.sum([table[rows[:, a], rows[:, b]] for (a, b), table in zip(chosen, tables, strict=True)], axis=0),
        ground,
        rng,
    )


def _positions(ground: Ground, rng: np.random.Generator) -> Effect:
    drawn = [dict.fromkeys({placement.position for placement in options if placement}) for options in ground.placements]
    effects = [{position: rng.normal() for position in sorted(positions)} for positions in drawn]
    return _scaled(_sum(ground.per_option(lambda gene, placement: effects[gene][placement.position])), ground, rng)


def _harm(ground: Ground, rng: np.random.Generator) -> Effect:
    """Additive, and a random mechanism costs three deviations wherever it stands in a random stage."""
    rest = _additive(ground, rng)
    mechanism = rng.choice(sorted({placement.mechanism for options in ground.placements for placement in options if placement}))
    stage = rng.choice(ground.stages)
    harm = _sum(
        ground.per_option(lambda gene, placement: float(ground.stages[gene] == stage and placement.mechanism == mechanism))
    )
    return lambda rows: rest(rows) - 3 * EFFECT * harm(rows)


def _undoing(ground: Ground, rng: np.random.Generator) -> Effect:
    """In each stage, the effect of the only attended block; none of them counts where there are two or more."""
    tables = _drawn(ground, rng)

    def effect(rows: Rows) -> Floats:
        found = np.zeros(len(rows))
        for stage in np.unique(ground.stages):
            genes = np.flatnonzero(ground.stages == stage)
            alone = (rows[:, genes] > 0).sum(1) == 1
            found += alone * np.sum([tables[gene][rows[:, gene]] for gene in genes], axis=0)
        return found

    return _scaled(effect, ground, rng)


def _saturating(ground: Ground, rng: np.random.Generator) -> Effect:
    """The largest effect of any placement: one good placement is all there is to find."""
    tables = _drawn(ground, rng)
    return _scaled(
        lambda rows: np.max([np.maximum(table, 0.0)[rows[:, gene]] for gene, table in enumerate(tables)], axis=0), ground, rng
    )


def _trends(ground: Ground, rng: np.random.Generator) -> Effect:
    """Each mechanism and position has an effect that changes linearly with depth."""
    ends: dict[tuple[str, str], Floats] = {}
    last = max(len(ground.placements) - 1, 1)

    def value(gene: int, placement: Placement) -> float:
        first, final = ends.setdefault((placement.mechanism, placement.position), rng.normal(size=2))
        return float(first + (final - first) * gene / last)

    return _scaled(_sum(ground.per_option(value)), ground, rng)


def _sparse(ground: Ground, rng: np.random.Generator) -> Effect:
    """Additive in two random genes; placements elsewhere cost and change nothing."""
    genes = rng.choice(len(ground.placements), 2, replace=False)
    tables = [table if gene in genes else 0.0 * table for gene, table in enumerate(_drawn(ground, rng))]
    return _scaled(_sum(tables), ground, rng)


def _unstructured(ground: Ground, rng: np.random.Generator) -> Effect:
    """An independent effect of each network; for spaces that can be enumerated."""
    sizes = tuple(len(options) for options in ground.placements)
    values = rng.normal(0.0, EFFECT, size=sizes)
    return lambda rows: values[tuple(rows.T)] - values[(0,) * len(sizes)]


def _null(ground: Ground, rng: np.random.Generator) -> Effect:
    return lambda rows: np.zeros(len(rows))


_LOW, _HIGH = 0.8, 0.94
"""Accuracies around which the networks of the bimodal landscape lie."""


def _bimodal(ground: Ground, rng: np.random.Generator) -> Effect:
    """Additive, and 14 points more for networks in which any block has a mechanism that suits it (half of the pairs do)."""
    rest = _additive(ground, rng)
    suits: dict[tuple[int, str], float] = {}
    found = ground.per_option(lambda gene, placement: suits.setdefault((gene, placement.mechanism), float(rng.random() < 0.5)))
    jump = float(logit(_HIGH) - logit(_LOW))
    return lambda rows: rest(rows) + jump * (_sum(found)(rows) > 0)


_MECHANISMS: list[dict[str, Any]] = [
    {"name": "se", "reductions": [4, 16], "positions": ["standard", "pre"]},
    {"name": "eca", "kernel_sizes": [3], "positions": ["standard", "pre"]},
    {"name": "sam", "kernel_sizes": [7], "positions": ["standard", "post"]},
]
"""Up to eight placements for each block."""
_PROXY = {"epochs": 1, "batch_size": 64, "lr": 0.1}
_IMAGES = Task(3, 32, 32, 10)


@cache
def _nine() -> Ground:
    """ResNet-20 for CIFAR-10, nine blocks."""
    return Ground(SearchSpace(trunk="cifar_resnet20", mechanisms=_MECHANISMS, proxy=_PROXY), _IMAGES)


@cache
def _sixteen() -> Ground:
    """ResNet-50 of width 16, sixteen blocks."""
    trunk = {"name": "resnet", "depth": 50, "width": 16}
    return Ground(SearchSpace(trunk=trunk, mechanisms=_MECHANISMS, proxy=_PROXY), _IMAGES)


@cache
def _default() -> Ground:
    """The space of a search that names none: three blocks."""
    return Ground(load_space("cued_digits").with_training(epochs=1), _IMAGES)


@cache
def _small() -> Ground:
    """The space of the embedded table: three blocks, 512 networks."""
    return Ground(load_space("cued_digits_table").with_training(epochs=1), _IMAGES)


def _at_once(genotype: Genotype, accuracy: float, *, costs: CostTable) -> ProxyResult:
    """A result of one epoch, without loss and margin, that takes 10 s times the FLOPs over those of the bare trunk."""
    seconds = _SECONDS * costs.cost(genotype).flops / costs.bare.flops
    unknown = (float("nan"),)
    return ProxyResult(accuracy, *unknown, *unknown, (accuracy,), unknown, unknown, unknown, seconds, seconds, 0.0, 0, 0)


def _made_up(number: int, *, effects: EffectMaker, ground: Callable[[], Ground], noise: Noise, bare: float) -> Instance:
    """Instance ``number`` of a landscape of these ``effects``."""
    here = ground()
    effect = effects(here, np.random.default_rng([number]))
    return Instance(here, lambda rows: expit(logit(bare) + effect(rows)), noise, number, partial(_at_once, costs=here.costs))


def _of_table(number: int, *, path: Path, classes: int) -> Instance:
    """Instance ``number`` of the recorded landscape of the table in ``path``."""
    table, ground, noise = _recorded(path, classes)
    means = np.array([table.query(ground.encoding.from_row(row)).accuracy for row in ground.rows.all().tolist()])
    shape = [len(options) for options in ground.placements]

    def truth(rows: Rows) -> Floats:
        return means[np.ravel_multi_index(tuple(rows.T), shape)]

    return Instance(ground, truth, noise, number, lambda genotype, accuracy: table.query(genotype))


def _recorded(path: Path, classes: int) -> tuple[Table, Ground, Noise]:
    """The table in ``path`` with its space and noise, read anew only if the file has changed."""
    try:
        stat = path.stat()
    except OSError as error:
        raise TableError(f"{path} is not a table of trainings: {error.strerror}") from None
    return _read(path, classes, stat.st_mtime_ns, stat.st_size)


@cache
def _read(path: Path, classes: int, changed: int, size: int) -> tuple[Table, Ground, Noise]:
    table = Table.load(path)
    if not table.complete:
        raise TableError(
            f"the table has {len(table.genotypes)} of the {table.encoding.num_genotypes} networks of its space: strategies "
            "need all of them"
        )
    return table, Ground(table.header.space, table.header.task), Recorded(table, classes)


def recorded(path: str | Path, classes: int = 8) -> Landscape:
    """The landscape of the table in ``path``: its mean accuracies, with deviations drawn from its trainings (`Recorded`).

    Raises:
        TableError: the table cannot be read, lacks networks of its space, or has fewer than two seeds of all networks.

    """
    whole = Path(path).absolute()
    table = _recorded(whole, classes)[0]
    return _of_file(table.header.name, f"{len(table.genotypes)} networks of {path}", whole, classes)


def _of_file(name: str, about: str, path: Path, classes: int) -> Landscape:
    pooled = "any network" if classes == 1 else "networks of similar accuracy"
    about = f"{about}, with their mean accuracies; deviations as recorded of {pooled}"
    return Landscape(name, about, partial(_of_table, path=path, classes=classes))


_KINDS: dict[str, tuple[EffectMaker, float, str]] = {
    "additive": (_additive, 0.3, "every placement at every block has an effect of its own"),
    "pairs": (_pairs, 0.3, "random pairs of blocks have effects of both placements together"),
    "positions": (_positions, 0.5, "the position alone matters, differently at every block"),
    "harm": (_harm, 0.3, "additive, but one mechanism harms in one stage"),
    "undoing": (_undoing, 0.3, "a second placement in a stage undoes the first"),
    "saturating": (_saturating, 0.3, "the best placement counts, the others add nothing"),
    "trends": (_trends, 0.3, "the effect of a mechanism changes steadily with depth"),
    "sparse": (_sparse, 0.3, "two blocks matter, placements elsewhere change nothing"),
    "null": (_null, 0.5, "nothing matters"),
}
"""Effects, noise of a training relative to `EFFECT`, and description of the landscapes at nine and sixteen blocks."""


def _made(effects: EffectMaker, ground: Callable[[], Ground], noise: Noise, bare: float = _BARE) -> Callable[[int], Instance]:
    return partial(_made_up, effects=effects, ground=ground, noise=noise, bare=bare)


LANDSCAPES: dict[str, Landscape] = {
    each.name: each
    for each in (
        *(
            Landscape(f"{kind}{ending}", f"{blocks} blocks; {about}", _made(effects, ground, Gaussian(noise * EFFECT)))
            for ending, ground, blocks in (("", _nine, "nine"), ("-16", _sixteen, "sixteen"))
            for kind, (effects, noise, about) in _KINDS.items()
        ),
        Landscape(
            "bimodal",
            "the default space; one suitable placement gives 14 points, others little",
            _made(_bimodal, _default, Gaussian(0.15, low=0.28, border=0.87), _LOW),
        ),
        Landscape(
            "unstructured", "512 networks, each with an effect of its own", _made(_unstructured, _small, Gaussian(0.1 * EFFECT))
        ),
        *(
            _of_file(name, "the 512 networks of the embedded table", EMBEDDED, classes)
            for name, classes in (("table", 8), ("table-pooled", 1))
        ),
    )
}
"""All landscapes by name; ``-16`` marks those of sixteen blocks."""


def landscape(name: str) -> Landscape:
    """The landscape called ``name``.

    Raises:
        UsageError: there is none.

    """
    if name not in LANDSCAPES:
        raise UsageError(f"landscape {name!r}: {choose_from(name, LANDSCAPES)}")
    return LANDSCAPES[name]
