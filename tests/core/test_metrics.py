"""The metrics against uncertainty-toolbox, closed forms, and what every proper score has in common."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
import uncertainty_toolbox as toolbox
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch.distributions import Normal

from mfmat import metrics
from mfmat.posteriors import ConformalPosterior, RowPosterior, cdf, normal

Numbers = np.ndarray


def gaussian(mean: Numbers | Tensor, std: Numbers | Tensor) -> RowPosterior:
    mean, std = (torch.as_tensor(x, dtype=torch.double).reshape(-1, 1) for x in (mean, std))
    return normal(mean, std.square().unsqueeze(-1))


def values(y: Numbers | Tensor) -> Tensor:
    return torch.as_tensor(y, dtype=torch.double).reshape(-1, 1, 1)


def drawn(seed: int, n: int = 200) -> tuple[Numbers, Numbers, Numbers]:
    """Predictions that are somewhat wrong, in mean and in spread."""
    rng = np.random.default_rng(seed)
    mean, std = rng.normal(3, 5, n), rng.uniform(0.1, 2, n)
    return mean, std, mean + 0.2 + 1.3 * std * rng.normal(size=n)


SEEDS = pytest.mark.parametrize("seed", [0, 1, 2])
THEIRS: dict[str, Callable[..., float]] = {
    "mae": lambda m, s, y: toolbox.metrics_accuracy.prediction_error_metrics(m, y)["mae"],
    "rmse": lambda m, s, y: toolbox.metrics_accuracy.prediction_error_metrics(m, y)["rmse"],
    "nll": toolbox.nll_gaussian,
    "crps": toolbox.crps_gaussian,
    "miscalibration_area": lambda m, s, y: toolbox.miscalibration_area(m, s, y, num_bins=101),
}


@SEEDS
@pytest.mark.parametrize("name", THEIRS)
def test_the_metric_is_that_of_uncertainty_toolbox(name: str, seed: int) -> None:
    mean, std, y = drawn(seed)
    assert getattr(metrics, name)(gaussian(mean, std), values(y)) == pytest.approx(THEIRS[name](mean, std, y), rel=1e-9)


@SEEDS
@pytest.mark.parametrize("level", [0.5, 0.9])
def test_the_interval_score_is_that_of_uncertainty_toolbox(level: float, seed: int) -> None:
    mean, std, y = drawn(seed)
    theirs = toolbox.interval_score(mean, std, y, start_p=level, end_p=level, resolution=1)
    assert metrics.interval_score(gaussian(mean, std), values(y), level) == pytest.approx(theirs, rel=1e-9)


ONE = gaussian(np.array([2.0]), np.array([0.5]))
Z90 = 1.6448536269514722
"""Half the width of a unit normal's 90% interval."""

CLOSED = {
    "mae": (2.75, 0.75),
    "rmse": (1.25, 0.75),
    "nll": (2.0, 0.5 * math.log(2 * math.pi * 0.25)),
    "crps": (2.0, 0.5 * (math.sqrt(2) - 1) / math.sqrt(math.pi)),
    "interval_score": (2.0 + 0.5 * Z90 + 0.1, 2 * 0.5 * Z90 + 20 * 0.1),
    "coverage": (2.0 - 0.5 * Z90 + 1e-6, 1.0),
    "miscalibration_area": (2.0, 0.5),
}
"""Name: (measured value, the metric of N(2, 0.5^2) at it)."""


@pytest.mark.parametrize("name", CLOSED)
def test_the_metric_has_its_closed_form(name: str) -> None:
    y, expected = CLOSED[name]
    assert getattr(metrics, name)(ONE, values(np.array([y]))) == pytest.approx(expected, rel=1e-9)


def test_the_width_is_that_of_the_interval() -> None:
    assert metrics.width(ONE, 0.9) == pytest.approx(2 * 0.5 * Z90)


