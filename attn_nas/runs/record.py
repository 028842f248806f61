"""A trial read from a study: genotype, seed, costs, state and result."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from optuna.trial import FrozenTrial, TrialState

from attn_nas.cost import Cost
from attn_nas.errors import RunError, first_line
from attn_nas.sampling import SEED
from attn_nas.space.genotype import Genotype
from attn_nas.space.schema import TIMED
from attn_nas.storage.trials import StoredTrial
from attn_nas.training import ProxyResult, StepProfile

State = Literal["running", "finished", "failed", "paused", "interrupted", "lost", "duplicate"]


@dataclass(frozen=True)
class Record:
    """A trial: the training of ``genotype`` with ``seed``.

    ``reference`` is the name of the hand-made placement that equals the genotype, if any. ``result`` is that of a finished
    training, ``partial`` the result so far of a paused one, ``reason`` says why there is none. ``profile`` has step times
    relative to the bare trunk, where they were measured. ``span`` is begin and end in seconds since the epoch, if known.
    """

    number: int
    state: State
    genotype: Genotype
    seed: int
    cost: Cost
    reference: str | None
    result: ProxyResult | None
    reason: str | None
    profile: StepProfile | None
    partial: ProxyResult | None = None
    span: tuple[float, float] | None = None

    @property
    def key(self) -> str:
        """The genotype's key."""
        return self.genotype.key

    def costs(self, axes: Sequence[str]) -> tuple[float, ...]:
        """The costs on ``axes``: exact numbers, or ratios to the bare trunk's times, NaN where these were not measured."""
        return tuple(self._ratio(TIMED[axis]) if axis in TIMED else float(getattr(self.cost, axis)) for axis in axes)

    def _ratio(self, name: str) -> float:
        return float(getattr(self.profile, name)) if self.profile else float("nan")

    @property
    def counts(self) -> bool:
        """Whether the trial uses up one unit of the budget: it is finished, failed or paused."""
        return self.state in ("finished", "failed", "paused")

    @classmethod
    def of(cls, trial: FrozenTrial | StoredTrial, where: object = "the run") -> Record | None:
        """The record of a trial of the run at ``where``, or None if its process died before it stored the genotype.

        Raises:
            RunError: the stored trial is damaged.

        """
        attributes: dict[str, Any] = trial.user_attrs
        if "genotype" not in attributes or "cost" not in attributes:
            return None
        try:
            return cls._described(trial, attributes)
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            reason = f"{error} is missing" if isinstance(error, KeyError) else first_line(error)
            raise RunError(
                f"{where}: trial {trial.number} in its study cannot be read: {reason}. Restore study.db, or begin a new run"
            ) from None

    @classmethod
    def _described(cls, trial: FrozenTrial | StoredTrial, attributes: Mapping[str, Any]) -> Record:
        """The record of a trial with these ``attributes``; raises AttributeError, KeyError, TypeError, ValueError."""
        result, profile = attributes.get("result"), attributes.get("profile")
        return cls(
            trial.number,
            _state(trial),
            Genotype.from_dict(attributes["genotype"]),
            int(attributes[SEED]),
            Cost.from_dict(attributes["cost"]),
            attributes.get("reference"),
            ProxyResult.from_dict(result) if result and trial.state == TrialState.COMPLETE else None,
            attributes.get("reason"),
            StepProfile.from_dict(profile) if profile else None,
            ProxyResult.from_dict(result) if result and trial.state == TrialState.PRUNED else None,
            (trial.begun, trial.ended) if isinstance(trial, StoredTrial) and trial.begun and trial.ended else None,
        )


def _state(trial: FrozenTrial | StoredTrial) -> State:
    if trial.state == TrialState.COMPLETE:
        return "finished"
    if trial.state == TrialState.PRUNED:
        return "paused"
    if trial.state in (TrialState.RUNNING, TrialState.WAITING):
        return "running"
    ended: State = trial.user_attrs.get("ended", "failed")
    return ended
