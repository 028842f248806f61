"""Seconds until the front of a search is as good as that of a plain Optuna loop after 200 trials, over that loop's seconds.

The loop is Optuna's TPE with the naive trainer (`naive_peer.py`), one candidate after the other; its front is that of measured
accuracies. The search is that of `attn-nas search`; its front is that of estimates. Both are judged by the true hypervolume of
the networks that they report. Each pair has an instance of a landscape, noise and a seed of its own. A trial takes the seconds
that `proxy_speed.py` measured for each side on one machine, in turns, plus what this script measures of ask and tell. Searches
without an equal front after ``--budget`` trials count as that many, and are reported. Finished pairs are kept in ``--kept``,
one JSON line each, and are not played again.
"""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from common import make_parser, present
from kept import keep, kept

from attn_nas.benchmark import Instance, NamedStrategy, Strategy, landscape
from attn_nas.stats.uncertainty import Mean

LANDSCAPES = ("table", "additive", "pairs")
LOOP, SEARCH = "tpe", "attn-nas"
SPEEDS = Path(__file__).parent / "results" / "proxy_speed.json"
_FEWEST = 4
"""Fewest trials after which a front of estimates exists."""


class Played:
    """A strategy that is played on an instance trial by trial; ``seconds`` are those of its asks and tells so far."""

    def __init__(self, name: str, instance: Instance, number: int) -> None:
        self._strategy: Strategy = NamedStrategy(name)(instance, number)
        self._instance, self._number = instance, number
        self.trials = 0
        self.seconds = 0.0

    def trial(self) -> bool:
        """Play one trial; False if there is no candidate left."""
        start = time.process_time()
        genotype = self._strategy.ask()
        self.seconds += time.process_time() - start
        if genotype is None:
            return False
        result = self._instance.query(genotype, self._number)
        start = time.process_time()
        self._strategy.tell(genotype, result)
        self.seconds += time.process_time() - start
        self.trials += 1
        return True

    @property
    def hypervolume(self) -> float:
        """The true hypervolume of the networks that the strategy reports."""
        return self._instance.hypervolume(self._strategy.genotypes[key] for key in self._strategy.front())


def play(name: str, number: int, trials: int, budget: int) -> dict[str, Any]:
    """The trials and seconds of both sides on instance ``number`` of the landscape ``name``."""
    instance = landscape(name).instance(number)
    loop = Played(LOOP, instance, number)
    while loop.trials < trials and loop.trial():
        pass
    wanted = loop.hypervolume
    search, reached = Played(SEARCH, instance, number), False
    while search.trials < budget and not reached and search.trial():
        reached = search.trials >= _FEWEST and bool(search.hypervolume >= wanted)
    headroom = instance.best_hypervolume - instance.reference_hypervolume
    return {
        "landscape": name,
        "instance": number,
        "loop_trials": loop.trials,
        "loop_seconds": loop.seconds,
        "loop_recovered": float((wanted - instance.reference_hypervolume) / headroom),
        "trials": search.trials,
        "seconds": search.seconds,
        "reached": reached,
        "budget": budget,
    }


def shares(pairs: Sequence[dict[str, Any]], speeds: dict[str, Any], side: str) -> list[float]:
    """Seconds of the search over those of the loop, pair by pair, with the recipe ``side`` of `proxy_speed.py`."""
    loop, search = (3600 / float(np.mean(speeds["sides"][each]["per_hour"])) for each in ("naive", side))
    start = max(0.0, speeds["sides"][side]["start_seconds"])
    return [
        (start + pair["trials"] * search + pair["seconds"]) / (pair["loop_trials"] * loop + pair["loop_seconds"])
        for pair in pairs
    ]


def summary(name: str, pairs: Sequence[dict[str, Any]], speeds: dict[str, Any]) -> dict[str, Any]:
    """One row: means over pairs, with standard errors."""
    return {
        "landscape": name,
        "pairs": len(pairs),
        "not_reached": sum(not pair["reached"] for pair in pairs),
        "loop_recovered": Mean.of([pair["loop_recovered"] for pair in pairs]).to_dict(),
        "trials": Mean.of([pair["trials"] for pair in pairs]).to_dict(),
        "share": Mean.of(shares(pairs, speeds, "with levers")).to_dict(),
        "share_plain": Mean.of(shares(pairs, speeds, "plain")).to_dict(),
    }


def text(rows: Sequence[dict[str, Any]]) -> str:
    """A table for a person."""
    lines = [f"{'landscape':12}{'pairs':>6}{'trials':>8}{'part of the seconds':>22}{'plain recipe':>14}{'not reached':>13}"]
    for row in rows:
        parts = [f"1/{1 / row[key]['mean']:.1f}" for key in ("share", "share_plain")]
        lines.append(
            f"{row['landscape']:12}{row['pairs']:>6}{row['trials']['mean']:>8.1f}{parts[0]:>22}{parts[1]:>14}"
            f"{row['not_reached']:>13}"
        )
    return "\n".join(lines)


def main() -> None:
    """Play what is not kept yet, print."""
    parser = make_parser(__doc__.splitlines()[0])
    parser.add_argument("--instances", type=int, default=10, help="pairs on each landscape")
    parser.add_argument("--trials", type=int, default=200, help="trials of the loop")
    parser.add_argument("--budget", type=int, default=100, help="most trials of the search")
    parser.add_argument("--kept", type=Path, help="file of finished pairs, which is added to")
    chosen = parser.parse_args()
    if chosen.quick:
        chosen.instances, chosen.trials, chosen.budget = 1, 20, 12
    found = {
        (each["landscape"], each["instance"]): each
        for each in kept(chosen.kept)
        if (each["loop_trials"], each["budget"]) == (chosen.trials, chosen.budget)
    }
    for number in range(chosen.instances):
        for name in LANDSCAPES:
            if (name, number) not in found:
                found[name, number] = play(name, number, chosen.trials, chosen.budget)
                keep(chosen.kept, found[name, number])
    speeds = json.loads(SPEEDS.read_text(encoding="utf-8"))
    pairs = {name: [found[name, number] for number in range(chosen.instances)] for name in LANDSCAPES}
    rows = [summary(name, each, speeds) for name, each in pairs.items()]
    rows.append(summary("all", [pair for each in pairs.values() for pair in each], speeds))
    present(chosen, rows[-1]["share"]["mean"], text(rows), rows=rows, trials=chosen.trials, budget=chosen.budget)


if __name__ == "__main__":
    main()
