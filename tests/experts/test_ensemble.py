"""Ensemble: one pass for all members, a proper score, a mixture for an answer."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch

import mfmat as mf
from mfmat.experts.mixture_network import Members, MixtureHead, crps, surprise
from mfmat.networks import Trunk
from mfmat.posteriors import MixturePosterior

SMALL = mf.Ensemble(members=3, hidden=(32, 32), steps=300)


def line(n: int = 200, seed: int = 0) -> tuple[pd.DataFrame, mf.Schema]:
    rng = np.random.default_rng(seed)
    x = rng.uniform(-1, 1, n)
    return pd.DataFrame({"x": x, "y": 2 * x + 0.1 * rng.normal(size=n)}), mf.Schema(mf.Columns("x"), value="y")


def networks(count: int = 3) -> list[MixtureHead]:
    heads = []
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        for _ in range(count):
            heads.append(MixtureHead(Trunk(5, (8, 8)), 8, 2))
            torch.nn.init.normal_(heads[-1].head.weight)
    return [head.double().eval() for head in heads]


def test_one_pass_equals_a_loop_over_members() -> None:
    each = networks()
    together = Members(each).double().eval()
    z = torch.randn(3, 11, 5, generator=torch.Generator().manual_seed(0)).double()
    for own, shared, part in zip(together(z, each=True), together(z[0]), range(3), strict=True):
        for j, network in enumerate(each):
            torch.testing.assert_close(own[j], network(z[j])[part], rtol=1e-12, atol=1e-12)
            torch.testing.assert_close(shared[j], network(z[0])[part], rtol=1e-12, atol=1e-12)


def test_gradients_of_one_pass_equal_those_of_a_loop() -> None:
    each = networks()
    together = Members(each).double().eval()
    z, y = torch.linspace(-1, 1, 3 * 7 * 5).reshape(3, 7, 5).double(), torch.zeros(3, 7).double()
    weights, means, stds = together(z, each=True)
    crps(weights, means, stds.square(), y).sum().backward()
    for j, network in enumerate(each):
        weights, means, stds = network(z[j])
        crps(weights, means, stds.square(), y[j]).sum().backward()
        stacked = together.get_parameter("trunk/layers/0/weight").grad
        torch.testing.assert_close(stacked[j], network.trunk.layers[0].weight.grad)


def test_scores_are_those_of_draws() -> None:
    generator = torch.Generator().manual_seed(0)
    weights, means, variances = torch.tensor([0.3, 0.7]), torch.tensor([-1.0, 2.0]), torch.tensor([0.25, 1.0])
    chosen = (torch.rand(2, 400_000, generator=generator) > 0.3).long()
    draws = means[chosen] + variances[chosen].sqrt() * torch.randn(2, 400_000, generator=generator)
    y = torch.tensor(0.4)
    sampled = (draws[0] - y).abs().mean() - 0.5 * (draws[0] - draws[1]).abs().mean()
    assert float(crps(weights.log(), means, variances, y)) == pytest.approx(float(sampled), abs=0.01)
    density = (weights * torch.distributions.Normal(means, variances.sqrt()).log_prob(y).exp()).sum()
    assert float(surprise(weights.log(), means, variances, y)) == pytest.approx(-float(density.log()), rel=1e-5)


def test_members_differ_and_the_answer_is_their_mixture() -> None:
    table, schema = line()
    model = SMALL.fit(schema.data(table))
    X = schema.encode(pd.DataFrame({"x": [-0.5, 0.0, 0.5]}))[0]
    posterior = model.posterior(X, observation_noise=True)
    assert isinstance(posterior, MixturePosterior)
    assert len(posterior.means) == 6
    latent = model.posterior(X)
    torch.testing.assert_close(posterior.mean, latent.mean)
    torch.testing.assert_close(posterior.variance, latent.variance + model.noise(X).unsqueeze(-1))
    torch.testing.assert_close(posterior.mean[:, 0, 0], torch.tensor([-1.0, 0.0, 1.0]).double(), rtol=0, atol=0.15)
    assert float(latent.variance.detach().min()) > 1e-6


def test_noise_that_depends_on_the_inputs_is_found() -> None:
    rng = np.random.default_rng(0)
    x = rng.uniform(-1, 1, 800)
    table = pd.DataFrame({"x": x, "y": np.where(x > 0, 0.5, 0.05) * rng.normal(size=800)})
    schema = mf.Schema(mf.Columns("x"), value="y")
    model = SMALL.fit(schema.data(table))
    quiet, loud = model.noise(schema.encode(pd.DataFrame({"x": [-0.5, 0.5]}))[0]).detach().sqrt().flatten()
    assert float(quiet) == pytest.approx(0.05, rel=0.5)
    assert float(loud) == pytest.approx(0.5, rel=0.3)


def test_a_value_that_is_half_the_time_zero() -> None:
    rng = np.random.default_rng(0)
    x = rng.uniform(-1, 1, 800)
    table = pd.DataFrame({"x": x, "y": np.where(rng.random(800) < 0.7, 0.0, 3 + 0.1 * rng.normal(size=800))})
    schema = mf.Schema(mf.Columns("x"), value="y")
    said = mf.fit(table, schema, SMALL).predict(table)
    # The mean, 0.9, is where no value is.
    assert said["median"].abs().median() < 0.2
    assert said["mean"].mean() == pytest.approx(0.9, abs=0.2)
    assert said["upper"].median() == pytest.approx(3, abs=0.4)


def test_known_noise_is_taken_as_it_is() -> None:
    table, _ = line()
    schema = mf.Schema(mf.Columns("x"), value="y", noise="std")
    data = schema.data(table.assign(std=0.3))
    model = mf.Ensemble(members=2, hidden=(16,), components=1, steps=200).fit(data)
    assert float(model.noise(data.X[:1, None]).detach()) == pytest.approx(0.09, rel=0.01)


@pytest.mark.parametrize(
    ("options", "name"),
    [
        ({"members": 1}, "members=1"),
        ({"hidden": ()}, "hidden"),
        ({"dropout": 1.0}, "dropout=1.0"),
        ({"batch": 0}, "batch"),
    ],
)
def test_impossible_sizes(options: dict, name: str) -> None:
    with pytest.raises(mf.MfmatError, match=name):
        mf.Ensemble(**options)


def test_an_unknown_network(unchecked: None) -> None:
    with pytest.raises(mf.MfmatError, match="did you mean 'dense'"):
        mf.Ensemble(network="dence")
