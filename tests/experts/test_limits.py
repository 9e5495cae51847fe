"""Limits in exact processes, against numerical integration, sampling and the marginal likelihood with limits."""

from __future__ import annotations

import copy
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from scipy import integrate
from scipy.stats import multivariate_normal, truncnorm

import mfmat as mf
from mfmat.experts.limits import stand_for
from mfmat.posteriors import squeeze, truncate

SCHEMA = mf.Schema(mf.Columns("x"), value="y", censored="sign", noise="sigma")


def rows(n: int = 12, seed: int = 0, noise: float = float("nan")) -> pd.DataFrame:
    """A wave of which the lower half lies below a limit, and one value above one."""
    rng = np.random.default_rng(seed)
    x = np.linspace(0, 1, n)
    y = np.sin(6 * x) + 0.1 * rng.normal(size=n)
    sign = np.where(y < 0, "<", None)
    return pd.DataFrame({"x": x, "y": np.maximum(y, 0), "sign": sign, "sigma": noise}).replace(
        {"y": {y[1]: y[1] - 0.2}}
    )


def test_one_limit_is_the_truncated_normal_of_scipy() -> None:
    mean, std = np.array([0.3, -2.0, 5.0, 40.0]), np.array([1.0, 0.5, 2.0, 1.0])
    limits, signs = np.array([1.0, 1.0, -3.0, 12.0]), np.array([-1, 1, 1, -1])
    ends = [
        ((-np.inf, (c - m) / s) if sign < 0 else ((c - m) / s, np.inf))
        for m, s, c, sign in zip(mean, std, limits, signs, strict=True)
    ]
    told = squeeze(*(torch.from_numpy(a).double() for a in (mean, std**2, limits, signs)))
    known = [truncnorm(a, b, loc=m, scale=s).stats("mv") for (a, b), m, s in zip(ends, mean, std, strict=True)]
    assert np.allclose(told.mean, [float(m) for m, _ in known], rtol=1e-6)
    assert np.allclose(told.variance, [float(v) for _, v in known], rtol=1e-3)
    # The measurement that stands for the limit, taken in, gives the same two moments.
    both = 1 / (1 / torch.from_numpy(std**2) + 1 / told.variances)
    assert torch.allclose(both, told.variance, rtol=1e-6)
    assert torch.allclose(both * (torch.from_numpy(mean / std**2) + told.values / told.variances), told.mean)


@pytest.mark.parametrize("rho", [-0.6, 0.0, 0.5, 0.8])
def test_two_limits_agree_with_numerical_integration(rho: float) -> None:
    covariance = np.array([[1.0, rho], [rho, 1.0]])
    density = multivariate_normal([0.2, -0.3], covariance).pdf

    def moment(power: int) -> float:
        return integrate.dblquad(lambda b, a: a**power * density([a, b]), -8, 0.5, -0.1, 8, epsabs=1e-7)[0]

    total, first, second = (moment(power) for power in range(3))
    given = [torch.tensor(each).double() for each in ([0.2, -0.3], covariance, [0.5, -0.1], [-1, 1])]
    told = truncate(*given)
    assert float(told.mean[0]) == pytest.approx(first / total, abs=0.02)
    assert float(told.variance[0]) == pytest.approx(second / total - (first / total) ** 2, abs=0.02)


def test_nothing_to_cut_changes_nothing_and_nothing_at_all_is_nothing() -> None:
    far = truncate(
        torch.zeros(2).double(), torch.eye(2).double(), torch.full((2,), 60.0).double(), -torch.ones(2).double()
    )
    assert torch.allclose(far.mean, torch.zeros(2).double(), atol=1e-9)
    assert torch.allclose(far.variance, torch.ones(2).double())
    none = torch.zeros(0).double()
    assert len(truncate(none, torch.zeros(0, 0).double(), none, none).mean) == 0


