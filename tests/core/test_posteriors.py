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


ATOM = 0.0
SHARES = np.array([0.4, 0.35, 0.25])


def with_atom(n: int = 1) -> MixturePosterior:
    """An atom at 0 between and under two Gaussians."""
    means = torch.tensor([ATOM, 1.0, 3.0]).double().reshape(3, 1, 1).expand(3, n, 1)
    covariances = torch.tensor([0.0, 1.0, 0.25]).double().reshape(3, 1, 1, 1).expand(3, n, 1, 1)
    return MixturePosterior(means, covariances, torch.from_numpy(SHARES))


def atomic_cdf(x: float) -> float:
    return float(SHARES[0] * (x >= ATOM) + SHARES[1] * stats.norm.cdf(x - 1) + SHARES[2] * stats.norm.cdf(2 * (x - 3)))


def test_an_atom_makes_the_probability_jump() -> None:
    posterior = with_atom()
    for y in (-1.0, -1e-9, 0.0, 1e-9, 2.5):
        assert float(cdf(posterior, torch.tensor([[[y]]], dtype=torch.double))) == pytest.approx(
            atomic_cdf(y), abs=1e-14
        )
    assert float(posterior.mean) == pytest.approx(1.1)
    assert float(posterior.variance) == pytest.approx(0.35 * 2 + 0.25 * 9.25 - 1.21)


@pytest.mark.parametrize("level", [0.0, 1e-9, 0.02, 0.0555, 0.0556, 0.3, 0.45, 0.4555, 0.456, 0.5, 0.9, 0.999999, 1.0])
def test_a_quantile_is_the_smallest_value_that_reaches_its_level(level: float) -> None:
    said = float(quantile(with_atom(), level))
    before, upto = atomic_cdf(-1e-300), atomic_cdf(0.0)
    if before < level <= upto:
        assert said == ATOM
    elif 0 < level < 1:
        expected = optimize.brentq(lambda x: atomic_cdf(x) - level, -20, 20, xtol=1e-14)
        assert said == pytest.approx(expected, abs=1e-8)
    else:
        assert said == (-np.inf if level == 0 else np.inf)


def test_quantiles_agree_with_brute_force_over_many_mixtures() -> None:
    generator = torch.Generator().manual_seed(0)
    means = torch.randn(5, 60, 1, generator=generator).double()
    stds = torch.rand(5, 60, 1, generator=generator).double()
    # Some rows have no atom, some have several, two of them on one value; one row has nothing else.
    stds[0, :40], stds[1, 20:50], stds[:, 59] = 0, 0, 0
    means[1, 20:30] = means[0, 20:30]
    weights = torch.rand(5, 60, 1, generator=generator).double() + 0.01
    posterior = MixturePosterior(means, stds.square()[..., None], weights / weights.sum(0))
    places = torch.linspace(-5, 5, 20001).double().reshape(-1, 1, 1, 1)
    places = torch.cat([places.expand(-1, 60, 1, 1), means[..., None]]).sort(0).values
    reached = torch.stack([cdf(posterior, y) for y in places])
    for level in (0.05, 0.31, 0.5, 0.77, 0.95):
        first = (reached >= level).double().argmax(0)
        expected = places.gather(0, first[None])[0]
        said = quantile(posterior, level)
        torch.testing.assert_close(said, expected, atol=6e-4, rtol=0)
        at_atom = ((said[None] == means[..., None]) & (stds[..., None] == 0)).any(0)
        assert torch.equal(said[at_atom], expected[at_atom])
        assert 5 < int(at_atom.sum()) < 60


def test_levels_at_the_edges_of_an_atom_stay_beside_it() -> None:
    means = torch.tensor([0.0, 5.0]).double().reshape(2, 1)
    posterior = MixturePosterior(means, torch.tensor([0.0, 1e-4]).double().reshape(2, 1, 1), torch.tensor([0.9, 0.1]))
    for level in (0.9 - 1e-12, 0.9, 0.9 + 1e-12):
        said = float(quantile(posterior, level))
        assert said == 0.0 or said > 4.5
    two = MixturePosterior(means, torch.zeros(2, 1, 1).double(), torch.tensor([0.3, 0.7]).double())
    assert [float(quantile(two, level)) for level in (0.1, 0.3, 0.31, 0.9, 1.0)] == [0.0, 0.0, 5.0, 5.0, 5.0]
    assert float(quantile(two, 0.0)) == -np.inf


