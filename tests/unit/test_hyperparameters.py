"""Draws of hyperparameters against posteriors that are known, and the trend of the noise against one that was put in."""

import numpy as np
import pytest
import torch

from attn_nas.sampling.hyperparameters import LogNormal, most_probable, posterior_draws
from attn_nas.sampling.noise_trend import NoiseTrend

PRIOR = LogNormal(np.array([1.0, -2.0]), np.array([1.0, 2.0]))
SEEN, ERROR = torch.tensor([2.0, 0.0], dtype=torch.float64), torch.tensor([0.5, 1.0], dtype=torch.float64)
MEANS = np.array([(1.0 / 1 + 2.0 / 0.25) / (1 + 4), (-2.0 / 4 + 0.0) / (0.25 + 1)])
DEVIATIONS = np.array([5**-0.5, 1.25**-0.5])


def likelihood(logarithms):
    """Of two independent normal observations, whose posterior is normal."""
    return -0.5 * (((logarithms - SEEN) / ERROR) ** 2).sum()


def test_the_most_probable_hyperparameters_are_those_of_the_posterior():
    np.testing.assert_allclose(most_probable(likelihood, PRIOR), MEANS, atol=1e-4)


def test_draws_have_the_moments_of_the_posterior():
    rng = np.random.default_rng(0)
    drawn = np.array([each.numpy() for each in posterior_draws(likelihood, PRIOR, torch.zeros(2).double(), 1000, rng)])
    np.testing.assert_allclose(drawn.mean(0), MEANS, atol=0.1)
    np.testing.assert_allclose(drawn.std(0), DEVIATIONS, rtol=0.1)
    again = posterior_draws(likelihood, PRIOR, torch.zeros(2).double(), 2, np.random.default_rng(0))
    assert [each.tolist() for each in again] == drawn[:2].tolist()


def trainings(below, above, networks=200, seeds=3):
    """Values with noise ``below`` and ``above`` an expected value of 0, the expected values, networks, seeds."""
    rng = np.random.default_rng(1)
    expected = rng.normal(size=networks)
    shifts = rng.normal(size=seeds)
    own = rng.normal(size=(networks, seeds)) * np.where(expected < 0, below, above)[:, None]
    values = 5.0 + expected[:, None] + own + shifts
    numbers = np.repeat(np.arange(networks), seeds)
    return values.ravel(), np.repeat(expected, seeds), numbers, np.tile(np.arange(seeds), networks)


@pytest.mark.parametrize(("below", "above"), [(0.4, 0.1), (0.1, 0.1), (0.1, 0.3)])
def test_the_trend_of_the_noise_is_found_in_spite_of_shifts_of_seeds(below, above):
    trend = NoiseTrend.of(*trainings(below, above))
    low, high = trend(np.array([-1.0, 1.0]))
    assert high / low == pytest.approx((above / below) ** 2, rel=0.35)
    ends = trend(np.array([trend.at[0] - 9.0, trend.at[0], trend.at[-1], trend.at[-1] + 9.0]))
    assert ends[0] == ends[1]
    assert ends[2] == ends[3]
    scaled = trend.with_mean_of_one(np.array([-1.0, 1.0]))
    assert scaled(np.array([-1.0, 1.0])).mean() == pytest.approx(1.0)


def test_twelve_networks_show_a_border_with_doubt():
    """With two seeds each, the trend falls over the border by less than the truth, and does not rise."""
    values, expected, numbers, seeds = trainings(0.4, 0.1, networks=12, seeds=2)
    low, high = NoiseTrend.of(values, expected, numbers, seeds)(np.array([-1.0, 1.0]))
    assert 1 < low / high < 16


def test_few_or_equal_replicates_show_no_trend():
    values, expected, numbers, seeds = trainings(0.4, 0.1, networks=3)
    assert NoiseTrend.of(values, expected, numbers, seeds).is_flat
    values, expected, numbers, seeds = trainings(0.4, 0.1)
    assert NoiseTrend.of(values[seeds == 0], expected[seeds == 0], numbers[seeds == 0], seeds[seeds == 0]).is_flat
    assert NoiseTrend.of(np.ones_like(values), expected, numbers, seeds).is_flat
    assert NoiseTrend.of(values, np.ones_like(values), numbers, seeds).is_flat
