"""The rule of the pick: the cheapest network that cannot be told apart from the most accurate."""

from math import nan

import pytest

from attn_nas.stats.choice import Network, cheapest, choose, rivals

BARE, SMALL, LARGE = "bare", "small", "large"


def networks(**scores_and_costs):
    return {name: Network(score, costs) for name, (score, *costs) in scores_and_costs.items()}


def known(**sure):
    """A probability function from pairs such as ``large_small=0.95``; the other direction is the rest to 1."""
    table = {tuple(pair.split("_")): share for pair, share in sure.items()}
    table |= {(other, one): 1 - share for (one, other), share in table.items()}
    return lambda one, other: table[one, other]


THREE = networks(bare=(0.80, 0), small=(0.90, 10), large=(0.91, 500))


@pytest.mark.parametrize(
    ("found", "probability", "bare", "expected"),
    [
        pytest.param(THREE, known(large_small=0.6, large_bare=0.99, small_bare=0.97), BARE, (SMALL, LARGE), id="a tie"),
        pytest.param(THREE, known(large_small=0.95, large_bare=0.99, small_bare=0.9), BARE, (LARGE, LARGE), id="a winner"),
        pytest.param(THREE, known(large_small=0.9, large_bare=0.99, small_bare=0.9), BARE, (LARGE, LARGE), id="just sure"),
        pytest.param(THREE, known(large_small=0.6, large_bare=0.8, small_bare=0.7), BARE, (BARE, LARGE), id="no effect"),
        pytest.param(THREE, known(large_small=0.7, large_bare=0.95, small_bare=0.8), BARE, (LARGE, LARGE), id="small unsure"),
        pytest.param(THREE, known(large_small=0.7, large_bare=0.95), None, (SMALL, LARGE), id="bare trunk failed"),
        pytest.param(networks(bare=(0.9, 0), small=(0.8, 1)), known(bare_small=0.99), BARE, (BARE, BARE), id="attention harms"),
        pytest.param(networks(small=(0.8, 1)), known(small_bare=0.95), BARE, (SMALL, SMALL), id="one network, sure"),
        pytest.param(networks(small=(0.8, 1)), known(small_bare=0.5), BARE, (BARE, SMALL), id="bare trunk not among them"),
        pytest.param(networks(small=(0.8, 1)), known(), None, (SMALL, SMALL), id="one network alone"),
        pytest.param({}, known(), None, None, id="no network"),
        pytest.param(THREE, None, BARE, (LARGE, LARGE), id="nothing estimated"),
        pytest.param(networks(a=(0.5, 3), b=(0.5, 2)), None, None, ("b", "b"), id="equal scores"),
        pytest.param(networks(a=(0.5, 2), b=(0.5, 2)), None, None, ("a", "a"), id="all equal"),
        pytest.param(
            networks(a=(0.5, 2, 9), b=(0.4, 2, 7), c=(0.6, 3, 1)), known(c_a=0.5, c_b=0.6), None, ("b", "c"), id="two costs"
        ),
        pytest.param(networks(a=(0.5, nan), b=(0.6, 3)), known(b_a=0.5), None, ("b", "b"), id="a cost that was not measured"),
        pytest.param(networks(a=(-0.9, 1), b=(-0.2, 2)), known(b_a=0.99), None, ("b", "b"), id="a loss, as its score"),
    ],
)
def test_the_pick_is_the_cheapest_that_is_as_good_as_the_best(found, probability, bare, expected):
    assert choose(found, probability, bare) == expected


@pytest.mark.parametrize(
    ("probability", "pick", "expected"),
    [
        (known(large_small=0.7, large_bare=0.95), LARGE, (SMALL,)),
        (known(large_small=0.9, large_bare=0.95), LARGE, ()),
        (known(large_small=0.7, large_bare=0.95), SMALL, ()),
        (known(large_small=0.7, large_bare=0.95), "another", ()),
    ],
    ids=["cheaper and unsure", "surely worse", "none cheaper", "pick not among them"],
)
def test_rivals_are_cheaper_than_the_pick_and_not_told_from_the_best(probability, pick, expected):
    assert rivals(THREE, probability, pick, LARGE) == expected


def test_of_equally_cheap_networks_the_better_is_taken():
    assert cheapest(networks(a=(0.5, 2, 1), b=(0.6, 2, 1), c=(0.9, 2, nan))) == "b"
