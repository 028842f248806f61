"""Shared steps of the commands that train after a search: print the plan, train, print and write the result."""

from __future__ import annotations

import json as json_module
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

if TYPE_CHECKING:
    from pathlib import Path

    from rich.table import Table

    from attn_nas.execution.resources import Resources
    from attn_nas.followups.training_plan import FollowUp


class FollowUpResult(Protocol):
    """The result of trainings after a search."""

    def to_dict(self) -> dict[str, Any]:
        """Return JSON-ready data."""
        ...


_P = TypeVar("_P", bound="FollowUp")
_R = TypeVar("_R", bound=FollowUpResult)


def train_as_planned(
    planned: _P,
    plan_text: Callable[[_P, Resources], str],
    *,
    workers: int | None,
    threads: int | None,
    plan: bool,
    download: bool,
    json: bool,
) -> bool:
    """Print the plan in the words of ``plan_text``, then train; with ``plan`` only print. Returns True if it trained.

    Raises:
        DataError: the data are missing or have changed; a test split without which the plan cannot be carried out is reported
            with ``plan`` as well.

    """
    from attn_nas.execution.resources import Resources
    from attn_nas.terminal.console import console
    from attn_nas.terminal.training_lines import training_lines

    numerics = planned.run.manifest.numerics
    resources = Resources.choose(numerics, max(1, planned.remaining), workers, threads)
    out = console(stderr=json)
    out.print(plan_text(planned, resources), markup=False, highlight=False, soft_wrap=True)
    if plan:
        if json:
            cost = {"remaining": planned.remaining, "seconds": planned.seconds(resources.at_first)}
            print(json_module.dumps({**planned.describe(), **cost}, indent=2))
        planned.check_data()
        return False
    try:
        with training_lines(out, planned.remaining, planned.run.metric) as on_end:
            planned.train(resources, on_end, download)
    except KeyboardInterrupt:
        out.print("stopped; finished trainings are kept: the same command continues")
        raise
    return True


def print_result(
    result: _R, table: Callable[[_R], Table], notes: Callable[[_R], Sequence[str]], write: Callable[[_R], Path], *, json: bool
) -> None:
    """Print ``result`` as a table with notes, or as JSON, and write it into the run folder."""
    from attn_nas.terminal.console import console

    out = console()
    if json:
        print(json_module.dumps(result.to_dict(), indent=2))
    else:
        out.print(table(result))
        for line in notes(result):
            out.print(line, markup=False, highlight=False, soft_wrap=not out.is_terminal)
    console(stderr=json).print(f"Written: {write(result)}", markup=False, highlight=False, soft_wrap=True)
