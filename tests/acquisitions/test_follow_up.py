"""A cheap measurement that the target may follow, against plans that are carried out in a simulation."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy.stats import norm

from mfmat.acquisitions.follow_up import log_follow_up


def worth(above: float, spread: float, told: float, prices: tuple[float, float]) -> float:
    """Of one candidate, by a share `told` of the target's variance that the cheap source takes away."""
    moved = torch.tensor([[told, 1.0]]).double() * spread**2
    return math.exp(float(log_follow_up(torch.tensor([above]).double(), moved, torch.tensor([prices]).double())))


def rise(above: float, spread: float) -> float:
    return above * norm.cdf(above / spread) + spread * norm.pdf(above / spread)


@pytest.mark.parametrize("above", [-6.0, -2.5, -0.5, 0.0, 1.5])
@pytest.mark.parametrize("told", [0.1, 0.5, 0.9, 0.99])
@pytest.mark.parametrize("price", [1.5, 4.0, 50.0])
def test_it_is_the_rate_of_the_best_plan_by_its_first_price(above: float, told: float, price: float) -> None:
    spread, rng = 2.0, np.random.default_rng(0)
    z = np.sort(rng.normal(size=400_000))[::-1]
    # The highest outcomes decide, so that they are drawn more often and weigh less.
    shift = min(max(-above / spread, 0.0), 3.0)
    weight = np.exp(-shift * (z + shift) + shift**2 / 2)
    mean, left = above + math.sqrt(told) * spread * (z + shift), math.sqrt(1 - told) * spread
    rises = np.cumsum(weight * (mean * norm.cdf(mean / left) + left * norm.pdf(mean / left))) / len(z)
    chance = np.cumsum(weight) / len(z)
    # Below a few hundred draws a mean over them says little.
    expected = (rises / (1.0 + price * chance))[300:].max()
    assert worth(above, spread, told, (1.0, price)) == pytest.approx(expected, rel=0.05)


@pytest.mark.parametrize("above", [-4.0, 0.0, 2.0])
def test_what_tells_nothing_is_paid_for_on_top_and_what_tells_all_saves_the_target(above: float) -> None:
    whole = rise(above, 1.5)
    assert worth(above, 1.5, 1e-9, (1.0, 3.0)) == pytest.approx(whole / 4, rel=1e-2)
    # Where the target is never worth a second look, the whole rise comes at the price of the cheap source.
    assert worth(above, 1.5, 1 - 1e-9, (1.0, 1e-9)) == pytest.approx(whole, rel=0.05)
    assert worth(above, 1.5, 0.5, (1.0, 3.0)) < whole


@pytest.mark.parametrize("above", [-4.0, -1.0, 0.5])
def test_it_grows_with_what_is_told_and_falls_with_the_price_of_the_target(above: float) -> None:
    told = [worth(above, 1.0, share, (1.0, 10.0)) for share in np.linspace(0.02, 0.98, 9)]
    assert np.all(np.diff(told) > 0)
    dear = [worth(above, 1.0, 0.6, (1.0, price)) for price in (0.5, 2.0, 10.0, 100.0)]
    assert np.all(np.diff(dear) < 0)


@pytest.mark.parametrize("above", [-15.0, -20.0, -30.0])
def test_what_is_all_but_hopeless_is_ordered_by_its_price_and_not_by_rounding(above: float) -> None:
    """So far off, hardly any outcome brings the target in, so that the price is that of the cheap source."""
    moved = torch.tensor([[1.0, 1.0], [1.0, 0.2]]).double()
    found = log_follow_up(torch.tensor([above] * 2).double(), moved, torch.tensor([[1.0, 10.0]] * 2).double())
    whole = norm.logpdf(above) - 2 * math.log(-above) + math.log1p(-3 / above**2)
    assert found.tolist() == pytest.approx([whole] * 2, abs=1e-3)


@pytest.mark.parametrize("unit", [1e-6, 1.0, 1e6])
def test_it_goes_with_the_unit_of_the_values_and_not_with_that_of_the_prices(unit: float) -> None:
    assert worth(-unit, unit, 0.7, (2.0, 20.0)) == pytest.approx(unit * worth(-1.0, 1.0, 0.7, (2.0, 20.0)))
    assert worth(-1.0, 1.0, 0.7, (2.0 * unit, 20.0 * unit)) == pytest.approx(worth(-1.0, 1.0, 0.7, (2.0, 20.0)))