@pytest.mark.parametrize("sigma", [float("nan"), 0.2])
def test_a_process_agrees_with_importance_sampling(sigma: float) -> None:
    """Draws of the values given the measured ones, of which those count that lie within all limits."""
    data = SCHEMA.data(rows(9, noise=sigma))
    model = mf.GP().fit(data)
    x = torch.cat([data.X[:, :-1], torch.linspace(0.03, 0.97, 6).double()[:, None]])
    n, at = len(data), data.bounded
    with torch.no_grad():
        latent = (model.kernel.forward(x, x) * model.scale[0] ** 2).numpy()
    noise = np.diag(
        (1e-6 + np.where(data.known, 0.0, model.log_noise.exp().item())) * model.scale[0].item() ** 2
        + data.Yvar[:, 0].numpy()
    )
    rng = np.random.default_rng(0)
    values, mean = np.flatnonzero(~at.numpy()), model.centre[0].item()
    K = latent.copy()
    K[:n, :n] += noise
    rest = np.setdiff1d(np.arange(len(x)), values)
    gain = K[np.ix_(rest, values)] @ np.linalg.inv(K[np.ix_(values, values)])
    middle = mean + gain @ (data.Y[values, 0].numpy() - mean)
    draws = rng.multivariate_normal(
        middle, K[np.ix_(rest, rest)] - gain @ K[np.ix_(values, rest)], 400_000, method="cholesky"
    )
    limited = draws[:, : int(at.sum())]
    inside = (data.censored[at].numpy() * (limited - data.Y[at, 0].numpy()) > 0).all(axis=1)
    assert inside.sum() > 500
    kept = draws[inside, int(at.sum()) :]
    with torch.no_grad():
        said = model.posterior(torch.cat([x[n:], torch.zeros(6, 1).double()], dim=1).unsqueeze(1))
    spread = kept.std(axis=0)
    assert (
        np.abs(said.mean[:, 0, 0].numpy() - kept.mean(axis=0)) < 0.15 * spread + 3 * spread / inside.sum() ** 0.5
    ).all()
    assert np.allclose(said.variance[:, 0, 0].sqrt(), spread, rtol=0.15)


def test_hyperparameters_maximise_the_likelihood_with_limits() -> None:
    """Of the values and of the limits given them, by the multivariate normal probabilities of Genz in scipy."""
    data = SCHEMA.data(rows(9))
    model = mf.GP(steps=200).fit(data)
    at, values = data.bounded, (data.Y[:, 0] - model.centre[0]) / model.scale[0]

    # The same parameters, but the rows as they were before limits became measurements.
    without = copy.copy(model)
    without.extra = torch.zeros(9).double()

    def loss() -> float:
        with torch.no_grad():
            K = without.covariance_of_rows().numpy()
            prior = model.kernel.log_prior() - 0.5 * ((model.log_noise + 3) / 1.5).square().sum()
        a, b = np.flatnonzero(at), np.flatnonzero(~at)
        gain = K[np.ix_(a, b)] @ np.linalg.inv(K[np.ix_(b, b)])
        rest = K[np.ix_(a, a)] - gain @ K[np.ix_(b, a)]
        above = data.censored[at].numpy()
        accurate = {"allow_singular": True, "maxpts": 100_000, "abseps": 1e-8, "releps": 1e-5}
        below = multivariate_normal(cov=rest * np.outer(above, above), seed=0, **accurate)
        chance = below.cdf(above * (gain @ values[b].numpy() - values[a].numpy()))
        return -multivariate_normal(cov=K[np.ix_(b, b)]).logpdf(values[b].numpy()) - np.log(chance) - float(prior)

    for parameter in (model.log_noise, model.kernel.log_weight, model.kernel.log_length):
        best, losses, step = parameter.data.clone(), [], 0.15
        for move in (-step, 0.0, step):
            parameter.data = best + move
            losses.append(loss())
        parameter.data = best
        curvature = (losses[0] - 2 * losses[1] + losses[2]) / step**2
        assert curvature > 0
        # How far the top is away, next to how sharp it is.
        assert abs(losses[2] - losses[0]) / (2 * step) < 0.35 * curvature**0.5


