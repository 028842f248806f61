"""How often a search announces something: where no placement matters, and where one does.

Each search of 50 trials has a landscape's instance, noise and seed of its own, and ends as `attn-nas search` does, with one
round of confirmation; a second round follows, to compare. Its verdict is that of `run.verdict`. On landscapes without
differences every announcement is an error; on the others a search without one has missed what there is. Finished searches are
kept in ``--kept``, one JSON line each, and are not played again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from common import make_parser, present
from kept import keep, kept
from playing import AXES, SEED, confirmed, searched

from attn_nas.benchmark import EMBEDDED, Table
from attn_nas.benchmark.landscapes import LANDSCAPES, Ground, Instance, landscape
from attn_nas.benchmark.noise import Recorded
from attn_nas.runs.beliefs import beliefs_of
from attn_nas.runs.record import Record
from attn_nas.runs.verdict import Verdict
from attn_nas.space.genotype import Genotype
from attn_nas.stats.agreement import Share
from attn_nas.training import ProxyResult

ROUNDS = (1, 2)
BUDGET = 50
SCATTERED = "table-null"
"""The networks of the embedded table, all of them equally accurate; each scatters as networks of its class on the table do."""


@cache
def _scattered() -> tuple[Ground, Recorded, ProxyResult]:
    table = Table.load(EMBEDDED)
    results = sorted((table.query(each) for each in table.genotypes.values()), key=lambda result: result.accuracy)
    return Ground(table.header.space, table.header.task), Recorded(table), results[len(results) // 2]


def scattered(number: int) -> Instance:
    """Instance ``number`` of the landscape `SCATTERED`."""
    ground, noise, median = _scattered()

    def expected(genotype: Genotype, accuracy: float) -> ProxyResult:
        return median

    return Instance(ground, lambda rows: np.full(len(rows), median.accuracy), noise, number, expected)


NULLS: Mapping[str, Callable[[int], Instance]] = {
    "null": landscape("null").instance,
    "null-16": landscape("null-16").instance,
    SCATTERED: scattered,
}
OTHERS: Mapping[str, Callable[[int], Instance]] = {
    name: each.instance for name, each in LANDSCAPES.items() if name not in NULLS
}


def judged(records: Sequence[Record]) -> dict[str, Any]:
    """The verdict on the trainings of a search."""
    verdict = Verdict.of(records, beliefs_of(records, AXES), seed=SEED, epochs=1, axes=AXES)
    return {"kind": verdict.kind, "p": verdict.p, "announced": verdict.allows_claims, "trainings": len(records)}


def play(instance: Instance, sampler_seed: int, budget: int) -> dict[str, dict[str, Any]]:
    """The verdicts after each number of rounds, by that number as text."""
    records, found = searched(instance, budget, sampler_seed), {}
    for rounds in ROUNDS:
        records = confirmed(instance, records, rounds)
        found[str(rounds)] = judged(records)
    return found


def wanted(nulls: int, others: int, names: Sequence[str]) -> Iterator[tuple[str, int]]:
    """Landscapes and numbers of the searches, in the order in which they are played: all landscapes advance together."""
    for number in range(max(nulls, others)):
        for name in names:
            if number < (nulls if name in NULLS else others):
                yield name, number


def summary(name: str, searches: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The shares of the searches of a landscape that announce something, by the number of rounds."""
    row: dict[str, Any] = {"landscape": name, "matters": name not in NULLS, "searches": len(searches)}
    for rounds in map(str, ROUNDS):
        found = [each["verdicts"][rounds] for each in searches]
        announced = Share.counted(sum(each["announced"] for each in found), len(found))
        row[f"rounds {rounds}"] = {**announced.to_dict(), "trainings": float(np.mean([each["trainings"] for each in found]))}
    return row


def pooled(rows: Sequence[Mapping[str, Any]], matters: bool) -> dict[str, Any] | None:
    """The share over all landscapes where something matters, or nothing does; None without searches."""
    chosen = [row for row in rows if row["matters"] == matters]
    if not chosen:
        return None
    of = sum(row["searches"] for row in chosen)
    counted = {
        key: Share.counted(sum(row[key]["number"] for row in chosen), of).to_dict() for key in map("rounds {}".format, ROUNDS)
    }
    return {"landscapes": len(chosen), "searches": of, **counted}


def text(rows: Sequence[Mapping[str, Any]]) -> str:
    """A table for a person."""
    lines = [f"{'landscape':16}{'searches':>9}" + "".join(f"{f'announced, rounds: {rounds}':>36}" for rounds in ROUNDS)]
    for row in rows:
        shares = [row[f"rounds {rounds}"] for rounds in ROUNDS]
        cells = [
            f"{each['number']} ({100 * each['share']:.0f} % [{100 * each['low']:.0f}, {100 * each['high']:.0f}])"
            for each in shares
        ]
        lines.append(f"{row['landscape']:16}{row['searches']:>9}" + "".join(f"{each:>36}" for each in cells))
    return "\n".join(lines)


def main() -> None:
    """Play what is not kept yet, print."""
    parser = make_parser(__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=200, help="searches of each landscape on which nothing matters")
    parser.add_argument("--others", type=int, default=20, help="searches of each other landscape")
    parser.add_argument("--budget", type=int, default=BUDGET)
    parser.add_argument("--landscapes", nargs="*", default=[*NULLS, *OTHERS], choices=[*NULLS, *OTHERS], metavar="NAME")
    parser.add_argument("--kept", type=Path, help="file of finished searches, which is added to")
    chosen = parser.parse_args()
    if chosen.quick:
        chosen.seeds, chosen.others, chosen.budget, chosen.landscapes = 2, 1, 16, ["null", "table"]
    made = {**NULLS, **OTHERS}
    found = {(each["landscape"], each["instance"]): each for each in kept(chosen.kept) if each["budget"] == chosen.budget}
    names = [*wanted(chosen.seeds, chosen.others, chosen.landscapes)]
    for name, number in names:
        if (name, number) not in found:
            verdicts = play(made[name](number), number, chosen.budget)
            found[name, number] = {"landscape": name, "instance": number, "budget": chosen.budget, "verdicts": verdicts}
            keep(chosen.kept, found[name, number])
    rows = [
        summary(name, [found[each] for each in names if each[0] == name]) for name in dict.fromkeys(name for name, _ in names)
    ]
    null, others = pooled(rows, matters=False), pooled(rows, matters=True)
    headline = null["rounds 1"]["share"] if null else float("nan")
    present(chosen, headline, text(rows), budget=chosen.budget, rows=rows, nothing_matters=null, something_matters=others)


if __name__ == "__main__":
    main()
