"""Our sampler and those of other libraries (`peers`) on landscapes: recovered headroom after 10, 25 and 50 trials.

Every finished search is one line of the results file. Searches that the file has are not played again, so that a run that was
ended at any moment, or one in the environment of other peers, adds to the same file. Search ``i`` of each strategy is on
instance ``i`` of a landscape with seed ``i``, one training at a time.
"""

from __future__ import annotations

import argparse
import fcntl
import json
import os
import platform
import random
import sys
import tempfile
import time
from collections.abc import Sequence
from functools import lru_cache
from importlib.metadata import version
from itertools import product
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch
from common import hardware, make_parser
from figures.registry import FIGURES
from peers import PEERS

from attn_nas import __version__
from attn_nas.benchmark import LANDSCAPES, STRATEGIES, Instance, NamedStrategy, landscape
from attn_nas.errors import choose_from, first_line

RESULTS = Path(__file__).parent / "results" / "sampler_peers.jsonl"
OWN = ("random-distinct", "tpe-distinct", "nsga2-references")
"""Strategies that need no other library."""
NINE = (
    "additive",
    "undoing",
    "harm",
    "pairs",
    "positions",
    "saturating",
    "trends",
    "sparse",
    "bimodal",
    "unstructured",
    "table",
)
MARKS = (10, 25, 50)
Search = dict[str, Any]


def finished(path: Path) -> list[Search]:
    """The searches in the file ``path``; a last line that was not written to its end is no search."""
    if not path.exists():
        return []
    return [json.loads(line) for line in path.read_bytes().split(b"\n")[:-1]]


def add(path: Path, search: Search) -> None:
    """Append a line to the file ``path``, in the place of one that was not written to its end."""
    with path.open("ab+") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        file.seek(0)
        file.truncate(file.read().rfind(b"\n") + 1)
        file.write(f"{json.dumps(search)}\n".encode())
        file.flush()
        os.fsync(file.fileno())


def identity(search: Search) -> tuple[str, str, int, int]:
    """What no two lines of the file share."""
    return search["strategy"], search["landscape"], search["instance"], search["budget"]


def play(name: str, where: str, number: int, budget: int) -> Search:
    """One search: true hypervolumes of its front after `MARKS` trials, and the seconds of its proposals.

    ``ask_seconds`` is the median of processor seconds over the trials after the references, fits of models included.
    """
    instance = _instance(where, number)
    random.seed(number)
    np.random.seed(number)
    torch.manual_seed(number)
    begun = time.monotonic()
    strategy = NamedStrategy(PEERS.get(name, name))(instance, number)
    hypervolume, asks = 0.0, []
    after: dict[str, float] = {}
    for trial in range(1, budget + 1):
        asked = time.process_time()
        genotype = strategy.ask()
        asks.append(time.process_time() - asked)
        if genotype is not None:
            strategy.tell(genotype, instance.query(genotype, number))
        if trial in {*MARKS, budget}:
            hypervolume = instance.hypervolume(strategy.genotypes[key] for key in strategy.front())
            after[str(trial)] = hypervolume
    libraries = getattr(strategy, "requirements", ("optuna",))
    return {
        "strategy": name,
        "landscape": where,
        "instance": number,
        "budget": budget,
        "hypervolume": after,
        "best": instance.best_hypervolume,
        "reference": instance.reference_hypervolume,
        "networks": len(strategy.observed),
        "ask_seconds": median(asks[len(instance.references) :] or asks),
        "seconds": time.monotonic() - begun,
        "versions": {
            "attn_nas": __version__,
            "python": platform.python_version(),
            "torch": torch.__version__,
            **{library: version(library) for library in libraries},
        },
        "hardware": hardware(),
    }


@lru_cache(maxsize=1)
def _instance(where: str, number: int) -> Instance:
    return landscape(where).instance(number)


def play_all(path: Path, planned: Sequence[tuple[str, str, int, int]]) -> list[str]:
    """Play the ``planned`` searches that the file ``path`` lacks and add them to it; returns the failures."""
    failures = []
    for plan in planned:
        if plan in {identity(search) for search in finished(path)}:
            continue
        name, where, number, _ = plan
        try:
            search = play(*plan)
        except Exception as error:  # noqa: BLE001  other libraries raise anything; the remaining searches are played
            failures.append(f"{name} on {where} {number}: {type(error).__name__}: {first_line(error)}")
            print(failures[-1], file=sys.stderr, flush=True)
            continue
        add(path, search)
        last = list(search["hypervolume"].values())[-1]
        share = (last - search["reference"]) / (search["best"] - search["reference"] or float("nan"))
        print(
            f"{name} on {where} {number}: {share:.0%} of the headroom, {search['ask_seconds']:.2f} s an ask, "
            f"{search['seconds']:.0f} s",
            file=sys.stderr,
            flush=True,
        )
    return failures


def _chosen(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = make_parser((__doc__ or "").partition("\n")[0])
    names = [*PEERS, *(name for name in STRATEGIES if name != "attn-nas-stopping")]  # which needs trainings of several epochs
    parser.add_argument("--strategies", nargs="+", default=OWN, metavar="NAME", help=", ".join(names))
    parser.add_argument("--landscapes", nargs="+", default=NINE, metavar="NAME", help="by default those of up to nine blocks")
    parser.add_argument("--instances", type=int, default=20, help="instances of each landscape")
    parser.add_argument("--budget", type=int, default=50, help="trials of a search")
    parser.add_argument("--results", type=Path, help="the file of finished searches; by default the committed one")
    chosen = parser.parse_args(arguments)
    for kind, given, known in (("strategy", chosen.strategies, names), ("landscape", chosen.landscapes, LANDSCAPES)):
        for name in given:
            if name not in known:
                parser.error(f"unknown {kind} {name!r}: {choose_from(name, known)}")
    if chosen.instances < 1 or chosen.budget < 1:
        parser.error("--instances and --budget: choose at least 1")
    return chosen


def main(arguments: Sequence[str] | None = None) -> None:
    """Play what is missing; print the tables, or with ``--json`` each of the searches that were asked for as a line."""
    chosen = _chosen(arguments)
    if chosen.quick:
        chosen.landscapes, chosen.instances, chosen.budget = ["additive"], 2, 12
    with tempfile.TemporaryDirectory() as folder:
        path = chosen.results or (Path(folder) / RESULTS.name if chosen.quick else RESULTS)
        planned = [
            (name, where, number, chosen.budget)
            for number, where, name in product(range(chosen.instances), chosen.landscapes, chosen.strategies)
        ]
        failures = play_all(path, planned)
        found = [search for search in finished(path) if identity(search) in planned]
    if chosen.json:
        print("\n".join(map(json.dumps, found)))
    else:
        print(FIGURES["sampler_peers"].markdown({"lines": found}))
    if failures:
        raise SystemExit("\n".join(failures))


if __name__ == "__main__":
    main()
