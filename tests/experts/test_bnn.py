"""Bayesian networks against closed forms, and each of their options."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
import torch

import mfmat as mf
from mfmat.data import Data
from mfmat.errors import FitError, UnknownNameError
from mfmat.experts.laplace import LaplaceModel
from mfmat.experts.sampled import SampledModel
from mfmat.learner import FittedModel


def rows(n: int = 60, d: int = 4, seed: int = 0, *, noise: float = 0.2, known: bool = False) -> Data:
    """A line in the first columns and a bend in the last."""
    rng = np.random.default_rng(seed)
    x = rng.uniform(-1, 1, (n, d))
    y = x @ np.arange(1, d + 1) + np.sin(4 * x[:, -1]) + noise * rng.normal(size=n)
    names = [f"x{i}" for i in range(d)]
    table = pd.DataFrame(x, columns=names).assign(y=y, std=noise)
    return mf.Schema(mf.Columns(names), value="y", noise="std" if known else None).data(table)


def said(model, X: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    with torch.no_grad():
        posterior = FittedModel.posterior(model, X.unsqueeze(1), observation_noise=True)
    return posterior.mean[:, 0, 0], posterior.variance[:, 0, 0]


def closed_form(model: LaplaceModel, data: Data, new: Data) -> tuple[torch.Tensor, torch.Tensor]:
    """The Gaussian process that linear regression is, written out over rows."""
    prior = (-model.weights.log_precision.detach()).exp()[model.weights.block]
    z = [model.network.inputs(part.X[:, :-1]) / part.X[:, :-1].shape[1] ** 0.5 for part in (data, new)]
    phi, there = (torch.cat([torch.ones(len(part), 1).double(), part], dim=1) for part in z)
    noise = model.weights.noise.detach()[0]
    covariance = phi * prior @ phi.T + noise * torch.eye(len(phi)).double()
    solved = torch.linalg.solve(covariance, phi * prior @ there.T).T
    centre, scale = data.standards()[0]
    mean = solved @ ((data.Y[:, 0] - centre) / scale)
    variance = ((there * prior) * there).sum(1) - (solved * (there * prior @ phi.T)).sum(1) + noise
    return centre + scale * mean, scale**2 * variance


@pytest.mark.parametrize("layers", ["last", "all"])
def test_laplace_without_hidden_layers_is_the_closed_form(layers: str) -> None:
    data = rows()
    model = mf.BNN(hidden=(), layers=layers).fit(data)
    for got, expected in zip(said(model, data.X), closed_form(model, data, data), strict=True):
        torch.testing.assert_close(got, expected, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("layers", ["last", "all"])
def test_without_hidden_layers_it_says_what_bayesian_linear_regression_says(layers: str) -> None:
    data = rows()
    bnn, linear = (recipe.fit(data) for recipe in (mf.BNN(hidden=(), layers=layers), mf.BayesianLinear()))
    for got, expected in zip(said(bnn, data.X), said(linear, data.X), strict=True):
        torch.testing.assert_close(got, expected, rtol=1e-6, atol=1e-6)


def test_all_layers_are_linear_around_the_trained_weights() -> None:
    data = rows()
    model = mf.BNN(hidden=(6,), layers="all", steps=50).fit(data)
    X = data.X[:5].unsqueeze(1)
    slopes, offset = (part.detach() for part in model.expand(X))
    names = ["head", *model.names]
    before = {name: model.network.get_parameter(name).detach().clone() for name in names}
    with torch.no_grad():
        features = model.network(model.network.inputs(X[..., :-1]), model.source(X))[0]
        trained = torch.cat([before[name].reshape(-1) for name in names])
        torch.testing.assert_close(slopes @ trained + offset, features @ before["head"])
        # A step along one weight at a time, by finite differences.
        for at, name in enumerate(names):
            start = sum(before[each].numel() for each in names[:at])
            moved = model.network.get_parameter(name).view(-1)
            moved[0] += 1e-6
            features = model.network(model.network.inputs(X[..., :-1]), model.source(X))[0]
            value = features @ model.network.head
            moved[0] -= 1e-6
            change = (value - (slopes @ trained + offset)) / 1e-6
            torch.testing.assert_close(change, slopes[..., start], rtol=1e-4, atol=1e-6)


def test_noise_of_the_input_is_found_where_it_is() -> None:
    rng = np.random.default_rng(0)
    x = rng.uniform(-1, 1, 1500)
    table = pd.DataFrame({"x": x, "y": np.sin(3 * x) + np.where(x > 0, 0.5, 0.05) * rng.normal(size=1500)})
    schema = mf.Schema(mf.Columns("x"), value="y")
    model = mf.BNN(noise="input", hidden=(32, 32), rate=0.01).fit(schema.data(table))
    quiet, loud = model.noise(schema.encode(pd.DataFrame({"x": [-0.5, 0.5]}))[0])[:, 0].detach().sqrt().tolist()
    assert quiet == pytest.approx(0.05, rel=0.35)
    assert loud == pytest.approx(0.5, rel=0.25)


def two_tasks(cheap: int, trusted: int, share: float, seed: int = 0) -> tuple[pd.DataFrame, mf.Schema]:
    """Two sources whose weights correlate by `share`, on the same ten columns."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(cheap + trusted, 10))
    common, own = rng.normal(size=10), rng.normal(size=(2, 10))
    source = np.repeat([0, 1], [cheap, trusted])
    weights = np.sqrt(share) * common + np.sqrt(1 - share) * own
    y = (x * weights[source]).sum(1) + 0.1 * rng.normal(size=len(x))
    names = [f"x{i}" for i in range(10)]
    table = pd.DataFrame(x, columns=names).assign(y=y, source=np.array(["cheap", "trusted"])[source])
    return table, mf.Schema(mf.Columns(names), value="y", source="source", costs={"cheap": 1, "trusted": 10})


