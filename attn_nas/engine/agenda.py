"""What a search trains next: interrupted candidates, references, paused candidates, proposals, then the confirmation."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from typing import Literal

from attn_nas.engine.confirmation import Confirmation, ConfirmationRound
from attn_nas.engine.early_stopping import EarlyStopping
from attn_nas.engine.ledger import Ledger
from attn_nas.engine.time_budget import TimeBudget
from attn_nas.space.genotype import Genotype
from attn_nas.training.protocol import Replicate

Ending = Literal["budget", "time", "interrupted", "exhausted"]


@dataclass(frozen=True)
class Planned:
    """The next training, and the number of its epochs that are done already; without a replicate a proposal is made."""

    replicate: Replicate | None
    reached: int = 0


class Agenda:
    """Decides the order of trainings from the ledger and the time; it reads and writes nothing.

    ``references`` are the hand-made genotypes within the limits, ``reference_keys`` the keys of all of them; ``workers`` gives
    the number of trainings that run at a time now.
    """

    def __init__(
        self,
        ledger: Ledger,
        time_budget: TimeBudget,
        *,
        references: Iterable[Genotype],
        reference_keys: Collection[str],
        confirmation: Confirmation,
        early_stopping: EarlyStopping | None,
        workers: Callable[[], int],
    ) -> None:
        self._ledger = ledger
        self._time_budget = time_budget
        self._reference_keys = reference_keys
        self._confirmation = confirmation
        self._early_stopping = early_stopping
        self._workers = workers
        self.exhausted = False
        begun = [each.genotype for each in ledger.records if not each.counts and each.seed == ledger.seed]
        wanted = dict.fromkeys((*begun, *references))
        self._queue = [Replicate(each, ledger.seed) for each in wanted if not ledger.counts(each.key)]

    def next(self) -> Planned | None:
        """The next training, or a proposal; None if nothing may begin now."""
        if self._queue and (self.is_open if self._queue[0].seed == self._ledger.seed else self.time_for_another):
            return Planned(self._queue.pop(0))
        promoted = None
        if self._early_stopping and self.time_for_another:
            promoted = self._early_stopping.promoted(self._ledger.records)
        if promoted and promoted.partial:
            return Planned(Replicate(promoted.genotype, promoted.seed), promoted.partial.epochs)
        return None if self.exhausted or not self.is_open else Planned(None)

    def next_round(self) -> ConfirmationRound | None:
        """Queue the next round of confirmation; None if there is none, or no time for it."""
        found = self._confirmation.next_round(self._ledger.records)
        if found is None or not self.time_for_another:
            return None
        self._queue = [*found.missing]
        return found

    def repeat(self, replicate: Replicate) -> None:
        """Train ``replicate`` again before all else."""
        self._queue.insert(0, replicate)

    def until(self, replicate: Replicate, reached: int) -> int | None:
        """The epoch at which a training may be paused, if ``reached`` epochs are done; None if it is trained to its end."""
        if self._early_stopping is None or replicate.seed != self._ledger.seed:
            return None
        return None if replicate.genotype.key in self._reference_keys else self._early_stopping.next_rung(reached)

    @property
    def time_for_another(self) -> bool:
        """Whether there is time for one more training."""
        return self._time_budget.allows(self._ledger.typical_seconds, 0.0)

    @property
    def is_open(self) -> bool:
        """Whether more candidates may begin: there is budget, and time for another and for the confirmation after it."""
        if self._ledger.remaining <= 0 or (self._ledger.budget is None and self._time_budget.seconds is None):
            return False
        typical = self._ledger.typical_seconds
        after = self._confirmation.foreseen(self._ledger.finished)
        return self._time_budget.allows(typical, typical * after / self._workers())

    def ending(self, *, interrupted: bool, cut: bool) -> Ending:
        """Why the search is over; ``interrupted`` by the user, who may have ``cut`` it while something ran."""
        unconfirmed = self._confirmation.next_round(self._ledger.records) is not None
        if interrupted and (cut or unconfirmed or (self.is_open and not self.exhausted)):
            return "interrupted"
        if unconfirmed or not (self.exhausted or self._ledger.remaining <= 0):
            return "time"
        return "budget" if self._ledger.remaining <= 0 else "exhausted"