def test_a_limit_that_is_far_away_tells_nothing_and_a_tight_one_moves() -> None:
    table = rows()
    values = table[table["sign"].isna()]
    at = pd.DataFrame({"x": [0.75]})
    far = pd.concat([values, at.assign(y=50.0, sign="<"), at.assign(x=0.8, y=-50.0, sign=">")])
    alone, with_far = (mf.fit(t, SCHEMA, mf.GP()).predict(at) for t in (values, far))
    assert np.allclose(with_far["median"], alone["median"], atol=0.2 * float(alone["std"].iloc[0]))
    tight = mf.fit(pd.concat([values, at.assign(y=-3.0, sign="<")]), SCHEMA, mf.GP()).predict(at)
    assert tight["median"].iloc[0] < -2


def test_units_do_not_matter() -> None:
    table = rows()
    said = mf.fit(table, SCHEMA, mf.GP()).predict(table)
    for scale, shift in ((1e6, 0.0), (1e-6, 0.0), (2.0, 300.0)):
        moved = mf.fit(table.assign(y=scale * table["y"] + shift), SCHEMA, mf.GP()).predict(table)
        assert np.allclose(
            (moved[["median", "upper"]] - shift) / scale, said[["median", "upper"]], rtol=1e-3, atol=1e-3
        )


def test_above_and_below_mirror_each_other() -> None:
    table = rows()
    said = mf.fit(table, SCHEMA, mf.GP()).predict(table)
    turned = table.assign(y=-table["y"], sign=table["sign"].map({"<": ">"}))
    assert np.allclose(-mf.fit(turned, SCHEMA, mf.GP()).predict(table)["median"], said["median"], atol=1e-4)


def test_standing_for_twice_is_standing_for_once() -> None:
    data = SCHEMA.data(rows())
    model = mf.GP().fit(data)
    before = model.residuals.clone(), model.extra.clone()
    stand_for(model, data)
    assert torch.equal(before[0], model.residuals)
    assert torch.equal(before[1], model.extra)
    told = model.told()
    assert told is not None
    assert torch.allclose(told[~data.bounded], data.Y[~data.bounded, 0])


def test_limits_alone_give_a_model() -> None:
    table = rows().assign(sign="<", y=[0.0, 0.5] * 6)
    said = mf.fit(table, SCHEMA, mf.GP()).predict(table)
    assert np.isfinite(said.to_numpy()).all()
    assert (said["median"] < 0.5).all()


@pytest.mark.parametrize("recipe", [mf.GP(noise="input"), mf.GP(inference="nuts", draws=4, warmup=20)])
def test_other_processes_take_them(recipe: mf.GP) -> None:
    table = rows(20)
    said = mf.fit(table, SCHEMA, recipe).predict(table)
    below = table["sign"].eq("<")
    assert (said.loc[below, "median"] < 0.15).all()
    assert (
        said.loc[below, "median"]
        < mf.fit(table.drop(columns="sign"), replace(SCHEMA, censored=None), recipe).predict(table).loc[below, "median"]
    ).mean() > 0.8


def test_a_draw_lies_on_its_side_and_has_the_moments() -> None:
    many = torch.ones(4000).double()
    told = squeeze(0 * many, many, 0.5 * many, -many)
    drawn = told.draw(0.5 * many, -many, torch.Generator().manual_seed(0))
    known = truncnorm(-np.inf, 0.5)
    assert bool((drawn < 0.5).all())
    assert float(drawn.mean()) == pytest.approx(known.mean(), abs=4 * known.std() / 4000**0.5)
    assert float(drawn.std()) == pytest.approx(known.std(), rel=0.05)
