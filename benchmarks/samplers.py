"""Samplers on the landscape of the placement table: true hypervolume and headroom recovered after 25, 50, 100 and 200 trials.

Ours beside Optuna's and, where Syne Tune is installed, one of its searches (`syne_tune_peers`); ours with early stopping, at
the times at which ours without it has done as many trials; then ours with eight workers, which see each result later.
"""

from __future__ import annotations

import os
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from common import make_parser, present

from attn_nas.benchmark import EMBEDDED, NamedStrategy, StrategyComparison, StrategyResult, Terms, compare, recorded
from attn_nas.machine import usable_cores

OPTUNA = ("random", "tpe-independent", "tpe", "nsga2-10", "nsga2", "nsga3", "gp")
PEERS = {"syne-tune evolution": "Evolution", "syne-tune ehvi": "Ehvi"}
SLOW = ("gp", "syne-tune ehvi")
"""Those that think for longer than all others together; their searches end after at most 100 trials."""
FEWER = 100
MARKS = (25, 50, 100, 200)


def rows(comparison: StrategyComparison, ours: StrategyResult) -> list[dict[str, Any]]:
    """The summaries of each strategy at the marks within the budget, at equal times those of ``ours`` at the marks."""
    marks = [mark for mark in MARKS if mark <= comparison.terms.budget]
    goal = ours.after(min(50, comparison.terms.budget)).hypervolume.value
    times = {mark: float(ours.seconds[:, mark - 1].mean()) for mark in marks}
    return [
        {
            "strategy": played.strategy,
            "repeated": played.repeated,
            "after": {str(mark): played.after(mark).to_dict() for mark in marks},
            "at_equal_time": {str(mark): played.at(times[mark]).to_dict() for mark in marks},
            "trials_to_ours_at_50": trials_to(played, goal),
        }
        for played in comparison.results
    ]


def trials_to(played: StrategyResult, hypervolume: float) -> int | None:
    """After how many trials the mean hypervolume is reached; None if it is not."""
    reached = played.hypervolumes.mean(0) >= hypervolume
    return int(reached.argmax()) + 1 if reached.any() else None


def text(found: list[dict[str, Any]], title: str, kind: str = "after") -> str:
    """A table for a person: hypervolume and headroom, in hundredths."""
    marks = [*found[0][kind]]
    lines = [title, f"{'strategy':24}" + "".join(f"{f'after {mark}':>30}" for mark in marks) + "   ours at 50 reached at"]
    for row in found:
        cells = ""
        for mark in marks:
            if mark not in row[kind]:
                cells += f"{'-':>30}"
                continue
            volume, share = row[kind][mark]["hypervolume"], row[kind][mark]["recovered"]
            error = volume["standard_error"] or 0.0
            cells += f"{100 * volume['mean']:>14.3f} ± {100 * error:.3f} ({100 * share['mean']:4.0f} %)"
        lines.append(f"{row['strategy']:24}{cells}   {row['trials_to_ours_at_50'] or 'never'}")
    return "\n".join(lines)


def main() -> None:
    """Play, print."""
    parser = make_parser(__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=50)
    parser.add_argument("--budget", type=int, default=200)
    parser.add_argument("--table", type=Path, default=EMBEDDED, help="a Parquet file; the embedded table by default")
    parser.add_argument("--strategies", nargs="*", help="these alone, after ours; those of Syne Tune are " + ", ".join(PEERS))
    chosen = parser.parse_args()
    if chosen.quick:
        chosen.seeds, chosen.budget, chosen.strategies = 2, 25, ["random"]
    os.environ["PYTHONWARNINGS"] = "ignore"
    table = recorded(chosen.table)
    usual = (*OPTUNA, *(("syne-tune evolution",) if find_spec("syne_tune") else ()))
    others = usual if chosen.strategies is None else tuple(chosen.strategies)
    peers = {name: f"{Path(__file__).with_name('syne_tune_peers.py')}:{kind}" for name, kind in PEERS.items()}
    strategies = {name: NamedStrategy(peers.get(name, name)) for name in ("attn-nas", "attn-nas-stopping", *others)}
    processes, fewer = usable_cores(), min(FEWER, chosen.budget)
    quick = {name: made for name, made in strategies.items() if name not in SLOW}
    slow = {name: made for name, made in strategies.items() if name in SLOW}
    alone = compare(table, quick, chosen.seeds, Terms(chosen.budget), processes=processes)
    ours = alone.results[0]
    one = rows(alone, ours)
    if slow:
        one += rows(compare(table, slow, chosen.seeds, Terms(fewer), processes=processes), ours)
    ours_alone = {"attn-nas": NamedStrategy("attn-nas")}
    eight = rows(compare(table, ours_alone, chosen.seeds, Terms(fewer, workers=8), processes=processes), ours)
    mark = str(50 if chosen.budget >= 50 else MARKS[0])
    kept = eight[0]["after"][mark]["hypervolume"]["mean"] / one[0]["after"][mark]["hypervolume"]["mean"]
    share = f"of the hypervolume after {mark} trials eight workers keep {kept:.1%}"
    stopping = [row for row in one if row["strategy"] in ("attn-nas", "attn-nas-stopping")]
    timed = text(stopping, "early stopping, at the time of so many trials without it", "at_equal_time")
    body = "\n".join((text(one, "one worker"), timed, text(eight, "eight workers"), share))
    present(chosen, one[0]["after"][mark]["hypervolume"]["mean"], body, one_worker=one, eight_workers=eight)


if __name__ == "__main__":
    main()
