"""The verdict of a search: what the trainings with fresh seeds allow to claim, and that bad input gives a sensible answer."""

import itertools
from dataclasses import replace

import numpy as np
import pytest

from attn_nas.cost import Cost
from attn_nas.format import capitalised
from attn_nas.runs.verdict import Verdict
from attn_nas.sampling import Belief, Beliefs
from attn_nas.sampling.beliefs import _share
from attn_nas.space.metric import Metric

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
                cost=Cost(1000 + index, 0, 0, 100 - index),
                reference=dict(enumerate(names)).get(index),
            )
            for seed, accuracies in enumerate(by_seed)
            for index, accuracy in enumerate(accuracies)
        ]

    return made


def _believed(genotypes, means, leads, number=None, spread=0.0001):
    """Beliefs of the first genotypes: all of them are on the front; ``spread`` is that of each mean."""
    keys = [genotype.key for genotype in genotypes[: number or len(means)]]
    draws = np.array(means) + spread * np.random.default_rng(0).standard_normal((500, len(means)))
    networks = {
        key: Belief(mean, 0.01, mean - 0.02, mean + 0.02, 0.5, lead) for key, mean, lead in zip(keys, means, leads, strict=True)
    }
    return Beliefs(networks, tuple(keys), 0.01, draws)


def _verdict(records, beliefs, **options):
    return Verdict.of(records, beliefs, **{"seed": 0, "epochs": 3, **options})


SURE_LEADS = [None, 0.99, 0.95, 0.95, 0.95, 0.95]


def test_a_winner_is_announced_where_fresh_seeds_agree(records, genotypes):
    """It has claims over the references, and members that are sure have no mark."""
    verdict = _verdict(records(FIRST, AGREES, names=("none", "se everywhere")), _believed(genotypes, FIRST, SURE_LEADS))
    keys = [genotype.key for genotype in genotypes]
    assert (verdict.kind, verdict.pick, verdict.best) == ("winner", keys[5], keys[5])
    assert (verdict.seeds, verdict.tested) == ((1,), tuple(keys[:6]))
    assert verdict.p < 0.05
    assert [claim.reference for claim in verdict.claims] == ["none", "se everywhere"]
    assert verdict.claims[0].lead.mean.value == pytest.approx(0.14, abs=1e-4)
    assert verdict.tied == frozenset()
    assert verdict.text.startswith(
        "SE in block 1 is more accurate than every cheaper tested network after 3 epochs, each time with a probability of at "
        "least 90 %. Seed 1, which did not select them, tells the 6 tested networks apart (p "
    )


def test_the_cheapest_that_may_be_as_accurate_is_the_pick(records, genotypes):
    """The most accurate is named beside it."""
    leads, means = [None, 0.99, 0.89, 0.95, 0.95, 0.6], [0.8, 0.9, 0.938, 0.939, 0.9395, 0.94]
    verdict = _verdict(records(FIRST, AGREES), _believed(genotypes, means, leads, spread=0.002))
    assert (verdict.kind, verdict.pick, verdict.best) == ("tie", genotypes[2].key, genotypes[5].key)
    assert verdict.rivals == ()
    assert verdict.tied == {genotypes[2].key, genotypes[5].key}
    assert verdict.text.startswith(
        f"{verdict.names[verdict.pick]} is the cheapest network that cannot be told apart from the most accurate "
        f"({verdict.names[verdict.best]}) after 3 epochs. Seed 1, which did not select them, tells the 6 tested networks apart"
    )
    assert "less than 90 % sure" in verdict.meaning_of_tied


def test_the_costs_of_the_search_say_what_is_cheap(records, genotypes):
    """Here the number of parameters falls where FLOPs rise; equal parameters leave it to the second cost."""
    means = [0.8, 0.9, 0.938, 0.939, 0.9395, 0.94]
    beliefs, trained = _believed(genotypes, means, SURE_LEADS, spread=0.002), records(FIRST, AGREES)
    assert _verdict(trained, beliefs, axes=("params",)).pick == genotypes[5].key
    equal = [replace(each, cost=replace(each.cost, params=7)) for each in trained]
    assert _verdict(equal, beliefs, axes=("params", "flops")).pick == genotypes[2].key


def test_the_bare_trunk_is_the_pick_where_the_best_is_not_told_from_it(records, genotypes):
    """Although the fresh seeds find differences between the networks."""
    means = [0.939, 0.8, 0.81, 0.82, 0.83, 0.94]
    verdict = _verdict(records(means, means), _believed(genotypes, means, SURE_LEADS, spread=0.002))
    assert (verdict.kind, verdict.pick, verdict.best) == ("tie", genotypes[0].key, genotypes[5].key)
    assert verdict.text.startswith(
        f"No placement beat the network without attention beyond noise after 3 epochs: {verdict.names[verdict.best]} has the "
        "largest estimate, but is less than 90 % sure to be more accurate. Seed 1"
    )


