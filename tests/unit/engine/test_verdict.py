"""The verdict of a search: what the trainings with fresh seeds allow to claim, and that bad input gives a sensible answer."""

import itertools
from dataclasses import replace

import numpy as np
import pytest

from attn_nas.cost import Cost
from attn_nas.runs.verdict import Verdict
from attn_nas.sampling import Belief, Beliefs
from attn_nas.sampling.beliefs import _share

FIRST = [0.80, 0.90, 0.91, 0.92, 0.93, 0.94]
AGREES = [0.81, 0.89, 0.92, 0.91, 0.94, 0.93]
CONTRADICTS = AGREES[::-1]


@pytest.fixture
def genotypes(genotypes):
    """Those that differ as networks; the bare trunk first."""
    return [*{genotype.key: genotype for genotype in genotypes}.values()]


@pytest.fixture
def records(record, genotypes):
    """Makes the trainings of a search: by seed the accuracies of the genotypes, None where there is none; first a reference."""

    def made(*by_seed, names=("none",)):
        return [
            replace(
                record(0, 0, "failed" if accuracy is None else "finished", accuracy=accuracy or 0.0, seed=seed),
                genotype=genotypes[index],
                cost=Cost(1000 + index, 0, 0, 0),
                reference=dict(enumerate(names)).get(index),
            )
            for seed, accuracies in enumerate(by_seed)
            for index, accuracy in enumerate(accuracies)
        ]

    return made


def _believed(genotypes, means, leads, number=None):
    """Beliefs of the first genotypes: all of them are on the front, and so sure to be more accurate than cheaper ones."""
    keys = [genotype.key for genotype in genotypes[: number or len(means)]]
    draws = np.array(means) + np.linspace(-0.01, 0.01, 500)[:, None] * np.linspace(1, 2, len(means))
    networks = {
        key: Belief(mean, 0.01, mean - 0.02, mean + 0.02, 0.5, lead) for key, mean, lead in zip(keys, means, leads, strict=True)
    }
    return Beliefs(networks, tuple(keys), 0.01, draws)


SURE_LEADS = [None, 0.99, 0.95, 0.95, 0.95, 0.95]


def test_a_winner_is_announced_where_fresh_seeds_agree(records, genotypes):
    """It has claims over the references, and members that are sure have no mark."""
    verdict = Verdict.of(records(FIRST, AGREES, names=("none", "se everywhere")), _believed(genotypes, FIRST, SURE_LEADS), 0)
    keys = [genotype.key for genotype in genotypes]
    assert (verdict.kind, verdict.pick, verdict.seeds, verdict.tested) == ("winner", keys[5], (1,), tuple(keys[:6]))
    assert verdict.p < 0.05
    assert [claim.reference for claim in verdict.claims] == ["none", "se everywhere"]
    assert verdict.claims[0].lead.mean.value == pytest.approx(0.14)
    assert verdict.tied == frozenset()
    assert verdict.text.startswith("Seed 1, which did not select them, tells the 6 tested networks apart (p ")
    assert f"{keys[5]} has the largest estimate, and is more accurate" in verdict.text


def test_a_cheaper_network_that_may_be_as_accurate_makes_it_a_tie(records, genotypes):
    leads = [None, 0.99, 0.89, 0.95, 0.95, 0.6]
    verdict = Verdict.of(records(FIRST, AGREES), _believed(genotypes, FIRST, leads), 0)
    assert (verdict.kind, verdict.pick) == ("tie", genotypes[5].key)
    assert verdict.tied == {genotypes[2].key, genotypes[5].key}
    assert "a cheaper network may be as accurate" in verdict.text
    assert "less than 90 % sure" in verdict.meaning_of_tied


def test_seeds_that_contradict_each_other_find_nothing(records, genotypes):
    """However sure the estimates are: no pick, no claim, and a mark at every dearer member of the front."""
    verdict = Verdict.of(records(FIRST, CONTRADICTS), _believed(genotypes, FIRST, SURE_LEADS), 0)
    assert (verdict.kind, verdict.pick, verdict.claims, verdict.allows_claims) == ("nothing found", None, (), False)
    assert verdict.p > 0.05
    assert verdict.tied == {genotype.key for genotype in genotypes[1:6]}
    assert verdict.text.startswith(
        "Nothing found: seed 1, which did not select them, does not tell the 6 tested networks apart"
    )
    assert "sure" not in verdict.meaning_of_tied