def test_a_cheap_measurement_teaches_the_target_through_its_own_head() -> None:
    table, schema = two_tasks(100, 4, 0.95)
    model = mf.BNN(hidden=(), heads="own").fit(schema.data(table))
    X = torch.cat([schema.encode(table[:1], source)[0][:, 0] for source in ("cheap", "trusted")])
    covariance = model.posterior(X).distribution.covariance_matrix.detach()
    assert covariance[0, 1] > 0
    taught = model.condition_on_observations(X[:1], model.posterior(X[:1]).mean.detach() + 1.0)
    assert float((taught.posterior(X[1:]).mean - model.posterior(X[1:]).mean).detach()) > 0


def test_own_heads_differ_and_a_shared_one_does_not() -> None:
    table, schema = two_tasks(60, 30, 0.0)
    both = [schema.encode(table[:8], source)[0] for source in ("cheap", "trusted")]
    for heads, alike in (("shared", True), ("own", False)):
        model = mf.BNN(hidden=(), heads=heads).fit(schema.data(table))
        means = []
        for X, (centre, scale) in zip(both, schema.data(table).standards(), strict=True):
            means.append((model.posterior(X).mean.detach() - centre) / scale)
        assert torch.allclose(*means) is alike


@pytest.mark.parametrize("inference", ["laplace", "svi"])
def test_known_noise_is_all_there_is(inference: str) -> None:
    data = rows(80, known=True)
    model = mf.BNN(hidden=(8,), inference=inference, steps=60, draws=8).fit(data)
    torch.testing.assert_close(model.noise(data.X[:3]).detach(), torch.full((3,), 0.04).double(), rtol=5e-3, atol=0)


@pytest.mark.parametrize("guide", ["mean-field", "low-rank"])
def test_variational_inference_finds_a_bend_with_every_layer(guide: str) -> None:
    data = rows(200, noise=0.1)
    model = mf.BNN(hidden=(16,), inference="svi", layers="all", guide=guide, steps=600, draws=32).fit(data)
    mean, _ = said(model, data.X)
    assert float((mean - data.Y[:, 0]).square().mean().sqrt()) < 0.35 * float(data.Y.std())


