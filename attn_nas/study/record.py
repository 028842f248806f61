"""One trial of a study, read back: who the candidate is, what it costs, what came of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from optuna.trial import FrozenTrial, TrialState

from attn_nas.cost import Cost
from attn_nas.proxy import ProxyResult, StepProfile
from attn_nas.space.genotype import Genotype

State = Literal["running", "finished", "failed", "interrupted", "lost", "duplicate"]


@dataclass(frozen=True)
class Record:
    """A trial. ``reference`` is the name of the hand-made placement it is, if any; ``reason`` says why it has no result.

    ``profile`` is the step time beside the bare trunk, where it was measured.
    """

    number: int
    state: State
    genotype: Genotype
    cost: Cost
    reference: str | None
    result: ProxyResult | None
    reason: str | None
    profile: StepProfile | None

    @property
    def key(self) -> str:
        """The genotype's key."""
        return self.genotype.key

    @property
    def counts(self) -> bool:
        """Whether it has used up one unit of the budget."""
        return self.state in ("finished", "failed")

    @classmethod
    def of(cls, trial: FrozenTrial) -> Record | None:
        """The record of an Optuna trial, or None if it was never described (the process died while it was made)."""
        attributes: dict[str, Any] = trial.user_attrs
        if "genotype" not in attributes or "cost" not in attributes:
            return None
        result, profile = attributes.get("result"), attributes.get("profile")
        return cls(
            trial.number,
            _state(trial),
            Genotype.from_dict(attributes["genotype"]),
            Cost(**attributes["cost"]),
            attributes.get("reference"),
            ProxyResult.from_dict(result) if result and trial.state == TrialState.COMPLETE else None,
            attributes.get("reason"),
            StepProfile.from_dict(profile) if profile else None,
        )


def _state(trial: FrozenTrial) -> State:
    if trial.state == TrialState.COMPLETE:
        return "finished"
    if trial.state in (TrialState.RUNNING, TrialState.WAITING):
        return "running"
    ended: State = trial.user_attrs.get("ended", "failed")
    return ended