def test_without_a_fresh_seed_nothing_is_tested(records, genotypes):
    verdict = Verdict.of(records(FIRST), _believed(genotypes, FIRST, SURE_LEADS), 0)
    assert (verdict.kind, verdict.pick, verdict.p, verdict.tested) == ("not tested", None, None, ())
    assert verdict.text == (
        "Not tested: no network was trained again with a seed that did not select them. So no placement is called the best."
    )


def test_the_pick_is_one_that_was_tested(records, genotypes):
    """The largest estimate of all may be of a network that no fresh seed has seen."""
    verdict = Verdict.of(records(FIRST, [*AGREES[:5], None]), _believed(genotypes, FIRST, SURE_LEADS), 0)
    assert verdict.pick == genotypes[4].key
    assert genotypes[5].key not in verdict.tested


def test_a_second_seed_is_judged_by_all_before_it(records, genotypes):
    """Networks that it does not have are no obstacle, nor is a shift of all of them; the p-values are combined."""
    shifted = [None, None, *(share - 0.05 for share in FIRST[2:])]
    verdict = Verdict.of(records(FIRST, AGREES, shifted), _believed(genotypes, FIRST, SURE_LEADS), 0)
    alone = Verdict.of(records(FIRST, AGREES), _believed(genotypes, FIRST, SURE_LEADS), 0)
    assert verdict.seeds == (1, 2)
    assert verdict.p < alone.p
    assert verdict.text.startswith("Seeds 1, 2, which did not select them, tell the 6")


@pytest.mark.parametrize(
    ("by_seed", "number", "kind"),
    [
        ([], 0, "not tested"),
        ([[None] * 6], 0, "not tested"),
        ([[None] * 6, [None] * 6], 0, "not tested"),
        ([FIRST[:3], AGREES[:3]], 0, "not tested"),
        ([FIRST, AGREES[:3]], 6, "not tested"),
        ([FIRST, [None] * 6], 6, "not tested"),
        ([[None] * 6, AGREES], 6, "not tested"),
        ([[0.9] * 6, [0.9] * 6], 6, "nothing found"),
        ([[0.0] * 6, [1.0] * 6], 6, "nothing found"),
        ([FIRST, [0.9] * 6], 6, "nothing found"),
        ([[0, 0, 0, 1, 1, 1], [0, 0, 0, 1, 1, 1]], 6, "winner"),
        ([[-3.0, -2.0, -1.0, 2.0, 5.0, 9.0], [-3.1, -2.1, -1.2, 2.0, 5.0, 9.0]], 6, "winner"),
    ],
)
def test_bad_input_has_an_answer(records, genotypes, by_seed, number, kind):
    """None trained, all failed, fewer than four, all equal, scores of 0 and 1, and scores that are no shares."""
    means = next((shares for shares in by_seed if None not in shares), [])[:number]
    verdict = Verdict.of(records(*by_seed), _believed(genotypes, means, SURE_LEADS[:number]) if means else None, 0)
    assert verdict.kind == kind
    assert verdict.text
    assert verdict.p is None or 0 < verdict.p <= 1
    assert verdict.to_dict()["kind"] == kind


def test_a_verdict_waits_for_the_estimates(records):
    verdict = Verdict.of(records(FIRST, AGREES), None, 0)
    assert (verdict.kind, len(verdict.tested)) == ("not tested", 6)
    assert "not estimated yet" in verdict.text
    assert "only 3 networks were trained again" in Verdict.of(records(FIRST[:3], AGREES[:3]), None, 0).text


def test_thousands_of_trainings_are_judged_at_once(records, genotypes):
    """And candidates without a belief are left out."""
    many = [replace(each, number=number) for number, each in enumerate(records(FIRST, AGREES) * 500)]
    beliefs = _believed(genotypes, FIRST[:5], SURE_LEADS[:5])
    verdict = Verdict.of(many, beliefs, 0)
    assert verdict.tested == tuple(genotype.key for genotype in genotypes[:5])


def test_a_probability_from_draws_is_never_certain():
    shares = [_share(number / 500) for number in (0, 250, 500)]
    assert shares[1] == pytest.approx(0.5)
    assert 0 < shares[0] < 0.002
    assert 0.998 < shares[2] < 1
    assert all(one < other for one, other in itertools.pairwise(shares))
