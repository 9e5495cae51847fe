"""Bayesian linear regression against its closed form, scikit-learn's BayesianRidge, and its contract."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.linear_model import BayesianRidge

import mfmat as mf
from mfmat.data import Data


def rows(n: int = 300, d: int = 5, noise: float = 0.3, seed: int = 0) -> tuple[pd.DataFrame, mf.Schema]:
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, d)) * np.arange(1, d + 1)
    y = x @ rng.normal(size=d) + 4 + noise * rng.normal(size=n)
    names = [f"x{i}" for i in range(d)]
    return pd.DataFrame(x, columns=names).assign(y=y), mf.Schema(mf.Columns(names), value="y")


def said(model, X: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    with torch.no_grad():
        posterior = model.posterior(X, observation_noise=True)
    return posterior.mean[:, 0, 0], posterior.variance[:, 0, 0]


def test_it_says_what_scikit_learns_bayesian_ridge_says() -> None:
    # With many rows the priors of noise and precision, which differ, no longer matter.
    table, schema = rows(3000)
    data, new = schema.data(table[:2000]), schema.encode(table[2000:])[0]
    mean, variance = said(mf.BayesianLinear().fit(data), new)
    ridge = BayesianRidge().fit(table.iloc[:2000, :-1], table["y"][:2000])
    judge, spread = ridge.predict(table.iloc[2000:, :-1], return_std=True)
    np.testing.assert_allclose(mean, judge, rtol=0, atol=2e-3 * np.std(judge))
    np.testing.assert_allclose(variance.sqrt(), spread, rtol=5e-3)


def test_it_is_the_closed_form_at_its_own_precisions_and_noise() -> None:
    table, schema = rows(40)
    data = schema.data(table)
    model = mf.BayesianLinear().fit(data)
    X = schema.encode(table)[0]
    phi = model.features(X)[:, 0].detach()
    centre, scale = data.standards()[0]
    y = (data.Y[:, 0] - centre) / scale
    weights = model.weights
    prior = (-weights.log_precision.detach()).exp()[weights.block]
    K, noise = phi * prior @ phi.T, weights.noise.detach()
    solved = torch.linalg.solve(K + noise * torch.eye(40).double(), K).T
    mean, variance = said(model, X)
    torch.testing.assert_close(mean, centre + scale * (solved @ y))
    torch.testing.assert_close(variance, scale**2 * ((K - solved @ K).diagonal() + noise))


def test_the_noise_is_found() -> None:
    table, schema = rows(400, noise=0.5)
    data = schema.data(table)
    noise = mf.BayesianLinear().fit(data).noise(data.X[:1]).detach()
    assert float(noise) ** 0.5 == pytest.approx(0.5, rel=0.1)


def test_a_view_that_explains_nothing_is_shrunk() -> None:
    table, _ = rows(200, d=2)
    rng = np.random.default_rng(1)
    table = table.assign(**{f"z{i}": rng.normal(size=200) for i in range(20)})
    schema = mf.Schema([mf.Columns(["x0", "x1"]), mf.Columns([f"z{i}" for i in range(20)], name="other")], value="y")
    model = mf.BayesianLinear().fit(schema.data(table))
    _, useful, useless = model.weights.log_precision.tolist()
    assert useless > useful + 3


def test_the_variance_grows_without_bound() -> None:
    table, schema = rows(40, d=1)
    model = mf.BayesianLinear().fit(schema.data(table))
    far = [schema.encode(pd.DataFrame({"x0": [x]}))[0] for x in (0.0, 1e3, 1e4)]
    near, off, further = (float(model.posterior(X).variance.detach()) for X in far)
    assert off > 100 * near
    assert further == pytest.approx(100 * off, rel=0.01)


def test_known_noise_is_all_there_is() -> None:
    table, _ = rows(60)
    schema = mf.Schema(mf.Columns([f"x{i}" for i in range(5)]), value="y", noise="std")
    data: Data = schema.data(table.assign(std=0.3))
    model = mf.BayesianLinear().fit(data)
    torch.testing.assert_close(model.noise(data.X[:3]).detach(), torch.full((3,), 0.09).double(), rtol=5e-3, atol=0)


@pytest.mark.parametrize("n", [1, 2])
def test_few_rows_give_the_prior(n: int) -> None:
    table, schema = rows(n)
    mean, variance = said(mf.BayesianLinear().fit(schema.data(table)), schema.encode(table)[0])
    assert torch.isfinite(mean).all()
    assert (variance > 0).all()


@pytest.mark.parametrize("learner", [mf.BayesianLinear(), mf.GP(), mf.Forest()], ids=lambda learner: learner.kind)
def test_iron_is_hardly_stranger_than_another_new_element(learner: mf.Learner) -> None:
    """Calculations leave a millionth of a magnetic moment in titanium, which must not become the scale of moments."""
    oxides = ["TiO2", "Ti2O3", "SrTiO3", "BaTiO3", "Sc2O3", "MgO", "CaO", "Al2O3", "ZnO", "SiO2"]
    names = [*oxides, "TiN", "ScN", "GaAs", "GaN", "InP", "ZnS", "CdS", "MgS", "CaS", "AlN"]
    table = pd.DataFrame({"formula": names, "gap": np.random.default_rng(0).uniform(1, 6, len(names))})
    surrogate = mf.fit(table, mf.Schema(mf.Composition("formula"), value="gap"), learner)
    iron, yttrium = surrogate.predict(pd.DataFrame({"formula": ["Fe2O3", "Y2O3"]}))["std"]
    assert iron < 5 * yttrium
