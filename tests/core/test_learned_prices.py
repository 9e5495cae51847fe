"""Prices that durations move: little by few, fully by many, and never the wrong way."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from mfmat.learned_prices import DEGREES, SPREAD, SURE, learn_factor

RATIOS = st.lists(st.floats(0.01, 100), min_size=1, max_size=12)


def test_a_price_stays_as_declared_without_durations() -> None:
    assert learn_factor([]) == 1.0
    assert math.isnan(learn_factor([], declared=False))


def test_many_durations_overrule_the_declared_price() -> None:
    draws = np.exp(1.2 + 0.8 * np.random.default_rng(0).normal(size=20000))
    for declared in (True, False):
        assert learn_factor(draws.tolist(), declared=declared) == pytest.approx(math.exp(1.2 + 0.32), rel=0.02)


def test_few_durations_move_it_a_part_of_the_way() -> None:
    moved = [learn_factor([4.0] * n) for n in (1, 2, 5, 50)]
    assert moved == sorted(moved)
    assert 1 < moved[0] < 2 < moved[2] < 4
    assert moved[-1] == pytest.approx(4, rel=0.05)


@given(RATIOS)
def test_it_is_the_mean_of_the_next_ratio(ratios: list[float]) -> None:
    logs = np.log(ratios)
    squares = DEGREES * SPREAD**2 + ((logs - logs.mean()) ** 2).sum()
    variance, width = squares / (DEGREES + len(logs) - 1), SPREAD**2 / SURE
    # The posterior of the mean on a grid, and the mean of the log-normal at each.
    grid = np.linspace(-12, 12, 20001)
    log = stats.norm.logpdf(grid, -(width + SPREAD**2) / 2, width**0.5)
    log += stats.norm.logpdf(logs[:, None], grid, variance**0.5).sum(0)
    weight = np.exp(log - log.max())
    mean = (weight * stats.lognorm.mean(variance**0.5, scale=np.exp(grid))).sum() / weight.sum()
    assert learn_factor(ratios) == pytest.approx(mean, rel=1e-4)


@given(RATIOS, st.floats(1.01, 10))
def test_dearer_measurements_are_dearer_prices(ratios: list[float], factor: float) -> None:
    assert learn_factor([factor * ratio for ratio in ratios]) > learn_factor(ratios)
    alone = [factor * ratio for ratio in ratios]
    assert learn_factor(alone, declared=False) == pytest.approx(factor * learn_factor(ratios, declared=False))


def test_shrunk_prices_are_nearer_the_truth_than_declared_ones_and_than_means() -> None:
    rng = np.random.default_rng(0)
    errors = []
    for _ in range(2000):
        truth, spread = rng.normal(0, 0.4), rng.uniform(0.3, 0.8)
        ratios = np.exp(truth - spread**2 / 2 + spread * rng.normal(size=3))
        found = (learn_factor(ratios.tolist()), 1.0, ratios.mean())
        errors.append([(math.log(each) - truth) ** 2 for each in found])
    learned, declared, mean = np.mean(errors, axis=0)
    assert learned < 0.8 * declared
    assert learned < 0.8 * mean