def test_new_measurements_are_a_mixture_over_the_draws() -> None:
    data = rows()
    model = mf.BNN(hidden=(8,), inference="svi", steps=60, draws=16).fit(data)
    assert isinstance(model, SampledModel)
    X = data.X[:6].unsqueeze(1)
    with torch.no_grad():
        mixture = model.posterior(X, observation_noise=True)
        values, (centre, scale) = model.values(X), data.standards()[0]
        assert len(mixture.means) == 16
        torch.testing.assert_close(mixture.means.movedim(0, -1), centre + scale * values)
        mean, variance = said(model, data.X[:6])
    torch.testing.assert_close(mixture.mean[:, 0, 0], mean)
    torch.testing.assert_close(mixture.variance[:, 0, 0], variance, rtol=1e-6, atol=0)


def test_far_from_the_rows_every_draw_gives_way_to_the_prior() -> None:
    data = rows()
    scale = data.standards()[0][1]
    for recipe in (mf.BNN(steps=50), mf.BNN(hidden=(8,), inference="svi", steps=50, draws=8)):
        far = torch.full((1, 5), 1e5).double()
        far[:, -1] = 0
        model = recipe.fit(data)
        posterior = model.posterior(far)
        assert float(posterior.variance.detach()) == pytest.approx(scale**2, rel=1e-6)
        assert float(posterior.mean.detach()) == pytest.approx(data.standards()[0][0], abs=1e-6 * scale)
        noisy = model.posterior(far, observation_noise=True).variance.detach()
        assert float(noisy) == pytest.approx(scale**2 + float(model.noise(far).detach()), rel=1e-6)


def test_tables_in_single_precision_say_the_same_but_for_the_noise() -> None:
    data = rows(300, noise=0.3)
    model = mf.BNN(hidden=(32, 32), noise="input", steps=100).fit(data)
    X = data.X.unsqueeze(1)
    exact = model.posterior(X, observation_noise=True)
    with torch.no_grad():
        quick = model.posterior(X, observation_noise=True)
    spread = exact.variance.detach().sqrt()
    assert float(((quick.mean - exact.mean.detach()) / spread).abs().max()) < 1e-3
    torch.testing.assert_close(quick.variance, exact.variance.detach(), rtol=1e-3, atol=0)


@pytest.mark.parametrize(
    ("name", "wrong", "right"),
    [
        ("inference", "laplac", "laplace"),
        ("layers", "first", "last"),
        ("noise", "inputs", "input"),
        ("heads", "owns", "own"),
        ("guide", "meanfield", "mean-field"),
    ],
)
def test_an_option_that_nobody_knows_is_refused_by_name(name: str, wrong: str, right: str, unchecked) -> None:
    with pytest.raises(UnknownNameError, match=f"{name}={wrong!r}.*{right}"):
        mf.BNN(**{name: wrong})


@pytest.mark.parametrize("wrong", [{"hidden": (8, 0)}, {"dropout": 1.0}, {"held": -0.1}, {"steps": 0}, {"draws": 0}])
def test_impossible_sizes_are_refused(wrong: dict) -> None:
    with pytest.raises(FitError, match="at least"):
        mf.BNN(**wrong)


@pytest.mark.parametrize("inference", ["laplace", "nuts"])
def test_more_weights_than_an_inference_can_take_are_refused_with_advice(inference: str) -> None:
    with pytest.raises(FitError, match=r"weights to find.*last.*svi"):
        mf.BNN(inference=inference, layers="all", hidden=(100, 100)).fit(rows())


def test_hidden_layers_may_be_written_as_a_list(unchecked) -> None:
    assert mf.BNN(hidden=[8, 8]) == mf.BNN(hidden=(8, 8))
    assert hash(mf.BNN(hidden=[8, 8])) == hash(mf.BNN(hidden=(8, 8)))


@pytest.mark.parametrize("n", [0, 1, 2])
@pytest.mark.parametrize("inference", ["laplace", "svi", "nuts"])
def test_few_rows_give_the_prior(n: int, inference: str) -> None:
    data = rows(10).take(torch.arange(n))
    model = mf.BNN(hidden=(4,), inference=inference, steps=20, draws=4, warmup=5).fit(data)
    mean, variance = said(model, rows(5).X)
    assert torch.isfinite(mean).all()
    assert (variance > 0).all()
    assert math.isfinite(float(variance.max()))