def test_a_value_beyond_the_interval_is_not_covered() -> None:
    y = values(np.array([2 - 0.5 * Z90 - 1e-6, 2.0, 2 + 0.5 * Z90 + 1e-6, 2 + 0.5 * Z90 - 1e-6]))
    assert metrics.coverage(gaussian(np.full(4, 2.0), np.full(4, 0.5)), y) == 0.5


class Skewed:
    """Median 1, mean 3."""

    mean = torch.full((1, 1, 1), 3.0, dtype=torch.double)
    variance = torch.ones(1, 1, 1, dtype=torch.double)

    def rsample(self, sample_shape: torch.Size | None = None) -> Tensor:
        return self.mean

    def quantile(self, value: Tensor) -> Tensor:
        assert float(value) == 0.5
        return torch.ones(1, 1, 1, dtype=torch.double)


def test_the_absolute_error_is_the_medians_and_the_squared_one_the_means() -> None:
    y = values(np.array([7.0]))
    assert (metrics.mae(Skewed(), y), metrics.rmse(Skewed(), y)) == (6.0, 4.0)


def test_the_summary_is_every_metric_by_name() -> None:
    mean, std, y = drawn(0)
    posterior, measured = gaussian(mean, std), values(y)
    found = metrics.summary(posterior, measured, level=0.8)
    assert found.pop("width") == metrics.width(posterior, 0.8)
    assert found.pop("coverage") == metrics.coverage(posterior, measured, 0.8)
    assert found.pop("interval_score") == metrics.interval_score(posterior, measured, 0.8)
    assert found == {name: getattr(metrics, name)(posterior, measured) for name in THEIRS}


# The calibration curve.


def test_a_perfect_model_has_the_diagonal_for_a_curve() -> None:
    n = 4000
    mean, std, _ = drawn(0, n)
    y = mean + std * np.random.default_rng(5).normal(size=n)
    levels, observed = metrics.calibration_curve(cdf(gaussian(mean, std), values(y)))
    band = 4 * (levels * (1 - levels) / n).sqrt() + 1e-9
    assert bool(((observed - levels).abs() <= band).all())
    assert (observed[0], observed[-1]) == (0.0, 1.0)


@pytest.mark.parametrize(("factor", "above"), [(0.5, False), (2.0, True)])
def test_the_curve_of_too_wide_intervals_lies_above_the_diagonal(factor: float, above: bool) -> None:
    mean, std, _ = drawn(0, 4000)
    y = mean + std * np.random.default_rng(5).normal(size=4000)
    levels, observed = metrics.calibration_curve(cdf(gaussian(mean, factor * std), values(y)))
    middle = (levels > 0.1) & (levels < 0.9)
    assert bool(((observed > levels) == above)[middle].all())


@given(st.lists(st.floats(0, 1), min_size=1, max_size=30))
def test_the_curve_never_falls_and_ends_at_one(pit: list[float]) -> None:
    levels, observed = metrics.calibration_curve(torch.tensor(pit, dtype=torch.double))
    assert bool((observed.diff() >= 0).all())
    assert float(observed[-1]) == 1.0
    assert float(levels[-1]) == 1.0


# What every one of them has in common.

SHIFT, SCALE = st.floats(-100, 100), st.floats(0.01, 100)
HOW = {"mae": 1, "rmse": 1, "crps": 1, "interval_score": 1, "width": 1, "coverage": 0, "miscalibration_area": 0}
"""The power of the unit that each metric is measured in."""


def measure(name: str, mean: Numbers, std: Numbers, y: Numbers) -> float:
    arguments = (gaussian(mean, std),) if name == "width" else (gaussian(mean, std), values(y))
    return float(getattr(metrics, name)(*arguments))


@pytest.mark.parametrize("name", [*HOW, "nll"])
@given(shift=SHIFT)
def test_a_shift_of_everything_changes_no_metric(name: str, shift: float) -> None:
    mean, std, y = drawn(3, 30)
    assert measure(name, mean + shift, std, y + shift) == pytest.approx(measure(name, mean, std, y), rel=1e-9)


