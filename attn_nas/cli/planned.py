"""What the commands share that train beside a run: the cost first, then the trainings, then what was found."""

from __future__ import annotations

import json as json_module
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

if TYPE_CHECKING:
    from pathlib import Path

    from rich.table import Table

    from attn_nas.execution.replicates import OnReplicate
    from attn_nas.execution.resources import Resources
    from attn_nas.runs.run import Run


class Planned(Protocol):
    """Trainings that are known before they begin."""

    @property
    def run(self) -> Run:
        """The run they belong to."""
        ...

    @property
    def remaining(self) -> int:
        """How many are still to be done."""
        ...

    def seconds(self, workers: int) -> float:
        """Wall time of these."""
        ...

    def describe(self) -> dict[str, Any]:
        """The plan as plain data."""
        ...

    def train(self, resources: Resources, on_end: OnReplicate, download: bool) -> None:
        """Do them."""
        ...


class Found(Protocol):
    """What trainings were done for."""

    def to_dict(self) -> dict[str, Any]:
        """Plain data."""
        ...


_P = TypeVar("_P", bound=Planned)
_F = TypeVar("_F", bound=Found)


def train_planned(
    planned: _P,
    told: Callable[[_P, Resources], str],
    *,
    workers: int | None,
    threads: int | None,
    plan: bool,
    download: bool,
    json: bool,
) -> bool:
    """Say what is planned, as ``told``, and train it, unless ``plan`` alone is asked for; whether it was trained."""
    from attn_nas.execution.resources import Resources
    from attn_nas.terminal.console import console
    from attn_nas.terminal.replicates import replicate_lines

    numerics = planned.run.manifest.numerics
    resources = Resources.choose(numerics, max(1, planned.remaining), workers, threads)
    say = console(stderr=json)
    say.print(told(planned, resources), markup=False, highlight=False, soft_wrap=True)
    if plan:
        if json:
            cost = {"remaining": planned.remaining, "seconds": planned.seconds(resources.at_first)}
            print(json_module.dumps({**planned.describe(), **cost}, indent=2))
        return False
    try:
        with replicate_lines(say, planned.remaining) as on_end:
            planned.train(resources, on_end, download)
    except KeyboardInterrupt:
        say.print("stopped; what is done is kept: the same command goes on")
        raise
    return True


def tell_found(
    found: _F, table: Callable[[_F], Table], words: Callable[[_F], Sequence[str]], write: Callable[[_F], Path], *, json: bool
) -> None:
    """Print what was ``found``, and write it."""
    from attn_nas.terminal.console import console

    out = console()
    if json:
        print(json_module.dumps(found.to_dict(), indent=2))
    else:
        out.print(table(found))
        for line in words(found):
            out.print(line, markup=False, highlight=False, soft_wrap=not out.is_terminal)
    console(stderr=json).print(f"Written: {write(found)}", markup=False, highlight=False, soft_wrap=True)
