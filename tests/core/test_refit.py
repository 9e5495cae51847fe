"""Conformal's refit form: a posterior keeps its shape, and its levels are mended."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
import torch
from crepes import ConformalRegressor
from scipy import stats

import mfmat as mf
from mfmat.posteriors import (
    DistributionalPosterior,
    MixturePosterior,
    cdf,
    interval,
    normal,
    normal_score,
    quantile,
)

SCHEMA = mf.Schema(mf.Columns("x"), value="y")


def tailed(seed: int, n: int) -> pd.DataFrame:
    """A line with noise of heavy tails, in its spread a function of x: no Gaussian model is right."""
    rng = np.random.default_rng(seed)
    x = rng.uniform(-1, 1, n)
    return pd.DataFrame({"x": x, "y": 2 * x + (0.2 + np.abs(x)) * rng.standard_t(3, n)})


@pytest.mark.parametrize("level", [0.5, 0.75, 0.875])
def test_around_a_gaussian_it_is_the_conformal_interval_of_crepes(level: float) -> None:
    table, new = tailed(0, 79), tailed(1, 30)
    surrogate = mf.fit(table, SCHEMA, mf.Conformal(mf.BayesianLinear(), form="refit"))
    held = surrogate.heldout()
    plain = mf.fit(table, SCHEMA, mf.BayesianLinear()).predict(new)
    regressor = ConformalRegressor().fit((held["y"] - held["median"]).to_numpy(), sigmas=held["std"].to_numpy())
    expected = regressor.predict_int(plain["median"].to_numpy(), sigmas=plain["std"].to_numpy(), confidence=level)
    np.testing.assert_allclose(surrogate.predict(new, level=level)[["lower", "upper"]], expected, rtol=1e-6)


def mixture(n: int, chance: float = 0.4) -> MixturePosterior:
    """An atom at 0 and two Gaussians, far apart."""
    means = torch.tensor([0.0, 1.0, 5.0]).double()[:, None, None].expand(3, n, 1)
    variances = torch.tensor([0.0, 0.04, 0.25]).double()[:, None, None, None].expand(3, n, 1, 1)
    return MixturePosterior(means, variances, torch.tensor([chance, 0.3, 0.7 - chance]).double())


def draws(n: int, seed: int, chance: float = 0.4) -> torch.Tensor:
    rng = np.random.default_rng(seed)
    which = rng.choice(3, n, p=[chance, 0.3, 0.7 - chance])
    y = np.array([0.0, 1.0, 5.0])[which] + np.array([0.0, 0.2, 0.5])[which] * rng.normal(size=n)
    return torch.from_numpy(y)[:, None, None]


def test_of_a_right_model_values_lie_out_as_far_as_normal_ones_also_those_on_an_atom() -> None:
    y = draws(4000, 0)
    scores = normal_score(mixture(4000), y, 0.01 * (y == 0), 0).flatten().abs().numpy()
    assert stats.kstest(scores, stats.halfnorm.cdf).pvalue > 0.01


def test_far_tails_keep_their_digits_on_both_sides() -> None:
    y = torch.tensor([-30.0, -9.0, 9.0, 30.0]).double()[:, None, None]
    base = normal(torch.zeros(4, 1).double(), torch.ones(4, 1, 1).double())
    torch.testing.assert_close(normal_score(base, y, torch.zeros_like(y)), y, rtol=1e-9, atol=0)


def test_intervals_keep_the_gap_between_two_peaks() -> None:
    posterior = DistributionalPosterior(mixture(1, chance=0.0), torch.linspace(0, 1.645, 199).double())
    lower, upper = interval(posterior, 0.6)
    assert 0.8 < float(lower) < 1.2
    assert 4 < float(upper) < 6
    assert float(quantile(posterior, 0.5)) == float(quantile(posterior.base, 0.5))


def test_cdf_and_quantile_are_inverse_up_to_a_rank() -> None:
    rng = np.random.default_rng(0)
    base = normal(torch.zeros(1, 1).double(), torch.ones(1, 1, 1).double())
    posterior = DistributionalPosterior(base, torch.from_numpy(np.abs(rng.standard_t(2, 400))))
    for level in (0.05, 0.3, 0.6, 0.95):
        assert float(cdf(posterior, quantile(posterior, level))) == pytest.approx(level, abs=1 / 401)


def test_draws_mean_and_density_stay_the_learners_own() -> None:
    table = tailed(0, 60)
    plain = mf.fit(table, SCHEMA, mf.BayesianLinear())
    mended = mf.fit(table, SCHEMA, mf.Conformal(mf.BayesianLinear(), form="refit"))
    assert mended.predict(table)[["mean", "std"]].equals(plain.predict(table)[["mean", "std"]])
    assert not mended.predict(table)["upper"].equals(plain.predict(table)["upper"])


def test_other_sources_and_noise_free_values_keep_their_own_intervals(problem) -> None:
    table, schema = problem(trusted=30)
    recipe = mf.Difference([mf.GP()])
    plain, mended = mf.fit(table, schema, recipe), mf.fit(table, schema, mf.Conformal(recipe, form="refit"))
    new = pd.DataFrame({"x": [0.2, 0.7]})
    for asked in ({"source": schema.sources[0]}, {"noise": False}):
        pd.testing.assert_frame_equal(mended.predict(new, **asked), plain.predict(new, **asked), rtol=1e-9)


@pytest.mark.promise
def test_the_mended_interval_holds_as_often_as_it_says() -> None:
    recipe, repeats, new, levels = mf.BayesianLinear(), 60, 40, (0.5, 0.8, 0.9)
    held = {name: dict.fromkeys(levels, 0) for name in ("plain", "mended")}
    for seed in range(repeats):
        table, unseen = tailed(seed, 100), tailed(10_000 + seed, new)
        for name, learner in {"plain": recipe, "mended": mf.Conformal(recipe, form="refit")}.items():
            surrogate = mf.fit(table, SCHEMA, learner)
            for level in levels:
                said = surrogate.predict(unseen, level=level)
                held[name][level] += int(unseen["y"].between(said["lower"], said["upper"]).sum())
    shares = {name: {level: count / (repeats * new) for level, count in each.items()} for name, each in held.items()}
    # Rows of one repetition share their scores: their share varies as that of some 100 calibration rows does.
    band = {p: 3 * math.sqrt(p * (1 - p) * (1 / (repeats * new) + 1 / (repeats * 100))) for p in levels}
    assert all(abs(shares["mended"][level] - level) < band[level] + 1 / 101 for level in levels)
    assert shares["plain"][0.5] > 0.5 + band[0.5]


def test_values_on_an_atom_do_not_make_the_other_intervals_narrower() -> None:
    scores = torch.cat([torch.zeros(100), torch.linspace(0, 2, 99)]).double()
    smooth = torch.arange(199) >= 100
    base = normal(torch.zeros(1, 1).double(), torch.ones(1, 1, 1).double())
    mixed, alone = DistributionalPosterior(base, scores, smooth), DistributionalPosterior(base, scores[smooth])
    for level in (0.3, 0.7, 0.9):
        ends = [float(interval(each, level)[1]) for each in (mixed, alone, DistributionalPosterior(base, scores))]
        assert ends[0] == pytest.approx(ends[1], abs=0.03)
        assert ends[0] > ends[2]
        assert float(cdf(mixed, interval(mixed, level)[1])) == pytest.approx((1 + level) / 2, abs=0.01)


@pytest.mark.promise
def test_above_a_floor_intervals_hold_and_on_it_no_less() -> None:
    held = {"floor": [], "above": []}
    recipe = mf.Conformal(mf.Hurdle(mf.BayesianLinear(), gate=mf.BayesianLinear()), form="refit")
    for seed in range(25):
        drawn = [tailed(each, rows) for each, rows in ((seed, 150), (10_000 + seed, 150))]
        table, unseen = (part.assign(y=part["y"].clip(lower=0)) for part in drawn)
        said = mf.fit(table, SCHEMA, recipe).predict(unseen)
        inside = unseen["y"].between(said["lower"], said["upper"])
        held["floor"].append(inside[unseen["y"] == 0].mean())
        held["above"].append(inside[unseen["y"] > 0].mean())
    assert 0.87 < np.mean(held["above"]) < 0.95
    assert np.mean(held["floor"]) > 0.9
