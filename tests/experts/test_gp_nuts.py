"""Hyperparameters sampled by Pyro: the mixture over the draws, and what is saved of it."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch
from torch.distributions import Normal

import mfmat as mf
from mfmat.data import Data
from mfmat.errors import SchemaError
from mfmat.posteriors import MixturePosterior, quantile

FEW = mf.GP(kernel="rbf", inference="nuts", draws=6, warmup=40)


def rows(n: int = 15, seed: int = 0) -> Data:
    rng = np.random.default_rng(seed)
    x = rng.uniform(0, 1, n)
    table = pd.DataFrame({"x": x, "y": np.sin(6 * x) + 0.1 * rng.normal(size=n)})
    return mf.Schema(mf.Columns("x"), value="y").data(table)


@pytest.fixture(scope="module")
def model():
    return FEW.fit(rows())


def grid(n: int = 5) -> torch.Tensor:
    x = torch.linspace(-0.5, 1.5, n).double()
    return torch.stack([x, torch.zeros(n).double()], dim=-1)


def test_the_posterior_is_a_mixture_of_processes(model) -> None:
    with torch.no_grad():
        said = model.posterior(grid().unsqueeze(1), observation_noise=True)
        assert isinstance(said, MixturePosterior)
        single = mf.GP(kernel="rbf").build(model.facts)
        cumulative = torch.zeros(5, 1, 1).double()
        for draw in model.draws:
            state = model.process.state_dict()
            names = [name for name, p in model.process.named_parameters() if p.numel()]
            state |= {name: value.reshape(state[name].shape) for name, value in zip(names, draw, strict=True)}
            single.load_state_dict(state)
            one = single.posterior(grid().unsqueeze(1), observation_noise=True)
            cumulative += Normal(one.mean, one.variance.sqrt()).cdf(quantile(said, 0.8)) / len(model.draws)
    torch.testing.assert_close(cumulative, torch.full_like(cumulative, 0.8))


def test_its_joint_gaussian_has_the_mixtures_moments(model) -> None:
    flags = torch.zeros(5, dtype=torch.bool)
    with torch.no_grad():
        mean, covariance = model.joint(grid(), flags)
        said = model.posterior(grid())
        torch.testing.assert_close(said.mean[..., 0], mean)
        torch.testing.assert_close(said.distribution.covariance_matrix, covariance)
        noisy = model.joint(grid(), ~flags)[1]
        torch.testing.assert_close((noisy - covariance).diagonal(), model.noise(grid()))


def test_draws_differ_and_come_back_exactly(model) -> None:
    assert (model.draws.std(0) > 0.05).all()
    again = FEW.restore(model.facts, model.state_dict())
    X = grid().unsqueeze(1)
    with torch.no_grad():
        assert torch.equal(quantile(again.posterior(X), 0.9), quantile(model.posterior(X), 0.9))


def test_more_rows_leave_less_doubt_about_the_noise() -> None:
    many = mf.GP(kernel="rbf", inference="nuts", draws=40, warmup=40)
    few, more = (many.fit(rows(n)) for n in (8, 120))
    assert next(iter(few.process.named_parameters()))[0] == "log_noise"
    assert more.draws[:, 0].std() < 0.3 * few.draws[:, 0].std()


def test_another_seed_draws_others(model) -> None:
    other = mf.GP(kernel="rbf", inference="nuts", draws=6, warmup=40, seed=1).fit(rows())
    assert not torch.equal(other.draws, model.draws)


def test_no_rows_at_all_give_a_mixture_of_priors() -> None:
    data = rows(5)
    empty = FEW.fit(data.take(torch.zeros(0, dtype=torch.long)))
    with torch.no_grad():
        said = empty.posterior(data.X.unsqueeze(1))
    assert torch.isfinite(quantile(said, 0.9)).all()
    assert (empty.draws.std(0) > 0.2).all()


def test_with_input_dependent_noise_the_field_is_kept() -> None:
    recipe = mf.GP(noise="input", inference="nuts", draws=4, warmup=20)
    rng = np.random.default_rng(0)
    x = rng.uniform(0, 1, 120)
    table = pd.DataFrame({"x": x, "y": 0.03 * 20**x * rng.normal(size=120)})
    model = recipe.fit(mf.Schema(mf.Columns("x"), value="y").data(table))
    with torch.no_grad():
        low, high = model.noise(torch.tensor([[0.1, 0.0], [0.9, 0.0]]).double()).sqrt()
    assert high > 4 * low


def test_what_cannot_be_is_refused(unchecked: None) -> None:
    with pytest.raises(SchemaError, match=r"inference='mcmc'; expected one of 'map', 'nuts'"):
        mf.GP(inference="mcmc")
    with pytest.raises(SchemaError, match=r"draws=0; expected at least 1"):
        mf.GP(draws=0)
