"""The verdict on a search: whether seeds that selected nothing tell its networks apart, and what may be claimed then."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import isnan
from typing import Any, Literal

import numpy as np

from attn_nas.format import chance_of_error, likely, listed
from attn_nas.runs.record import Record
from attn_nas.sampling import Beliefs
from attn_nas.sampling.beliefs import Difference
from attn_nas.sampling.scale import AccuracyScale
from attn_nas.space.metric import ACCURACY, Metric
from attn_nas.stats.agreement import MIN_AGREEMENT, agreement, combined
from attn_nas.stats.uncertainty import Mean

Kind = Literal["winner", "tie", "nothing found", "not tested"]
LEVEL = 0.05
"""P-value below which something is claimed: also in 5 % of searches where nothing matters."""
SURE = 0.9
"""Probability from which a network counts as more accurate than another."""


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
    """What a search may claim; whatever speaks of a run only renders this.

    Networks are named by their keys. The test asks whether the trainings with fresh seeds, which did not select the networks,
    agree with those that did (`attn_nas.stats.agreement`), on the scale of logits, or on that of an unbounded metric. Each
    fresh seed is compared with all seeds before it; the p-values of several are combined.

    Attributes:
        kind: ``winner``, or ``tie`` if a cheaper network may be as accurate as the pick; ``nothing found`` if the test finds no
            difference between the tested networks; ``not tested`` if fewer than four networks have a fresh seed.
        pick: the tested network with the largest estimated accuracy; None unless there is a winner or a tie.
        tested: the networks that were trained with a fresh seed.
        seeds: the fresh seeds.
        p: the p-value of the test; None if there was none.
        claims: leads of the pick over the references; empty without a pick.
        tied: members of the front that are not shown to be more accurate than a cheaper member.
        estimated: False if there were no beliefs yet.
        metric: the metric that the networks are judged by.

    """

    kind: Kind
    pick: str | None
    tested: tuple[str, ...]
    seeds: tuple[int, ...]
    p: float | None
    claims: tuple[Claim, ...]
    tied: frozenset[str]
    estimated: bool = True
    metric: Metric = ACCURACY

    @classmethod
    def of(cls, records: Sequence[Record], beliefs: Beliefs | None, seed: int, metric: Metric = ACCURACY) -> Verdict:
        """The verdict on the trainings in ``records``, which are judged by ``beliefs``; ``seed`` is that of the search.

        Without beliefs, which a run of fewer than four networks lacks, nothing is tested.
        """
        networks = beliefs.networks if beliefs else {}
        tested, seeds, p = _tested([record for record in records if beliefs is None or record.key in networks], seed, metric)
        front = beliefs.front if beliefs else ()
        leads = {key: lead for key in front if (lead := networks[key].lead) is not None}
        if isnan(p) or beliefs is None:
            return cls("not tested", None, tested, seeds, None, (), frozenset(leads), beliefs is not None, metric)
        if p >= LEVEL:
            return cls("nothing found", None, tested, seeds, p, (), frozenset(leads), metric=metric)
        pick = max(tested, key=lambda key: networks[key].mean)
        tied = frozenset(key for key, lead in leads.items() if lead < SURE)
        names = {record.key: record.reference for record in records if record.reference and record.key in networks}
        claims = tuple(Claim(name, key, beliefs.difference(pick, key)) for key, name in names.items() if key != pick)
        is_alone = pick in front and pick not in tied
        return cls("winner" if is_alone else "tie", pick, tested, seeds, p, claims, tied, metric=metric)

    @property
    def allows_claims(self) -> bool:
        """Whether it may be said how sure a network is to be better than another."""
        return self.pick is not None

    @property
    def text(self) -> str:
        """The verdict in words, one or two sentences."""
        if self.kind == "not tested":
            if len(self.tested) >= MIN_AGREEMENT:
                scores = "accuracies" if self.metric == ACCURACY else f"values of {self.metric.name}"
                few = f"no fresh seed has {MIN_AGREEMENT} networks" if self.estimated else f"the {scores} are not estimated yet"
                return f"Not tested{'' if self.estimated else ' yet'}: {few}. So no placement is called the best."
            only = f"only {len(self.tested)} network{'s were' if len(self.tested) > 1 else ' was'} trained"
            few = only if self.tested else "no network was trained"
            needed = f", and the test needs {MIN_AGREEMENT}" if self.tested else ""
            return f"Not tested: {few} again with a seed that did not select them{needed}. So no placement is called the best."
        several = len(self.seeds) > 1
        which = f"seed{'s' * several} {listed([*map(str, self.seeds)])}, which did not select them,"
        found = f"{len(self.tested)} tested networks apart (p {chance_of_error(self.p or 0.0)})."
        if self.kind == "nothing found":
            return (
                f"Nothing found: {which} {'do' if several else 'does'} not tell the {found} No placement is shown to be better "
                "than another."
            )
        surer = f"{self.metric.better} than every cheaper member of the front with a probability of at least {likely(SURE)}"
        rest = f", and is {surer}." if self.kind == "winner" else f"; but a cheaper network may be {self.metric.as_good}."
        return f"S{which[1:]} tell{'' if several else 's'} the {found} {self.pick} has the {self.metric.best} estimate{rest}"

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