UNSURE = [0.90, 0.9147, 0.50, 0.51, 0.52, 0.9233]
"""The last is surely better than the bare trunk, the second is not, and the last is not surely better than the second."""


def test_a_cheaper_network_that_may_be_as_good_is_named_where_it_cannot_be_the_pick(records, genotypes):
    """It is not surely better than the bare trunk: the best is the pick, and yet no winner over every cheaper network."""
    verdict = _verdict(records(UNSURE, UNSURE), _believed(genotypes, UNSURE, SURE_LEADS, spread=0.01))
    keys = [genotype.key for genotype in genotypes]
    assert (verdict.kind, verdict.pick, verdict.best, verdict.rivals) == ("tie", keys[5], keys[5], (keys[1],))
    best, rival = capitalised(verdict.names[keys[5]]), verdict.names[keys[1]]
    assert verdict.text.startswith(
        f"{best} has the largest estimate after 3 epochs. {capitalised(rival)} is cheaper and cannot be told apart from it, "
        "but is not at least 90 % sure to be more accurate than no attention. Seed 1, which"
    )
    assert verdict.to_dict()["rivals"] == [keys[1]]
    two = [0.90, 0.9147, 0.9147, 0.51, 0.52, 0.9233]
    verdict = _verdict(records(two, two), _believed(genotypes, two, SURE_LEADS, spread=0.01))
    assert verdict.rivals == (keys[1], keys[2])
    assert "3 epochs. 2 cheaper tested networks cannot be told apart from it, but are not at least 90 % sure" in verdict.text


def test_a_pick_that_is_cheapest_only_among_surely_better_networks_is_called_that(records, genotypes):
    means = [0.90, 0.9147, 0.50, 0.51, 0.9265, 0.9270]
    verdict = _verdict(records(means, means), _believed(genotypes, means, SURE_LEADS, spread=0.01))
    keys = [genotype.key for genotype in genotypes]
    assert (verdict.kind, verdict.pick, verdict.best, verdict.rivals) == ("tie", keys[4], keys[5], (keys[1],))
    assert verdict.text.startswith(
        f"{capitalised(verdict.names[keys[4]])} is the cheapest network that cannot be told apart from the most accurate "
        f"({verdict.names[keys[5]]}) after 3 epochs, among those that are at least 90 % sure to be more accurate than no "
        "attention. Seed 1"
    )


def test_where_attention_harms_the_bare_trunk_wins(records, genotypes):
    means = FIRST[::-1]
    verdict = _verdict(records(means, means), _believed(genotypes, means, SURE_LEADS))
    assert (verdict.kind, verdict.pick, verdict.best) == ("winner", genotypes[0].key, genotypes[0].key)
    assert verdict.text.startswith("No placement beat the network without attention, which has the largest estimate after 3")


def test_a_loss_is_spoken_of_in_its_own_words(records, genotypes):
    """Its scores are the negative values."""
    means = [-0.9, -0.5, -0.201, -0.2005, -0.2, -0.199]
    loss = Metric.of("loss")
    verdict = _verdict(records(means, means), _believed(genotypes, means, SURE_LEADS, spread=0.003), metric=loss)
    assert (verdict.kind, verdict.pick, verdict.best) == ("tie", genotypes[2].key, genotypes[5].key)
    assert "cannot be told apart from the best (" in verdict.text
    assert verdict.claims[0].to_dict(loss)["mean"] == pytest.approx(-0.699, abs=0.001)


def test_seeds_that_contradict_each_other_find_nothing(records, genotypes):
    """However sure the estimates are: the bare trunk is the pick, no claim, and a mark at every dearer member of the front."""
    verdict = _verdict(records(FIRST, CONTRADICTS), _believed(genotypes, FIRST, SURE_LEADS))
    assert (verdict.kind, verdict.pick, verdict.best) == ("nothing found", genotypes[0].key, genotypes[5].key)
    assert (verdict.claims, verdict.allows_claims) == ((), False)
    assert verdict.p > 0.05
    assert verdict.tied == {genotype.key for genotype in genotypes[1:6]}
    assert verdict.text.startswith(
        "No placement beat the network without attention beyond noise after 3 epochs: seed 1, which did not select them, does "
        "not tell the 6 tested networks apart (p = "
    )
    assert "sure" not in verdict.meaning_of_tied


def test_where_nothing_is_found_and_the_bare_trunk_failed_the_cheapest_is_the_pick(records, genotypes):
    verdict = _verdict(records([None, *FIRST], [None, *CONTRADICTS]), _without_bare(genotypes))
    assert (verdict.kind, verdict.pick, verdict.bare) == ("nothing found", genotypes[1].key, None)
    assert verdict.text.endswith("The network without attention has no score, so the pick is the cheapest tested network.")


