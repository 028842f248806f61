"""Names and glyphs of networks, by rule: ``ECA before block 0``, and ``■│□│□`` for the blocks that have attention."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache, lru_cache

from attn_nas.format import written
from attn_nas.space.genotype import Genotype, Placement
from attn_nas.space.host import Host
from attn_nas.space.trunks import AnyTrunk

LONGEST = 60
"""Largest number of characters of a name."""
LONGEST_GLYPH = 40
"""Largest number of characters of a glyph with a character for each block."""
_BARE = "no attention"
_SEPARATOR = ", "
_WHERE: Mapping[str, str] = {
    "standard": "in",
    "pre": "before",
    "post": "after",
    "inner": "within the branch of",
    "pre_norm": "before the last norm of",
    "identity": "on the shortcut of",
    "replace": "as a convolution of",
}
"""What stands between a mechanism and its blocks, by position."""


def names_of(genotypes: Iterable[Genotype]) -> dict[str, str]:
    """Names of networks by key, each different, of at most 60 characters; in their order, as `Names` gives them."""
    names = Names()
    return {genotype.key: names.of(genotype) for genotype in genotypes}


class Names:
    """Names of networks that come one by one, each different from those before it, of at most 60 characters.

    A name stays as it was given; later ones have sizes, or the beginning of the key, where an earlier network has the name.
    """

    def __init__(self) -> None:
        self._by_key: dict[str, str] = {}
        self._given: set[str] = set()

    def of(self, genotype: Genotype) -> str:
        """The name of ``genotype``, the same each time."""
        if genotype.key not in self._by_key:
            given = next(name for name in _ever_longer(genotype) if name not in self._given)
            self._given.add(given)
            self._by_key[genotype.key] = given
        return self._by_key[genotype.key]


def _ever_longer(genotype: Genotype) -> Iterator[str]:
    """The name without sizes, with sizes, and with longer and longer beginnings of the key."""
    short = _listed(genotype, sizes=False)
    name = short or _counted(genotype)
    yield name
    if short:
        name = _listed(genotype, sizes=True) or _counted(genotype)
        yield name
    for size in range(4, len(genotype.key) + 1):
        yield _with_key(name, genotype.key[:size])


def _with_key(name: str, beginning: str) -> str:
    suffix = f" ({beginning})"
    return name[: LONGEST - len(suffix)].rstrip(" ,") + suffix


def glyph_of(genotype: Genotype) -> str:
    """One character for each block, stages between bars: ``■`` has a placement, ``□`` has none.

    ``◆`` in the place of a bar is a placement between two stages. Deep trunks have one character for each stage, ``◧`` where
    some of its blocks have a placement.
    """
    stages: list[list[bool]] = [[] for _ in range(genotype.trunk.num_stages)]
    for block, placement in zip(genotype.trunk.blocks, genotype.placements, strict=True):
        stages[block.stage].append(placement is not None)
    ends = genotype.stage_ends or (None,) * (genotype.trunk.num_stages - 1)
    bars = ["◆" if placement else "│" for placement in ends]
    whole = ["".join("■" if placed else "□" for placed in stage) for stage in stages]
    if sum(map(len, whole)) + len(bars) > LONGEST_GLYPH:
        whole = ["■" if all(stage) else "◧" if any(stage) else "□" for stage in stages]
    return "".join(part for pair in zip(whole, (*bars, ""), strict=True) for part in pair)


def _listed(genotype: Genotype, *, sizes: bool) -> str | None:
    """Each mechanism with its blocks; None if that is too long for a name."""
    groups: dict[tuple[str, str], list[int]] = {}
    for index, placement in enumerate(genotype.placements):
        if placement:
            groups.setdefault((_called(placement, sizes=sizes), placement.position), []).append(index)
    known = _known_blocks(genotype.trunk)
    parts: list[str] = []
    length = -len(_SEPARATOR)
    for (name, position), blocks in groups.items():
        numbers = tuple(blocks)
        if numbers not in known:
            known[numbers] = _blocks(genotype.trunk, numbers)
        parts.append(f"{name} {_WHERE[position]} {known[numbers]}")
        length += len(_SEPARATOR) + len(parts[-1])
        if length > LONGEST:
            return None
    for stage, placement in enumerate(genotype.stage_ends):
        if placement:
            parts.append(f"{_called(placement, sizes=sizes)} after stage {stage}")
    name = _SEPARATOR.join(parts) or _BARE
    return name if len(name) <= LONGEST else None


def _counted(genotype: Genotype) -> str:
    """The mechanisms, or their number where they are many, and how many places they fill."""
    mechanisms = [*dict.fromkeys(written(each.mechanism) for _, each in genotype.sites if each)]
    many = f"{len(mechanisms)} mechanisms"
    filled = f"in {genotype.num_attended} of {len(genotype.trunk.sites)} places"
    return next(short for each in (_enumerated(mechanisms), many) if len(short := f"{each} {filled}") <= LONGEST)


@cache
def _called(placement: Placement, *, sizes: bool) -> str:
    """The mechanism, and with ``sizes`` its hyperparameters: ``SE r4``."""
    return written(placement.mechanism) + (placement.label[len(placement.mechanism) :] if sizes else "")


@lru_cache(maxsize=8)
def _known_blocks(trunk: AnyTrunk) -> dict[tuple[int, ...], str]:
    """What `_blocks` has found for a trunk: a host takes long to hash, so that it is asked for once for each name."""
    return {}


def _blocks(trunk: AnyTrunk, blocks: Sequence[int]) -> str:
    """Blocks in words: all, whole stages, or single ones; modules of a user's own network by their names."""
    if isinstance(trunk, Host):
        names = [module.name for module in trunk.modules]
        return "all modules" if len(blocks) == len(names) > 1 else _enumerated([names[index] for index in blocks])
    every = _stages(trunk)
    if len(blocks) == sum(map(len, every)) > 1:
        return "all blocks"
    filled = {*blocks}
    stages = [stage for stage, members in enumerate(every) if members <= filled]
    if sum(len(every[stage]) for stage in stages) == len(blocks) > len(stages):
        return f"stage{'s' * (len(stages) > 1)} {_enumerated([*map(str, stages)])}"
    return f"block{'s' * (len(blocks) > 1)} {_enumerated(_ranges(blocks))}"


@cache
def _stages(trunk: AnyTrunk) -> list[set[int]]:
    """The indices of the blocks of each stage."""
    stages: list[set[int]] = [set() for _ in range(trunk.num_stages)]
    for index, block in enumerate(trunk.blocks):
        stages[block.stage].add(index)
    return stages


def _ranges(numbers: Sequence[int]) -> list[str]:
    """Rising numbers as text, three and more in a row as a range: ``0-3``."""
    runs: list[list[int]] = []
    for number in numbers:
        if runs and number == runs[-1][-1] + 1:
            runs[-1].append(number)
        else:
            runs.append([number])
    return [text for run in runs for text in ([f"{run[0]}-{run[-1]}"] if len(run) > 2 else map(str, run))]


def _enumerated(words: Sequence[str]) -> str:
    """``a``, ``a and b``, ``a, b and c``."""
    return " and ".join(filter(None, [", ".join(words[:-1]), words[-1]]))