@pytest.mark.parametrize("name", HOW)
@given(scale=SCALE)
def test_a_metric_scales_with_the_unit(name: str, scale: float) -> None:
    mean, std, y = drawn(3, 30)
    expected = scale ** HOW[name] * measure(name, mean, std, y)
    assert measure(name, scale * mean, scale * std, scale * y) == pytest.approx(expected, rel=1e-9)


@given(scale=SCALE)
def test_the_log_density_moves_with_the_logarithm_of_the_unit(scale: float) -> None:
    mean, std, y = drawn(3, 30)
    expected = measure("nll", mean, std, y) + math.log(scale)
    assert measure("nll", scale * mean, scale * std, scale * y) == pytest.approx(expected, rel=1e-9, abs=1e-9)


TRUTH = Normal(0.0, 1.0).icdf((torch.arange(2000).double() + 0.5) / 2000).numpy()
"""Values that are spread as a unit normal is."""


@pytest.mark.parametrize("name", ["crps", "nll", "interval_score"])
@given(mean=st.floats(-2, 2), std=st.floats(0.2, 5))
def test_no_other_distribution_scores_better_than_the_true_one(name: str, mean: float, std: float) -> None:
    n = len(TRUTH)
    best = measure(name, np.zeros(n), np.ones(n), TRUTH)
    assert measure(name, np.full(n, mean), np.full(n, std), TRUTH) >= best - 2e-3 * abs(best)


# Distributions that calibration has reshaped.


def conformal(medians: Numbers, n: int = 400) -> ConformalPosterior:
    """Scores of a model whose spread is too small by half."""
    scores = torch.from_numpy(np.abs(np.random.default_rng(0).normal(0, 2, n)))
    centres = torch.as_tensor(medians, dtype=torch.double).reshape(1, -1, 1, 1)
    base = gaussian(medians, np.ones(len(medians)))
    return ConformalPosterior(base, centres, torch.ones_like(centres), scores, torch.zeros(n, dtype=torch.long))


@pytest.mark.parametrize("y", [-3.0, -0.4, 0.0, 1.0, 2.5])
def test_the_crps_of_a_calibrated_posterior_is_its_integral(y: float) -> None:
    grid = torch.linspace(-12, 12, 24_001, dtype=torch.double)
    posterior = conformal(np.zeros(len(grid)))
    below = cdf(posterior, grid.reshape(-1, 1, 1)).flatten()
    # Beyond the last score the calibration rows tell nothing.
    known = grid.abs() <= posterior.scores.max()
    integral = torch.trapezoid(((below - (grid >= y).double()).square() * known), grid)
    assert metrics.crps(conformal(np.zeros(1)), values(np.array([y]))) == pytest.approx(float(integral), rel=0.02)


def test_the_crps_rewards_intervals_that_hold() -> None:
    y = values(np.random.default_rng(1).normal(0, 2, 300))
    calibrated = conformal(np.zeros(300))
    assert metrics.crps(calibrated, y) < metrics.crps(calibrated.base, y)
    right = metrics.crps(gaussian(np.zeros(300), np.full(300, 2.0)), y)
    assert metrics.crps(calibrated, y) == pytest.approx(right, rel=0.02)


def test_calibration_leaves_the_log_density_alone() -> None:
    y = values(np.random.default_rng(1).normal(0, 2, 30))
    calibrated = conformal(np.zeros(30))
    assert metrics.nll(calibrated, y) == metrics.nll(calibrated.base, y)


def test_a_calibrated_posterior_has_little_miscalibration() -> None:
    y = values(np.random.default_rng(1).normal(0, 2, 3000))
    calibrated = conformal(np.zeros(3000))
    assert metrics.miscalibration_area(calibrated, y) < 0.03 < metrics.miscalibration_area(calibrated.base, y)