def test_draws_hit_the_atom_and_keep_the_rest() -> None:
    means = torch.tensor([[[0.0, 2.0]], [[1.0, 2.0]]]).double()
    covariances = torch.tensor([[[[0.0, 0.0], [0.0, 1.0]]], [[[1.0, 0.8], [0.8, 1.0]]]]).double()
    posterior = MixturePosterior(means, covariances, torch.tensor([0.4, 0.6]).double())
    draws = SobolQMCNormalSampler(torch.Size([4096]), seed=0)(posterior)[:, 0, :, 0]
    hit = draws[:, 0] == 0
    assert float(hit.double().mean()) == pytest.approx(0.4, abs=0.01)
    torch.testing.assert_close(torch.cov(draws[~hit].T), covariances[1, 0], atol=0.06, rtol=0)
    assert float(draws[hit, 1].std()) == pytest.approx(1.0, abs=0.05)


def test_intervals_are_closed_and_hold_the_atom() -> None:
    posterior = with_atom()
    low, high = interval(posterior, 0.5)
    assert float(low) == 0.0
    assert metrics.coverage(posterior, torch.zeros(1, 1, 1).double(), 0.5) == 1.0
    assert atomic_cdf(float(high)) == pytest.approx(0.75)


def test_scores_with_an_atom_are_those_of_integration() -> None:
    posterior = with_atom()
    for y in (-0.7, 0.0, 0.004, 2.0):
        at = torch.tensor([[[y]]], dtype=torch.double)
        points = sorted({-5.0, 0.0, y})
        below, _ = integrate.quad(lambda t: atomic_cdf(t) ** 2, -12, y, points=points, limit=500)
        above, _ = integrate.quad(lambda t: (atomic_cdf(t) - 1) ** 2, y, 14, points=[0.0, y, 3.0], limit=500)
        assert metrics.crps(posterior, at) == pytest.approx(below + above, rel=1e-6)
        for d in (0.01, 0.5):
            expected = -np.log((atomic_cdf(y + d) - atomic_cdf(y - d)) / (2 * d))
            assert metrics.nll(posterior, at, window=d) == pytest.approx(expected, rel=1e-9)
        assert metrics.nll(posterior, at) == metrics.nll(posterior, at, window=0.01)
    two = MixturePosterior(torch.tensor([[0.0], [2.0]]), torch.zeros(2, 1, 1), torch.tensor([0.5, 0.5]))
    assert metrics.crps(two, torch.zeros(1, 1)) == pytest.approx(0.5)


def test_a_window_far_in_the_tail_keeps_its_digits_and_narrow_ones_are_densities() -> None:
    gaussian = normal(torch.zeros(1).double(), torch.eye(1).double())
    for y in (-30.0, -2.0, 0.0, 5.0, 50.0):
        at = torch.tensor([[y]], dtype=torch.double)
        assert metrics.nll(gaussian, at, window=1e-4) == pytest.approx(metrics.nll(gaussian, at), rel=1e-5)
    assert metrics.nll(gaussian, torch.zeros(1, 1).double(), window=1.0) == pytest.approx(-np.log(0.6826894921 / 2))
    assert torch.isinf(log_density(with_atom(), torch.zeros(1, 1, 1).double())).all()
    near = float(log_density(with_atom(), torch.full((1, 1, 1), 0.1).double()))
    assert near == pytest.approx(np.log(0.35 * stats.norm.pdf(0.9) + 0.25 * 2 * stats.norm.pdf(5.8)))


def test_a_calibrated_atom_lies_on_the_diagonal() -> None:
    posterior = with_atom(4000)
    generator = torch.Generator().manual_seed(0)
    pick = torch.multinomial(torch.from_numpy(SHARES), 4000, replacement=True, generator=generator)
    place, spread = torch.tensor([ATOM, 1.0, 3.0]).double()[pick], torch.tensor([0.0, 1.0, 0.5]).double()[pick]
    y = (place + spread * torch.randn(4000, generator=generator).double()).reshape(-1, 1, 1)
    assert metrics.miscalibration_area(posterior, y) < 0.01
    assert metrics.coverage(posterior, torch.zeros_like(y)) == 1.0
    # Taken at its upper end alone, the atom would look too sure.
    levels, observed = metrics.calibration_curve(cdf(posterior, y))
    assert float(torch.trapezoid((observed - levels).abs(), levels)) > 0.05


def test_slopes_pass_an_atom_and_beside_it() -> None:
    means = torch.tensor([[0.0], [1.0]]).double().requires_grad_()
    spread = torch.tensor(1.0).double().requires_grad_()

    def at(level: float):
        def build(m, s):
            covariances = torch.stack([torch.zeros_like(s), s.square()]).reshape(2, 1, 1)
            weights = torch.tensor([0.4, 0.6]).double()
            return MixturePosterior(m, covariances, weights).quantile(torch.tensor(level).double())

        return build

    assert torch.autograd.gradcheck(at(0.3), (means, spread))
    assert torch.autograd.gradcheck(at(0.9), (means, spread))
