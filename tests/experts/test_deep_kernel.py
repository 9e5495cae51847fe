"""DeepKernelGP: honest about features that were fitted, and better than a plain process where features help."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch

import mfmat as mf
from mfmat import metrics
from mfmat.data import Data
from mfmat.errors import FitError, SchemaError
from mfmat.experts.deep_kernel import _conditional
from mfmat.experts.process import GPModel
from mfmat.learner import facts_of


def ridge(n: int, d: int = 12, *, noise: float = 0.1, seed: int = 0) -> Data:
    """A wave along one direction out of d: no lengthscale of a whole view can see it."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, d))
    y = np.sin(2 * x.sum(axis=1) / np.sqrt(d)) + noise * rng.normal(size=n)
    names = [f"x{i}" for i in range(d)]
    schema = mf.Schema(mf.Columns(names), value="y")
    return schema.data(pd.DataFrame(x, columns=names).assign(y=y))


def score(model, data: Data) -> dict[str, float]:
    with torch.no_grad():
        return metrics.summary(model.posterior(data.X.unsqueeze(1), observation_noise=True), data.Y.unsqueeze(1))


def test_the_conditional_likelihood_is_that_of_the_joint_gaussian() -> None:
    data = ridge(30, d=3)
    process = GPModel(facts_of(data), "matern52")
    process.hold(data)
    given, held = torch.arange(20), torch.arange(20, 30)
    with torch.no_grad():
        K = process.kernel(data.X[:, :-1]).to_dense() + torch.diag(process.noise(data.X) / process.scale**2)
        y = process.residuals
        both, known = (
            torch.distributions.MultivariateNormal(torch.zeros(k).double(), K[:k, :k]).log_prob(y[:k]) for k in (30, 20)
        )
        prior = process.kernel.log_prior()
    loss, slopes = _conditional(process, given, held, None)()
    assert float(loss) == pytest.approx(float(known - both - prior), rel=1e-6)
    assert len(slopes) == len(process.hyperparameters())


@pytest.mark.parametrize("limit", [5000, 100])
def test_it_finds_a_direction_that_a_plain_process_cannot(limit: int) -> None:
    train, new = ridge(600), ridge(400, seed=1)
    deep = score(mf.DeepKernelGP(members=2, hidden=(64, 8), limit=limit, inducing=200).fit(train), new)
    plain = score(mf.GP().fit(train), new)
    assert deep["rmse"] < 0.6 * plain["rmse"]
    assert deep["nll"] < plain["nll"] - 0.3
    assert 0.8 < deep["coverage"] < 0.99


def test_where_there_is_nothing_to_find_it_is_a_plain_process() -> None:
    rng = np.random.default_rng(0)
    x = rng.uniform(-3, 3, (200, 1))
    table = pd.DataFrame({"x": x[:, 0], "y": np.sin(x[:, 0]) + 0.1 * rng.normal(size=200)})
    data = mf.Schema(mf.Columns("x"), value="y").data(table)
    train, new = data.take(torch.arange(60)), data.take(torch.arange(60, 200))
    deep, plain = score(mf.DeepKernelGP(members=2, hidden=(16, 4)).fit(train), new), score(mf.GP().fit(train), new)
    assert deep["rmse"] < 1.2 * plain["rmse"]
    assert deep["nll"] < plain["nll"] + 0.15


def test_noise_of_overfitted_features_is_not_believed() -> None:
    # 40 columns, 120 rows and mostly noise: a network can draw any values it likes through the training rows.
    train, new = ridge(120, d=40, noise=2.0), ridge(500, d=40, noise=2.0, seed=1)
    said = score(mf.DeepKernelGP(members=2, hidden=(64, 16)).fit(train), new)
    assert said["coverage"] > 0.82
    assert said["rmse"] < 1.1 * float(new.Y.std())


def test_a_view_of_its_own_name_and_no_layer_are_refused() -> None:
    with pytest.raises(FitError, match=r"hidden=\(\), members=4; expected at least one layer"):
        mf.DeepKernelGP(hidden=())
    schema = mf.Schema(mf.Columns("x", name="deep"), value="y")
    data = schema.data(pd.DataFrame({"x": [0.0, 1.0], "y": [0.0, 1.0]}))
    renamed = {"deep": next(iter(data.views.values()))}
    with pytest.raises(SchemaError, match="a view named 'deep'"):
        mf.DeepKernelGP().build(facts_of(data) | {"views": {"deep": [renamed["deep"].start, renamed["deep"].stop]}})
