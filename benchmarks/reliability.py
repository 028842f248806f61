"""Whether the statements about a search hold: what is said to be probable, against how often it is true.

Each search of 50 trials has an instance of a landscape, noise and a seed of its own, and ends as `attn-nas search` does, with
one round of confirmation. Statements are: a candidate is on the front (*chance*), a member of the front is more accurate than
every cheaper member (*lead*), the network with the largest estimate is more accurate than a reference (*sure*), and 90 %
intervals of members of the front and of all candidates. Instances begin at 100: none of them was looked at when the estimates
were developed. Finished searches are kept in ``--kept``, one JSON line each, and are not played again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from common import make_parser, present
from kept import keep, kept
from playing import AXES, confirmed, searched

from attn_nas.benchmark import Instance, landscape
from attn_nas.runs.beliefs import beliefs_of, costs_of
from attn_nas.stats.agreement import Share

LANDSCAPES = (
    *("table", "additive", "pairs", "positions", "harm", "undoing", "saturating", "trends", "sparse"),
    *("bimodal", "unstructured"),
)
FIRST = 100
PROBABILITIES = ("chance", "lead", "sure")
INTERVALS = ("front", "all")
EDGES = (0.0, 0.1, 0.3, 0.5, 0.7, 0.9, 0.95, 0.99, 1.0)
_TABLE = "table"
Statement = tuple[float, bool]
"""The probability that is said, and whether the statement is true."""


def play(instance: Instance, sampler_seed: int, budget: int) -> dict[str, list[Statement]]:
    """The statements about one search, by kind."""
    records = confirmed(instance, searched(instance, budget, sampler_seed), 1)
    beliefs, costs = beliefs_of(records, AXES), costs_of(records, AXES)
    assert beliefs is not None
    genotypes = {record.key: record.genotype for record in records}
    true = {key: instance.accuracy(genotypes[key]) for key in beliefs.networks}

    def is_beaten(key: str) -> bool:
        others = (other for other in true if other != key and costs[other][0] <= costs[key][0])
        return any(true[other] >= true[key] for other in others)

    def holds(key: str) -> Statement:
        belief = beliefs.networks[key]
        return 0.9, bool(belief.low <= true[key] <= belief.high)

    leads = {key: lead for key in beliefs.front if (lead := beliefs.networks[key].lead) is not None}
    cheaper = {key: [other for other in beliefs.front if other != key and costs[other][0] <= costs[key][0]] for key in leads}
    best = max(true, key=lambda key: beliefs.networks[key].mean)
    references = [each.key for each in instance.references.values() if each.key in true and each.key != best]
    return {
        "chance": [(belief.chance, not is_beaten(key)) for key, belief in beliefs.networks.items()],
        "lead": [(lead, all(true[key] > true[other] for other in cheaper[key])) for key, lead in leads.items()],
        "sure": [(beliefs.difference(best, key).probability, bool(true[best] > true[key])) for key in references],
        "front": [holds(key) for key in beliefs.front],
        "all": [holds(key) for key in true],
    }


def bins(statements: Sequence[Statement]) -> list[dict[str, Any]]:
    """For each range of said probabilities: number of statements, mean probability, and the share that is true."""
    found = []
    for low, high in pairwise(EDGES):
        inside = [each for each in statements if low <= each[0] < high or (high == 1.0 and each[0] == 1.0)]
        if inside:
            truth = Share.counted(sum(is_true for _, is_true in inside), len(inside)).to_dict()
            found.append({"from": low, "to": high, "said": float(np.mean([said for said, _ in inside])), **truth})
    return found


def reliability(searches: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The bins of each kind of probability, for the table and for all other landscapes together."""
    rows = []
    for place, of_table in (("table", True), ("other landscapes", False)):
        chosen = [each["statements"] for each in searches if (each["landscape"] == _TABLE) == of_table]
        for kind in PROBABILITIES:
            rows += [{"kind": kind, "place": place, **row} for row in bins([one for each in chosen for one in each[kind]])]
    return rows


def intervals(name: str, searches: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The shares of 90 % intervals that hold in the searches of a landscape."""
    row: dict[str, Any] = {"landscape": name, "searches": len(searches)}
    for kind in INTERVALS:
        statements = [is_true for each in searches for _, is_true in each["statements"][kind]]
        row[kind] = Share.counted(sum(statements), len(statements)).to_dict()
    return row


def text(rows: Sequence[Mapping[str, Any]], found: Sequence[Mapping[str, Any]]) -> str:
    """Tables for a person."""
    lines = [f"{'said':24}{'':18}{'mean':>7}{'true':>7}{'of':>7}"]
    lines += [
        f"{row['kind']:7}{row['from']:>7.2f} to {row['to']:<6.2f}{row['place']:18}"
        f"{row['said']:>7.2f}{row['share']:>7.2f}{row['of']:>7}"
        for row in rows
    ]
    lines += [f"{'landscape':14}{'90 % intervals of the front':>30}{'of all candidates':>20}"]
    lines += [f"{row['landscape']:14}{row['front']['share']:>30.2f}{row['all']['share']:>20.2f}" for row in found]
    return "\n".join(lines)


def main() -> None:
    """Play what is not kept yet, print."""
    parser = make_parser(__doc__.splitlines()[0])
    parser.add_argument("--instances", type=int, default=10, help="searches on each landscape")
    parser.add_argument("--budget", type=int, default=50)
    parser.add_argument("--landscapes", nargs="*", default=[*LANDSCAPES], choices=LANDSCAPES, metavar="NAME")
    parser.add_argument("--kept", type=Path, help="file of finished searches, which is added to")
    chosen = parser.parse_args()
    if chosen.quick:
        chosen.instances, chosen.budget, chosen.landscapes = 1, 16, ["table", "additive"]
    finished = {(each["landscape"], each["instance"]): each for each in kept(chosen.kept) if each["budget"] == chosen.budget}
    wanted = [(name, number) for number in range(FIRST, FIRST + chosen.instances) for name in chosen.landscapes]
    for name, number in wanted:
        if (name, number) not in finished:
            statements = play(landscape(name).instance(number), number, chosen.budget)
            finished[name, number] = {
                "landscape": name,
                "instance": number,
                "budget": chosen.budget,
                "statements": statements,
            }
            keep(chosen.kept, finished[name, number])
    searches = [finished[each] for each in wanted]
    rows = reliability(searches)
    found = [intervals(name, [each for each in searches if each["landscape"] == name]) for name in chosen.landscapes]
    headline = min(row["front"]["share"] for row in found)
    present(chosen, headline, text(rows, found), budget=chosen.budget, probabilities=rows, intervals=found)


if __name__ == "__main__":
    main()
