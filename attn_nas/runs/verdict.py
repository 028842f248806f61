"""The verdict on a search: whether seeds that selected nothing tell its networks apart, and what may be claimed then."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import isnan
from typing import Any, Literal

import numpy as np

from attn_nas.format import after_epochs, capitalised, chance_of_error, likely, listed
from attn_nas.runs.picking import Outcome, Picking
from attn_nas.runs.record import Record
from attn_nas.sampling import Beliefs
from attn_nas.sampling.beliefs import Difference
from attn_nas.sampling.scale import AccuracyScale
from attn_nas.space.metric import ACCURACY, Metric
from attn_nas.space.naming import names_of
from attn_nas.stats.agreement import MIN_AGREEMENT, agreement, combined
from attn_nas.stats.choice import SURE
from attn_nas.stats.uncertainty import Mean

Kind = Literal["winner", "tie", "nothing found", "not tested"]
LEVEL = 0.05
"""P-value below which something is claimed: also in 5 % of searches where nothing matters."""


@dataclass(frozen=True)
class Claim:
    """Estimated lead in accuracy of the pick over the reference with the key ``over``, which is called ``reference``."""

    reference: str
    over: str
    lead: Difference

    def to_dict(self, metric: Metric) -> dict[str, Any]:
        """Plain data; the lead is a difference in the ``metric``."""
        mean = Mean(metric.change(self.lead.mean.value), self.lead.mean.standard_error)
        return {"reference": self.reference, "over": self.over, **mean.to_dict(), "sure": self.lead.probability}


@dataclass(frozen=True)
class Verdict:
    """What a search may claim, and its pick; whatever speaks of a run only renders this.

    Networks are named by their keys. The test asks whether the trainings with fresh seeds, which did not select the networks,
    agree with those that did (`attn_nas.stats.agreement`), on the scale of logits, or on that of an unbounded metric. Each
    fresh seed is compared with all seeds before it; the p-values of several are combined.

    Attributes:
        kind: ``winner`` if the pick is the best network and surely better than every cheaper tested one; ``tie`` if a cheaper
            one cannot be told apart from the best; ``nothing found`` if the test finds no difference between the tested
            networks; ``not tested`` if fewer than four networks have a fresh seed.
        pick: the cheapest network that cannot be told apart from the best (less than 90 % sure to be worse) and is at least
            90 % sure to be better than the bare trunk, among the tested networks; the bare trunk if nothing is told from it,
            or if nothing is found. Without a test, the same among the members of the front, and nothing is claimed. None only
            if no network has a score.
        best: the network with the largest estimate, among the same; None only if no network has a score.
        rivals: the tested networks that are cheaper than the pick and cannot be told apart from the best, but are less than
            90 % sure to be better than the bare trunk; empty unless the verdict allows claims.
        bare: the trunk without attention; None if it has no score.
        tested: the networks that were trained with a fresh seed.
        seeds: the fresh seeds.
        p: the p-value of the test; None if there was none.
        claims: leads of the pick over the other references; empty unless the verdict allows claims.
        tied: members of the front that are not shown to be more accurate than a cheaper member.
        picking: what the pick was made from.
        names: names of the networks by key, as people read them.
        epochs: number of epochs of the trainings that the verdict is about.
        metric: the metric that the networks are judged by.

    """

    kind: Kind
    pick: str | None
    best: str | None
    rivals: tuple[str, ...]
    tested: tuple[str, ...]
    seeds: tuple[int, ...]
    p: float | None
    claims: tuple[Claim, ...]
    tied: frozenset[str]
    picking: Picking = field(repr=False, compare=False)
    names: Mapping[str, str] = field(repr=False, compare=False)
    epochs: int
    metric: Metric = ACCURACY

    @classmethod
    def of(
        cls,
        records: Sequence[Record],
        beliefs: Beliefs | None,
        *,
        seed: int,
        epochs: int,
        metric: Metric = ACCURACY,
        axes: Sequence[str] = ("flops",),
        names: Mapping[str, str] | None = None,
    ) -> Verdict:
        """The verdict on the trainings in ``records``, each of ``epochs``, which are judged by ``beliefs``.

        Without beliefs, which a run of fewer than four networks lacks, nothing is tested.

        Args:
            records: the trials of the run.
            beliefs: estimates from all its trainings.
            seed: the seed of the search.
            epochs: number of epochs of each training.
            metric: what the networks are judged by.
            axes: the costs that the search minimises; the first decides what is cheaper, the next between equal ones.
            names: names of the networks by key; by default they are made from the ``records``.

        """
        networks = beliefs.networks if beliefs else {}
        judged = [record for record in records if beliefs is None or record.key in networks]
        tested, seeds, p = _tested(judged, seed, metric)
        is_tested = beliefs is not None and not isnan(p)
        outcome: Outcome = "untested" if not is_tested else "differences" if p < LEVEL else "no differences"
        picking = Picking.of(judged, beliefs, axes, tested, outcome)
        pick, best = picked = picking.among(picking.networks)
        front = beliefs.front if beliefs else ()
        leads = {key: lead for key in front if (lead := networks[key].lead) is not None}
        kind: Kind
        claims: tuple[Claim, ...] = ()
        rivals: tuple[str, ...] = ()
        if outcome != "differences" or beliefs is None or pick is None:
            kind, tied = "not tested" if outcome == "untested" else "nothing found", frozenset(leads)
        else:
            rivals = picking.rivals(picked)
            kind = "winner" if pick == best and not rivals else "tie"
            tied = frozenset(key for key, lead in leads.items() if lead < SURE)
            references = {record.key: record.reference for record in judged if record.reference and record.key != pick}
            claims = tuple(
                Claim(name, key, beliefs.difference(pick, key)) for key, name in references.items() if key in networks
            )
        if names is None:
            names = names_of(record.genotype for record in records)
        return cls(
            kind,
            pick,
            best,
            rivals,
            tested,
            seeds,
            p if is_tested else None,
            claims,
            tied,
            picking,
            names,
            epochs,
            metric,
        )

    @property
    def allows_claims(self) -> bool:
        """Whether it may be said how sure a network is to be better than another."""
        return self.kind in ("winner", "tie")

    @property
    def bare(self) -> str | None:
        """The key of the trunk without attention; None if it has no score."""
        return self.picking.bare

    @property
    def text(self) -> str:
        """The verdict in words, one to three sentences."""
        if self.kind == "not tested":
            return f"{self._why_not_tested} So no placement is called the best."
        several = len(self.seeds) > 1
        which = f"seed{'s' * several} {listed([*map(str, self.seeds)])}, which did not select them,"
        found = f"{len(self.tested)} tested networks apart (p {chance_of_error(self.p or 0.0)})."
        if self.kind == "nothing found":
            seen = f"{which} {'do' if several else 'does'} not tell the {found}"
            if self.bare:
                return f"No placement beat the network without attention beyond noise {self.after}: {seen}"
            return (
                f"No placement is shown to be better than another {self.after}: {seen} The network without attention has no "
                "score, so the pick is the cheapest tested network."
            )
        return f"{self._claim} S{which[1:]} tell{'' if several else 's'} the {found}"

    @property
    def after(self) -> str:
        """Which training the scores are of: ``after 3 epochs``."""
        return after_epochs(self.epochs)

    @property
    def _claim(self) -> str:
        """What is said of the pick where the test found differences, as a sentence."""
        assert self.pick is not None
        assert self.best is not None
        if self.pick == self.best == self.bare:
            return f"No placement beat the network without attention, which has the {self.metric.best} estimate {self.after}."
        if self.pick == self.bare:
            best = f"{self.names[self.best]} has the {self.metric.best} estimate"
            surer = f"is less than {likely(SURE)} sure to be {self.metric.better}"
            return f"No placement beat the network without attention beyond noise {self.after}: {best}, but {surer}."
        pick = capitalised(self.names[self.pick])
        sure = f"at least {likely(SURE)} sure to be {self.metric.better} than no attention"
        if self.pick == self.best and self.rivals:
            number = len(self.rivals)
            cheaper = (
                f"{capitalised(self.names[self.rivals[0]])} is cheaper and"
                if number == 1
                else f"{number} cheaper tested networks"
            )
            unsure = f"cannot be told apart from it, but {'is' if number == 1 else 'are'} not {sure}"
            return f"{pick} has the {self.metric.best} estimate {self.after}. {cheaper} {unsure}."
        if self.pick == self.best:
            surer = f"{self.metric.better} than every cheaper tested network"
            return f"{pick} is {surer} {self.after}, each time with a probability of at least {likely(SURE)}."
        most = "the most accurate" if self.metric == ACCURACY else "the best"
        among = f", among those that are {sure}" if self.rivals else ""
        told = f"cannot be told apart from {most} ({self.names[self.best]}) {self.after}"
        return f"{pick} is the cheapest network that {told}{among}."

    @property
    def _why_not_tested(self) -> str:
        is_estimated = self.picking.beliefs is not None
        if len(self.tested) >= MIN_AGREEMENT:
            scores = "accuracies" if self.metric == ACCURACY else f"values of {self.metric.name}"
            few = f"no fresh seed has {MIN_AGREEMENT} networks" if is_estimated else f"the {scores} are not estimated yet"
            return f"Not tested{'' if is_estimated else ' yet'}: {few}."
        only = f"only {len(self.tested)} network{'s were' if len(self.tested) > 1 else ' was'} trained"
        few = only if self.tested else "no network was trained"
        needed = f", and the test needs {MIN_AGREEMENT}" if self.tested else ""
        return f"Not tested: {few} again with a seed that did not select them{needed}."

    @property
    def meaning_of_tied(self) -> str:
        """What the mark of a tied network means."""
        if self.allows_claims:
            return f"tied with a cheaper candidate (less than {likely(SURE)} sure to be {self.metric.better})"
        return f"not shown to be {self.metric.better} than a cheaper candidate"

    def to_dict(self) -> dict[str, Any]:
        """Plain data."""
        return {
            "kind": self.kind,
            "text": self.text,
            "pick": self.pick,
            "best": self.best,
            "rivals": [*self.rivals],
            "tested": [*self.tested],
            "fresh_seeds": [*self.seeds],
            "p": self.p,
            "claims": [claim.to_dict(self.metric) for claim in self.claims],
            "tied": sorted(self.tied),
        }


def _tested(records: Sequence[Record], seed: int, metric: Metric) -> tuple[tuple[str, ...], tuple[int, ...], float]:
    """The networks with a fresh seed, the fresh seeds, and the p-value; NaN if no seed has enough networks."""
    by_seed: dict[int, dict[str, float]] = {}
    for record in records:
        if record.result:
            by_seed.setdefault(record.seed, {}).setdefault(record.key, record.result.accuracy)
    scores = np.array([score for found in by_seed.values() for score in found.values()])
    scale = AccuracyScale.of(scores, bounded=metric.bounded)
    scaled = {number: dict(zip(found, scale(np.array([*found.values()])), strict=True)) for number, found in by_seed.items()}
    earlier, tested, seeds, p_values = [scaled.pop(seed, {})], dict[str, None](), [], []
    for number in sorted(scaled):
        fresh = scaled[number]
        before = _means(earlier)
        keys = [key for key in fresh if key in before]
        earlier.append(fresh)
        p = agreement([before[key] for key in keys], [fresh[key] for key in keys])
        tested.update(dict.fromkeys(keys))
        if keys:
            seeds.append(number)
        if not isnan(p):
            p_values.append(p)
    return tuple(tested), tuple(seeds), combined(p_values)


def _means(found: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """The mean over seeds of each network; seeds are set to the same mean over the networks that they share with the first."""
    first, *others = found
    values: dict[str, list[float]] = {key: [value] for key, value in first.items()}
    for other in others:
        shared = [key for key in other if key in first]
        shift = float(np.mean([other[key] - first[key] for key in shared])) if shared else 0.0
        for key, value in other.items():
            values.setdefault(key, []).append(value - shift)
    return {key: float(np.mean(each)) for key, each in values.items()}
