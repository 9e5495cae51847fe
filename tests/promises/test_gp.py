"""GP keeps its promises on draws from its own prior: coverage, the shape of the noise, and sampled hyperparameters."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.stats import binom, chisquare

import mfmat as mf
from mfmat.data import Data
from mfmat.experts.process import NOISE_FLOOR, GPModel
from mfmat.kernel_families import FAMILIES
from mfmat.learner import facts_of
from mfmat.posteriors import cdf

LEVELS = (0.5, 0.8, 0.9, 0.95)


def inputs(n: int, seed: int, d: int = 2) -> Data:
    """Rows whose values are to be drawn."""
    x = np.random.default_rng(seed).uniform(0, 1, (n, d))
    names = [f"x{i}" for i in range(d)]
    return mf.Schema(mf.Columns(names), value="y").data(pd.DataFrame(x, columns=names).assign(y=0.0))


def from_prior(model: GPModel, data: Data, seed: int) -> torch.Tensor:
    """Values of the rows for hyperparameters from their priors, which are left in the model."""
    generator = torch.Generator().manual_seed(seed)

    def draw(parameter: torch.Tensor, centre: float, spread: float) -> None:
        parameter.copy_(centre + spread * torch.randn(parameter.shape, generator=generator, dtype=torch.double))

    kernel, x = model.kernel, data.X[:, :-1]
    kernel.measure(x)
    with torch.no_grad():
        draw(kernel.log_length, 0.3, 0.8)
        draw(kernel.log_weight, *kernel.priors["log_weight"])
        draw(kernel.log_shape, 0.0, 1.0)
        draw(model.log_noise, -3.0, 1.5)
        noise = NOISE_FLOOR + model.log_noise.exp()
        factor = torch.linalg.cholesky(kernel.forward(x, x) + noise * torch.eye(len(x)).double())
    return factor @ torch.randn(len(x), generator=generator, dtype=torch.double)


def in_own_units(data: Data) -> dict:
    """Facts by which values are not standardised: the priors are stated for values as they are."""
    return facts_of(data) | {"scales": [[0.0, 1.0]]}


@pytest.mark.promise
@pytest.mark.parametrize("family", FAMILIES)
def test_intervals_cover_draws_from_the_prior(family: str) -> None:
    draws, rows = 150, 120
    recipe = mf.GP(kernel=family)
    pit = []
    for seed in range(draws):
        data = inputs(rows + 1, seed)
        y = from_prior(recipe.build(in_own_units(data)), data, seed)
        data = Data(**{**vars(data), "Y": y[:, None]})
        seen, new = data.take(torch.arange(rows)), data.take(torch.tensor([rows]))
        model = recipe.build(in_own_units(seen))
        recipe.train(model, seen)
        with torch.no_grad():
            # One row a draw makes the rows independent.
            pit.append(float(cdf(model.posterior(new.X, observation_noise=True), new.Y)))
    inside = np.abs(2 * np.array(pit)[:, None] - 1) <= np.array(LEVELS)
    for level, covered in zip(LEVELS, inside.sum(0), strict=True):
        low, high = binom.interval(0.998, draws, level)
        assert low <= covered <= high, (level, covered / draws)


def planted(n: int, seed: int) -> tuple[Data, torch.Tensor]:
    """A sine over one column whose noise grows twelvefold along the other, and that noise (standard deviation)."""
    rng = np.random.default_rng(seed)
    x = rng.uniform(0, 1, (n, 2))
    sigma = np.exp(-3.5 + 2.5 * x[:, 0])
    table = pd.DataFrame(x, columns=["a", "b"]).assign(y=np.sin(5 * x[:, 1]) + sigma * rng.normal(size=n))
    return mf.Schema(mf.Columns(["a", "b"]), value="y").data(table), torch.from_numpy(sigma)


@pytest.mark.promise
def test_planted_noise_is_recovered_and_held_out_rows_are_likelier() -> None:
    off, gain, inside = [], [], []
    for seed in range(8):
        (train, _), (test, sigma) = planted(300, seed), planted(500, 100 + seed)
        plain, model = mf.GP().fit(train), mf.GP(noise="input").fit(train)
        X, Y = test.X.unsqueeze(1), test.Y.unsqueeze(1)
        with torch.no_grad():
            off.append(float((model.noise(X)[:, 0].sqrt().log() - sigma.log()).abs().mean()))
            said = model.posterior(X, observation_noise=True)
            gain.append(mf.metrics.nll(plain.posterior(X, observation_noise=True), Y) - mf.metrics.nll(said, Y))
            inside.append(mf.metrics.coverage(said, Y))
    assert np.mean(off) < 0.2
    assert min(gain) > 0.2
    assert np.mean(inside) == pytest.approx(0.9, abs=0.03)


@pytest.mark.promise
def test_even_noise_stays_even() -> None:
    departed = 0
    for seed in range(30):
        data = inputs(80, seed)
        rng = np.random.default_rng(seed)
        y = np.sin(5 * data.X[:, 1].numpy()) + 0.2 * rng.normal(size=80)
        model = mf.GP(noise="input").fit(Data(**{**vars(data), "Y": torch.from_numpy(y)[:, None]}))
        departed += bool(model.field.pulls.any())
    assert departed <= 5


@pytest.mark.promise
def test_sampled_hyperparameters_are_calibrated_by_simulation() -> None:
    # Talts et al. 2018, arXiv:1804.06788: ranks of the truth among posterior draws are uniform.
    simulations, kept = 40, 15
    recipe = mf.GP(kernel="rbf", inference="nuts", draws=kept, warmup=100)
    ranks = []
    for seed in range(simulations):
        data = inputs(12, 7, d=1)
        truth = GPModel(in_own_units(data), "rbf")
        y = from_prior(truth, data, seed)
        model = recipe.build(in_own_units(data))
        recipe.train(model, Data(**{**vars(data), "Y": y[:, None]}))
        values = torch.cat([p.detach().reshape(-1) for p in truth.hyperparameters().values()])
        ranks.append((model.draws < values).sum(0))
    for column in torch.stack(ranks).T:
        # 16 ranks in 4 equal bins.
        counts = np.bincount(column.numpy() // 4, minlength=4)
        assert chisquare(counts).pvalue > 1e-3, counts
