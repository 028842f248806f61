"""Names and glyphs of networks, by rule: ``ECA before block 0``, and ``■│□│□`` for the blocks that have attention."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from attn_nas.space.genotype import Genotype, Placement

LONGEST = 60
"""Largest number of characters of a name."""
_LONGEST_GLYPH = 40
_BARE = "no attention"
_WRITTEN: Mapping[str, str] = {
    "cam_gate": "CAM gate",
    "coord": "coordinate attention",
    "danet_cam": "DANet CAM",
    "danet_pam": "DANet PAM",
    "ese": "eSE",
    "gsop": "GSoP",
    "nonlocal": "non-local",
    "scse": "scSE",
    "simam": "SimAM",
}
"""Mechanisms whose papers write them in another way than `written` does by rule."""
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


def written(mechanism: str) -> str:
    """The mechanism as text for people: short words in capitals, ``_`` as a space."""
    short = [word.upper() if len(word) <= 4 else word for word in mechanism.split("_")]
    return _WRITTEN.get(mechanism, " ".join(short))


def names_of(genotypes: Iterable[Genotype]) -> dict[str, str]:
    """Names of networks by key, each different, of at most 60 characters.

    Sizes are named where two networks would have the same name else, and the beginning of the key where that does not help.
    """
    by_key = {genotype.key: genotype for genotype in genotypes}
    names = {key: _name(genotype, sizes=False) for key, genotype in by_key.items()}
    for key in _shared(names):
        names[key] = _name(by_key[key], sizes=True)
    for key in _shared(names):
        suffix = f" ({_beginning(key, by_key)})"
        names[key] = names[key][: LONGEST - len(suffix)].rstrip(" ,") + suffix
    return names


def glyph_of(genotype: Genotype) -> str:
    """One character for each block, stages between bars: ``■`` has a placement, ``□`` has none.

    ``◆`` in the place of a bar is a placement between two stages. Deep trunks have one character for each stage, ``◧`` where
    some of its blocks have a placement.
    """
    stages: list[list[bool]] = [[] for _ in range(genotype.trunk.num_stages)]
    for block, placement in zip(genotype.trunk.blocks, genotype.placements, strict=True):
        stages[block.stage].append(placement is not None)
    ends = genotype.stage_ends or (None,) * (len(stages) - 1)  # a network of the user's own has no sites between stages
    bars = ["◆" if placement else "│" for placement in ends]
    whole = ["".join("■" if placed else "□" for placed in stage) for stage in stages]
    if sum(map(len, whole)) + len(bars) > _LONGEST_GLYPH:
        whole = ["■" if all(stage) else "◧" if any(stage) else "□" for stage in stages]
    return "".join(part for pair in zip(whole, (*bars, ""), strict=True) for part in pair)


def _shared(names: Mapping[str, str]) -> list[str]:
    """Keys whose names others have too."""
    counts = Counter(names.values())
    return [key for key, name in names.items() if counts[name] > 1]


def _beginning(key: str, others: Iterable[str]) -> str:
    """The beginning of ``key``, at least four digits, that no other key has."""
    return next(key[:size] for size in range(4, len(key) + 1) if sum(other.startswith(key[:size]) for other in others) == 1)


def _name(genotype: Genotype, *, sizes: bool) -> str:
    groups: dict[tuple[str, str], list[int]] = {}
    for index, placement in enumerate(genotype.placements):
        if placement:
            groups.setdefault((_called(placement, sizes=sizes), placement.position), []).append(index)
    parts = [f"{name} {_WHERE[position]} {_blocks(genotype, blocks)}" for (name, position), blocks in groups.items()]
    for stage, placement in enumerate(genotype.stage_ends):
        if placement:
            parts.append(f"{_called(placement, sizes=sizes)} after stage {stage}")
    name = ", ".join(parts) or _BARE
    if len(name) <= LONGEST:
        return name
    mechanisms = [*dict.fromkeys(written(each.mechanism) for _, each in genotype.sites if each)]
    many = f"{len(mechanisms)} mechanisms"
    filled = f"in {genotype.num_attended} of {len(genotype.trunk.sites)} places"
    return next(short for each in (_enumerated(mechanisms), many) if len(short := f"{each} {filled}") <= LONGEST)


def _called(placement: Placement, *, sizes: bool) -> str:
    """The mechanism, and with ``sizes`` its hyperparameters: ``SE r4``."""
    return written(placement.mechanism) + (placement.label[len(placement.mechanism) :] if sizes else "")


def _blocks(genotype: Genotype, blocks: Sequence[int]) -> str:
    """Blocks in words: all, whole stages, or single ones."""
    every = genotype.trunk.blocks
    if len(blocks) == len(every) > 1:
        return "all blocks"
    stages = [
        stage
        for stage in range(genotype.trunk.num_stages)
        if {i for i, each in enumerate(every) if each.stage == stage} <= {*blocks}
    ]
    whole = sum(every[index].stage in stages for index in blocks) == len(blocks)
    if whole and len(blocks) > len(stages):
        return f"stage{'s' * (len(stages) > 1)} {_enumerated([*map(str, stages)])}"
    return f"block{'s' * (len(blocks) > 1)} {_enumerated(_ranges(blocks))}"


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