def _without_bare(genotypes):
    return _believed(genotypes[1:], FIRST, SURE_LEADS)


def test_where_the_bare_trunk_failed_a_winner_can_be_found(records, genotypes):
    verdict = _verdict(records([None, *FIRST], [None, *AGREES]), _without_bare(genotypes))
    assert (verdict.kind, verdict.pick, verdict.bare) == ("winner", genotypes[6].key, None)


def test_without_a_fresh_seed_nothing_is_tested(records, genotypes):
    """The pick is made on the front by the same rule, and the words claim nothing."""
    means = [0.8, 0.9, 0.938, 0.939, 0.9395, 0.94]
    verdict = _verdict(records(FIRST), _believed(genotypes, means, SURE_LEADS, spread=0.002))
    assert (verdict.kind, verdict.p, verdict.tested) == ("not tested", None, ())
    assert (verdict.pick, verdict.best) == (genotypes[2].key, genotypes[5].key)
    assert verdict.text == (
        "Not tested: no network was trained again with a seed that did not select them. So no placement is called the best."
    )


def test_without_estimates_the_largest_score_is_the_pick(records, genotypes):
    """Of fewer than four networks; of equal scores that of the cheaper network; one that failed is left out."""
    assert _verdict(records([0.5, 0.7, 0.7, None]), None).pick == genotypes[1].key
    assert _verdict(records([0.5]), None).pick == genotypes[0].key
    nothing = _verdict(records([None, None]), None)
    assert (nothing.pick, nothing.best) == (None, None)


def test_the_pick_is_one_that_was_tested(records, genotypes):
    """The largest estimate of all may be of a network that no fresh seed has seen."""
    verdict = _verdict(records(FIRST, [*AGREES[:5], None]), _believed(genotypes, FIRST, SURE_LEADS))
    assert verdict.pick == verdict.best == genotypes[4].key
    assert genotypes[5].key not in verdict.tested


def test_a_pick_can_be_made_among_some_networks(records, genotypes):
    """Tested ones first; where none of them was tested, others; where there are none, there is no pick."""
    keys = [genotype.key for genotype in genotypes]
    verdict = _verdict(records(FIRST, [*AGREES[:5], None]), _believed(genotypes, FIRST, SURE_LEADS))
    assert verdict.picking.among(keys[:3]).pick == keys[2]
    assert verdict.picking.among([keys[1], keys[5]]).pick == keys[1]
    assert verdict.picking.among([keys[5]]).pick == keys[5]
    assert verdict.picking.among([]).pick is None
    nothing = _verdict(records(FIRST, CONTRADICTS), _believed(genotypes, FIRST, SURE_LEADS))
    assert nothing.picking.among(keys[:3]).pick == keys[0]
    assert nothing.picking.among(keys[2:4]).pick == keys[2]


def test_a_second_seed_is_judged_by_all_before_it(records, genotypes):
    """Networks that it does not have are no obstacle, nor is a shift of all of them; the p-values are combined."""
    shifted = [None, None, *(share - 0.05 for share in FIRST[2:])]
    verdict = _verdict(records(FIRST, AGREES, shifted), _believed(genotypes, FIRST, SURE_LEADS))
    alone = _verdict(records(FIRST, AGREES), _believed(genotypes, FIRST, SURE_LEADS))
    assert verdict.seeds == (1, 2)
    assert verdict.p < alone.p
    assert "Seeds 1, 2, which did not select them, tell the 6" in verdict.text


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
    verdict = _verdict(records(*by_seed), _believed(genotypes, means, SURE_LEADS[:number]) if means else None)
    assert verdict.kind == kind
    assert verdict.text
    assert verdict.p is None or 0 < verdict.p <= 1
    assert verdict.to_dict()["kind"] == kind


def test_a_verdict_waits_for_the_estimates(records):
    verdict = _verdict(records(FIRST, AGREES), None)
    assert (verdict.kind, len(verdict.tested)) == ("not tested", 6)
    assert "not estimated yet" in verdict.text
    assert "only 3 networks were trained again" in _verdict(records(FIRST[:3], AGREES[:3]), None).text


def test_thousands_of_trainings_are_judged_at_once(records, genotypes):
    """And candidates without a belief are left out."""
    many = [replace(each, number=number) for number, each in enumerate(records(FIRST, AGREES) * 500)]
    beliefs = _believed(genotypes, FIRST[:5], SURE_LEADS[:5])
    verdict = _verdict(many, beliefs)
    assert verdict.tested == tuple(genotype.key for genotype in genotypes[:5])


def test_a_probability_from_draws_is_never_certain():
    shares = [_share(number / 500) for number in (0, 250, 500)]
    assert shares[1] == pytest.approx(0.5)
    assert 0 < shares[0] < 0.002
    assert 0.998 < shares[2] < 1
    assert all(one < other for one, other in itertools.pairwise(shares))
