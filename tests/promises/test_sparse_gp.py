"""SparseGP on draws from its own prior: intervals hold, more inducing rows come closer, far away nothing is claimed."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.stats import binom

import mfmat as mf
from mfmat.data import Data
from mfmat.experts.process import GPModel
from mfmat.experts.sparse_evidence import Measured
from mfmat.posteriors import cdf

DRAWS, ROWS, NOISE = 120, 400, 0.2
SCHEMA = mf.Schema(mf.Columns(["a", "b"]), value="y")


def draw(seed: int) -> tuple[Data, torch.Tensor, float]:
    """Rows of one function of the prior with noise; and a new row with what is measured there."""
    rng = np.random.default_rng(seed)
    x = rng.uniform(0, 1, (ROWS + 1, 2))
    r = np.sqrt(5) * np.linalg.norm(x[:, None] - x[None], axis=-1) / rng.uniform(0.3, 1.0)
    covariance = (1 + r + r**2 / 3) * np.exp(-r) + 1e-9 * np.eye(ROWS + 1)
    y = np.linalg.cholesky(covariance) @ rng.normal(size=ROWS + 1) + NOISE * rng.normal(size=ROWS + 1)
    table = pd.DataFrame(x, columns=["a", "b"]).assign(y=y)
    return SCHEMA.data(table[:ROWS]), SCHEMA.encode(table[ROWS:])[0], y[-1]


@pytest.mark.promise
def test_intervals_cover_within_the_binomial_band() -> None:
    recipe = mf.SparseGP(inducing=100, learn_rows=200)
    ranks = []
    for seed in range(DRAWS):
        data, new, y = draw(seed)
        said = recipe.fit(data).posterior(new, observation_noise=True)
        ranks.append(float(cdf(said, torch.full_like(said.mean, y)).detach()))
    reach = np.abs(2 * np.array(ranks) - 1)
    for level in (0.5, 0.8, 0.9, 0.95):
        # One row a draw makes the rows independent, so that the band is the binomial one.
        low, high = binom.interval(0.99, DRAWS, level)
        assert low <= (reach <= level).sum() <= high, level


@pytest.mark.promise
def test_with_more_inducing_rows_it_tends_to_the_exact_process() -> None:
    data = draw(0)[0]
    new = SCHEMA.encode(pd.DataFrame(np.random.default_rng(1).uniform(0, 1, (200, 2)), columns=["a", "b"]))[0]
    final = mf.SparseGP(inducing=ROWS).fit(data)
    exact = GPModel(final.facts, "matern52")
    exact.hold(data)
    off = []
    for m in (5, 20, 80, ROWS):
        model = mf.SparseGP(inducing=m).build(final.facts)
        model.kernel.load_state_dict(final.kernel.state_dict())
        model.log_noise.data.copy_(final.log_noise.data)
        exact.load_state_dict(exact.state_dict() | {"log_noise": final.log_noise.data} | kernel_of(final))
        every = torch.arange(ROWS)
        model.settle(Measured.of(exact, None), every, seed=0, device="cpu", level=False)
        said, truth = model.posterior(new), exact.posterior(new)
        off.append(float(((said.mean - truth.mean) / truth.variance.sqrt()).detach().abs().mean()))
    assert off == sorted(off, reverse=True)
    assert off[0] > 1
    assert off[-1] < 1e-3


def kernel_of(model: torch.nn.Module) -> dict[str, torch.Tensor]:
    return {name: value for name, value in model.state_dict().items() if name.startswith("kernel.")}


@pytest.mark.promise
@pytest.mark.parametrize("noise", ["source", "input"])
def test_far_from_all_rows_the_variance_is_the_priors(noise: str) -> None:
    model = mf.SparseGP(inducing=50, noise=noise).fit(draw(0)[0])
    far = SCHEMA.encode(pd.DataFrame({"a": [1e3, 1e6], "b": [-1e3, 1e6]}))[0]
    prior = model.kernel.variance * model.scale**2
    torch.testing.assert_close(model.posterior(far).variance.flatten(), prior.expand(2), rtol=1e-6, atol=0)
    measured = model.posterior(far, observation_noise=True).variance.flatten()
    typical = (prior + model.log_noise.exp() * model.scale**2).expand(2)
    torch.testing.assert_close(measured, typical, rtol=1e-3, atol=0)
