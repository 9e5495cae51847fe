"""A mixture's quantiles, densities, scores and draws against SciPy and numerical integration."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from botorch.sampling import IIDNormalSampler, SobolQMCNormalSampler
from botorch.sampling.get_sampler import get_sampler
from scipy import integrate, optimize, stats

from mfmat import metrics
from mfmat.posteriors import ConformalPosterior, MixturePosterior, cdf, interval, log_density, normal, quantile

WEIGHTS = np.array([0.2, 0.5, 0.3])
MEANS = np.array([-3.0, 0.5, 4.0])
STDS = np.array([0.3, 2.0, 0.05])


def mixture(scale: float = 1.0, shift: float = 0.0, *, rows: bool = False) -> MixturePosterior:
    """Three components far apart, for one row; with `rows`, weights as a gate gives them, row by row."""
    means = torch.from_numpy(scale * MEANS + shift).reshape(3, 1)
    covariances = torch.from_numpy((scale * STDS) ** 2).reshape(3, 1, 1)
    weights = torch.from_numpy(WEIGHTS)
    return MixturePosterior(means, covariances, weights.reshape(3, 1) if rows else weights)


def oracle_cdf(x: float) -> float:
    return float(np.sum(WEIGHTS * stats.norm.cdf(x, MEANS, STDS)))


@pytest.mark.parametrize("level", [1e-12, 0.001, 0.1, 0.2, 0.5, 0.7, 0.95, 0.9999])
def test_quantiles_are_the_mixtures_own(level: float) -> None:
    expected = optimize.brentq(lambda x: oracle_cdf(x) - level, -60, 60, xtol=1e-14, rtol=1e-15)
    spread = float(mixture().variance.sqrt())
    assert abs(float(quantile(mixture(), level)) - expected) < 1e-10 * spread


@pytest.mark.parametrize(("scale", "shift"), [(1e-9, 0.0), (1e9, 0.0), (1.0, 1e6)])
def test_quantiles_know_no_units(scale: float, shift: float) -> None:
    for level in (0.01, 0.5, 0.9):
        said = float(quantile(mixture(scale, shift), level))
        plain = float(quantile(mixture(), level))
        assert abs((said - shift) / scale - plain) < 1e-9


def test_quantile_and_cdf_undo_each_other_row_by_row() -> None:
    generator = torch.Generator().manual_seed(0)
    means = torch.randn(7, 200, 1, generator=generator).double()
    covariances = torch.randn(7, 200, 1, 1, generator=generator).double().exp() ** 4
    weights = torch.rand(7, 200, 1, generator=generator).double() ** 4
    posterior = MixturePosterior(means, covariances, weights / weights.sum(0))
    for level in (1e-9, 0.05, 0.5, 0.99):
        again = cdf(posterior, quantile(posterior, level))
        torch.testing.assert_close(again, torch.full_like(again, level), rtol=1e-9, atol=0)
    assert posterior.quantile(torch.tensor([0.1, 0.5, 0.9]).double()).shape == (3, 200, 1, 1)


def test_a_cycle_of_newtons_steps_between_two_places_is_left() -> None:
    # Between a broad and a narrow component the tangents of the two sides point at each other.
    means = torch.tensor([-1.3527, 0.9552, -0.0118, -0.7650, -0.7617, -0.4010, -1.4960]).double()
    stds = torch.tensor([0.7563, 0.0411, 0.8266, 13.5664, 0.0606, 1.7080, 0.5769]).double()
    weights = torch.tensor([0.2581, 0.0220, 0.1637, 0.0053, 0.1959, 0.3155, 0.0396]).double()
    weights = weights / weights.sum()
    posterior = MixturePosterior(means[:, None], stds.square()[:, None, None], weights)
    assert float(cdf(posterior, quantile(posterior, 0.5))) == pytest.approx(0.5, abs=1e-12)


def test_the_ends_of_the_line() -> None:
    assert float(quantile(mixture(), 0.0)) == -np.inf
    assert float(quantile(mixture(), 1.0)) == np.inf


def test_a_median_between_far_components_is_finite() -> None:
    means, ones = torch.tensor([[-1e3], [1e3]]).double(), torch.ones(2, 1, 1).double()
    median = quantile(MixturePosterior(means, ones, torch.full((2,), 0.5).double()), 0.5)
    assert abs(float(median)) < 1e3


def test_the_slope_of_a_quantile_is_the_implicit_one() -> None:
    means = torch.tensor([[-1.0], [2.0]]).double().requires_grad_()
    variances = torch.tensor([[[1.0]], [[0.3]]]).double().requires_grad_()
    weights = torch.tensor([0.4, 0.6]).double()

    def at(level: float):
        return lambda m, v: MixturePosterior(m, v, weights).quantile(torch.tensor(level).double())

    assert torch.autograd.gradcheck(at(0.3), (means, variances))
    assert torch.autograd.gradcheck(at(0.8), (means, variances))


def test_moments_are_the_mixtures() -> None:
    mean = np.sum(WEIGHTS * MEANS)
    variance = np.sum(WEIGHTS * (STDS**2 + MEANS**2)) - mean**2
    for posterior in (mixture(), mixture(rows=True)):
        assert float(posterior.mean) == pytest.approx(mean)
        assert float(posterior.variance) == pytest.approx(variance)
        assert float(posterior.distribution.covariance_matrix) == pytest.approx(variance)


def test_density_score_and_coverage_are_the_mixtures_not_the_gaussians() -> None:
    posterior = mixture()
    for y in (-3.2, 0.0, 3.97, 9.0):
        at = torch.tensor([[y]]).double()
        assert float(log_density(posterior, at)) == pytest.approx(
            np.log(np.sum(WEIGHTS * stats.norm.pdf(y, MEANS, STDS)))
        )
        assert float(posterior.density(at)) == pytest.approx(np.sum(WEIGHTS * stats.norm.pdf(y, MEANS, STDS)))
        assert metrics.nll(posterior, at) == pytest.approx(-float(log_density(posterior, at)))
        below, _ = integrate.quad(lambda t: oracle_cdf(t) ** 2, -30, y, points=[-3, 0.5, 4], limit=500)
        above, _ = integrate.quad(lambda t: (oracle_cdf(t) - 1) ** 2, y, 40, points=[-3, 0.5, 4, 4.2], limit=500)
        assert metrics.crps(posterior, at) == pytest.approx(below + above, rel=1e-6)
    low, high = interval(posterior, 0.9)
    assert oracle_cdf(float(high)) - oracle_cdf(float(low)) == pytest.approx(0.9, abs=1e-12)
    gaussian = normal(posterior.mean[:, 0], posterior.distribution.covariance_matrix)
    assert abs(float(quantile(gaussian, 0.95)) - float(high)) > 0.1


def test_one_component_is_the_gaussian() -> None:
    mean, covariance = torch.randn(2, 3, generator=torch.Generator().manual_seed(0)).double(), torch.eye(3).double()
    gaussian = normal(mean, 2 * covariance.expand(2, 3, 3))
    one = MixturePosterior(mean[None], 2 * covariance.expand(1, 2, 3, 3), torch.ones(1).double())
    y = torch.zeros(2, 3, 1).double()
    for level in (0.05, 0.5, 0.8):
        torch.testing.assert_close(quantile(one, level), quantile(gaussian, level))
    assert metrics.crps(one, y) == pytest.approx(metrics.crps(gaussian, y))
    assert metrics.nll(one, y) == pytest.approx(metrics.nll(gaussian, y))
    torch.testing.assert_close(cdf(one, y), cdf(gaussian, y))


def test_calibration_leaves_the_density_of_a_mixture_as_it_is() -> None:
    base = mixture()
    one = torch.ones(1, 1, 1).double()
    posterior = ConformalPosterior(base, one, one, torch.ones(9).double(), torch.zeros(9, dtype=torch.long))
    y = torch.zeros(1, 1).double()
    assert metrics.nll(posterior, y) == metrics.nll(base, y)


@pytest.mark.parametrize("sampler", [SobolQMCNormalSampler, IIDNormalSampler])
def test_draws_follow_the_mixture_and_keep_its_covariance(sampler: type) -> None:
    means = torch.tensor([[[-3.0, -2.0]], [[1.0, 2.0]]]).double()
    covariances = torch.tensor([[[[1.0, 0.8], [0.8, 1.0]]], [[[0.2, -0.1], [-0.1, 0.3]]]]).double()
    posterior = MixturePosterior(means, covariances, torch.tensor([0.3, 0.7]).double())
    draws = sampler(torch.Size([8192]), seed=0)(posterior)
    assert draws.shape == (8192, 1, 2, 1)
    covariance = torch.cov(draws[:, 0, :, 0].T)
    torch.testing.assert_close(covariance, posterior.distribution.covariance_matrix[0], rtol=0.05, atol=0.05)
    pit = torch.stack([cdf(posterior, draw) for draw in draws])[:, 0, 0, 0]
    assert stats.kstest(pit.numpy(), "uniform").statistic < 0.02


def test_a_sampler_of_botorchs_choice_and_base_samples_shared_by_batches() -> None:
    means = torch.randn(4, 5, 3, generator=torch.Generator().manual_seed(0)).double()
    posterior = MixturePosterior(means, torch.eye(3).double().expand(4, 5, 3, 3), torch.full((4,), 0.25).double())
    draws = get_sampler(posterior, torch.Size([16]), seed=1)(posterior)
    assert draws.shape == (16, 5, 3, 1)
    assert posterior.rsample(torch.Size([6])).shape == (6, 5, 3, 1)
    assert posterior.rsample().shape == (1, 5, 3, 1)


def test_gated_weights_choose_row_by_row() -> None:
    weights = torch.tensor([[[1.0, 0.25]], [[0.0, 0.75]]]).double()
    means = torch.tensor([[[0.0, 0.0]], [[10.0, 10.0]]]).double()
    posterior = MixturePosterior(means, torch.eye(2).double().expand(2, 1, 2, 2), weights)
    draws = SobolQMCNormalSampler(torch.Size([4096]), seed=0)(posterior)[:, 0, :, 0]
    torch.testing.assert_close((draws > 5).double().mean(0), torch.tensor([0.0, 0.75]).double(), atol=0.01, rtol=0)
    assert torch.linalg.eigvalsh(posterior.distribution.covariance_matrix).min() > 0
    assert torch.isfinite(log_density(posterior, torch.zeros(1, 2, 1).double())).all()
