"""Rank agreement and reliability: known values, intervals that cover, and what has no value."""

import math

import numpy as np
import pytest

from attn_nas.stats.rank_correlation import kendall, reliability, spearman
from attn_nas.stats.uncertainty import Estimate


def test_correlations_are_the_textbook_ones():
    """One swap among five: Spearman 1 - 6 * 2 / 120, Kendall 8 / 10; any order-keeping change leaves them."""
    truth, swapped = [1, 2, 3, 4, 5], [1, 3, 2, 4, 50]
    assert spearman(swapped, truth).value == pytest.approx(0.9)
    assert kendall(swapped, truth).value == pytest.approx(0.8)
    assert spearman(truth[::-1], truth).value == pytest.approx(-1)


def test_ties_are_treated_as_scipy_does():
    """Mean ranks and tau-b."""
    from scipy.stats import kendalltau, spearmanr

    rng = np.random.default_rng(1)
    for _ in range(20):
        a, b = rng.integers(4, size=12), rng.integers(4, size=12)
        assert spearman(a, b).value == pytest.approx(spearmanr(a, b).statistic)
        assert kendall(a, b).value == pytest.approx(kendalltau(a, b).statistic)


def test_several_seeds_are_averaged_one_by_one():
    """The mean of the correlations, not the correlation of the mean."""
    truth = np.arange(6.0)
    table = np.stack([truth, -truth], 1)
    assert spearman(table, truth).value == pytest.approx(0)
    assert spearman(table[:, :1], truth).value == pytest.approx(1)


def test_reliability_is_the_intraclass_correlation():
    """The example of Shrout and Fleiss (1979): six targets, four judges, ICC(3, 1) = 0.71; shifts of a seed do not count."""
    ratings = [[9, 2, 5, 8], [6, 1, 3, 2], [8, 4, 6, 8], [7, 1, 2, 6], [10, 5, 6, 9], [6, 2, 4, 7]]
    assert reliability(ratings).value == pytest.approx(0.71, abs=0.005)
    assert reliability(np.add(ratings, [0, 50, 0, -9])).value == pytest.approx(reliability(ratings).value)
    assert reliability([[1, 1], [2, 2], [3, 3]]).value == pytest.approx(1)


def test_intervals_cover_the_truth_and_repeat_themselves():
    """Nine in ten 95 % intervals or more hold the correlation of the population."""
    rng = np.random.default_rng(0)
    covered = 0
    for _ in range(40):
        a = rng.normal(size=40)
        b = a + rng.normal(size=40)
        found = spearman(a, b)
        assert found.low <= found.value <= found.high
        covered += found.low <= 0.69 <= found.high
    assert covered >= 36
    assert spearman(a, b) == found


def test_what_has_no_value_says_so():
    """A constant score, a single seed or no variance: NaN, a dash, and null in a document."""
    for estimate in (
        spearman([1, 1, 1], [1, 2, 3]),
        kendall([1, 2, 3], [2, 2, 2]),
        reliability([[1], [2], [3]]),
        reliability([[1, 1], [1, 1]]),
    ):
        assert math.isnan(estimate.value)
        assert str(estimate) == "-"
        assert estimate.to_dict() == {"value": None, "low": None, "high": None}
    assert str(Estimate(0.5, -0.25, 0.75)) == "0.50 [-0.25, 0.75]"
