"""SparseGP against the dense formulas, the exact process and its own promises."""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from torch import Tensor
from torch.distributions import MultivariateNormal
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten

import mfmat as mf
from mfmat.data import Data
from mfmat.errors import FitError, UnknownNameError
from mfmat.experts import sparse_evidence, sparse_gp
from mfmat.experts.inducing import choose
from mfmat.experts.noise_level import learn_level
from mfmat.experts.process import NOISE_FLOOR, GPModel
from mfmat.experts.sparse_evidence import evidence
from mfmat.experts.sparse_gp import SparseGPModel
from mfmat.kernels import ViewKernel


def rows(n: int = 60, d: int = 2, seed: int = 0, *, noise: float = 0.1) -> Data:
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, d))
    y = np.sin(2 * x[:, 0]) + 0.5 * x[:, 1] + noise * rng.normal(size=n)
    names = [f"x{i}" for i in range(d)]
    return mf.Schema(mf.Columns(names), value="y").data(pd.DataFrame(x, columns=names).assign(y=y))


def exact(model: SparseGPModel, data: Data) -> GPModel:
    """The exact process with the hyperparameters of a sparse one."""
    process = GPModel(model.facts, "matern52")
    process.hold(data)
    process.kernel.load_state_dict(model.kernel.state_dict())
    process.log_noise.data.copy_(model.log_noise.data)
    return process


def dense(model: SparseGPModel, data: Data, new: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and covariance of new rows (q x (d+1)) by the formulas of the textbook, n x n and all."""
    X, Z, x = data.X[:, :-1], model.inducing, new[:, :-1]
    with torch.no_grad():
        inner, cross, reach = (model.kernel.forward(a, Z) for a in (Z, X, x))
        inner.diagonal().copy_(model.kernel.diagonal(model.kernel.place(Z)))
        known = cross @ torch.linalg.solve(inner, cross.mT)
        D = model.kernel.diagonal(model.kernel.place(X)) - known.diagonal() + model.log_noise.exp() + NOISE_FLOOR
        told = torch.linalg.solve(inner, cross.mT).mT @ reach.mT
        gain = torch.linalg.solve(known + torch.diag(D), told).mT
        y = (data.Y[:, 0] - model.centre) / model.scale
        covariance = model.kernel.forward(x, x) - gain @ told
        return model.centre + model.scale * (gain @ y), model.scale**2 * covariance


@pytest.mark.parametrize("inducing", [5, 20])
def test_predictions_are_those_of_the_dense_formulas(inducing: int) -> None:
    data, new = rows(), rows(6, seed=1).X
    model = mf.SparseGP(inducing=inducing).fit(data)
    mean, covariance = dense(model, data, new)
    said = model.posterior(new)
    torch.testing.assert_close(said.mean[:, 0].detach(), mean, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(said.distribution.covariance_matrix.detach(), covariance, rtol=1e-4, atol=1e-4)


def test_with_every_row_inducing_it_is_the_exact_process() -> None:
    data, new = rows(80), rows(20, seed=1).X
    model = mf.SparseGP(inducing=1000).fit(data)
    assert model.inducing.shape == (80, 2)
    said, truth = model.posterior(new), exact(model, data).posterior(new)
    torch.testing.assert_close(said.mean, truth.mean, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(said.variance, truth.variance, rtol=1e-3, atol=1e-7)
    # Nor does tuning then move what the exact process has learned.
    learned = mf.GP().fit(data)
    torch.testing.assert_close(model.log_noise, learned.log_noise, rtol=0.02, atol=0.02)


def test_the_evidence_is_the_log_density() -> None:
    generator = torch.Generator().manual_seed(0)
    phi, D, y = (torch.rand(*shape, generator=generator).double() for shape in ((3, 8), (8,), (8,)))
    density = MultivariateNormal(torch.zeros(8).double(), phi.mT @ phi + torch.diag(D)).log_prob(y)
    assert float(evidence(phi, D, y) + 0.5 * 8 * np.log(2 * np.pi)) == pytest.approx(-float(density))


def test_inducing_rows_reach_every_part_and_no_twin() -> None:
    generator = torch.Generator().manual_seed(0)
    crowd = 0.05 * torch.randn(480, 1, generator=generator).double()
    away = torch.linspace(2, 20, 10)[:, None].double()
    x = torch.cat([crowd, crowd, away, away])
    kernel = ViewKernel({"x": slice(0, 1)}, 1, "rbf")
    placed = kernel.place(x)

    def left(at: Tensor) -> float:
        few = kernel.place(x[at])
        K = kernel.covariance(kernel.squares(few, few)) + 1e-9 * torch.eye(len(at)).double()
        cross = kernel.covariance(kernel.squares(placed, few))
        explained = (cross @ torch.linalg.inv(K) * cross).sum()
        return float((kernel.diagonal(placed).sum() - explained).detach())

    at = choose(kernel, placed, 20, seed=0)
    assert len(x[at].unique(dim=0)) == len(at)
    random = [left(torch.randperm(len(x), generator=generator)[:20]) for _ in range(20)]
    assert left(at) < 0.1 * min(random)
    # Ten clusters and the crowd: what is beyond rounding needs fewer rows than are allowed.
    assert len(choose(kernel, placed, 500, seed=0)) < 100


class Largest(TorchDispatchMode):
    """Remembers the size of the largest tensor made under it."""

    numbers = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        made = [each.numel() for each in tree_flatten(result)[0] if isinstance(each, Tensor)]
        self.numbers = max([self.numbers, *made])
        return result


def test_nothing_as_large_as_the_covariance_of_all_rows_is_made() -> None:
    data = rows(6000)
    with Largest() as largest:
        model = mf.SparseGP(inducing=20, learn_rows=100, steps=3).fit(data)
        model.posterior(data.X.unsqueeze(1), observation_noise=True)
    # Of n rows there is at most a block of proposals against each.
    assert largest.numbers <= 100 * 6000


@pytest.mark.parametrize("noise", ["source", "input"])
def test_the_size_of_chunks_does_not_matter(monkeypatch: pytest.MonkeyPatch, noise: str) -> None:
    data, new = rows(200), rows(30, seed=1).X.unsqueeze(1)
    recipe = mf.SparseGP(inducing=30, noise=noise)
    whole = recipe.fit(data).posterior(new, observation_noise=True)
    for module in (sparse_gp, sparse_evidence):
        monkeypatch.setattr(module, "CHUNK", 7)
    parts = recipe.fit(data).posterior(new, observation_noise=True)
    torch.testing.assert_close(whole.mean, parts.mean, rtol=1e-6, atol=1e-8)
    torch.testing.assert_close(whole.variance, parts.variance, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("kernel", ["matern12", "matern52"])
def test_single_precision_is_far_below_the_noise(monkeypatch: pytest.MonkeyPatch, kernel: str) -> None:
    data, new = rows(1000, noise=0.5), rows(200, seed=1).X.unsqueeze(1)
    recipe = mf.SparseGP(inducing=100, learn_rows=200, kernel=kernel)
    truth = recipe.fit(data).posterior(new, observation_noise=True)
    # A crowd is taken in, and answered for, in single precision.
    monkeypatch.setattr(sparse_gp, "CROWD", 100)
    monkeypatch.setattr(sparse_gp, "LEFT_OUT", 0.0)
    model = recipe.fit(data)
    with torch.no_grad():
        said = model.posterior(new, observation_noise=True)
    assert not torch.equal(said.variance, truth.variance)
    spread = truth.variance.detach().sqrt()
    # Another rounding may choose other inducing rows: compare through the spread.
    assert ((said.mean - truth.mean.detach()) / spread).abs().max() < 0.05
    torch.testing.assert_close(said.variance.sqrt(), spread, rtol=0.02, atol=0)


def test_tables_in_single_precision_say_the_same() -> None:
    model = mf.SparseGP(inducing=50).fit(rows(300, noise=0.3))
    X = rows(100, seed=7).X.unsqueeze(1)
    double = model.posterior(X, observation_noise=True)
    with torch.no_grad():
        single = model.posterior(X, observation_noise=True)
    assert bool(model.even)
    assert not torch.equal(single.variance, double.variance)
    torch.testing.assert_close(single.variance, double.variance.detach(), rtol=1e-4, atol=0)
    assert ((single.mean - double.mean.detach()) / double.variance.detach().sqrt()).abs().max() < 1e-3


def test_without_noise_everything_stays_in_double_precision(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sparse_gp, "CROWD", 10)
    data = replace(rows(60, noise=0.0), known=torch.ones(60, dtype=torch.bool))
    model = mf.SparseGP().fit(data)
    X = rows(20, seed=7).X.unsqueeze(1)
    double = model.posterior(X).variance.detach()
    with torch.no_grad():
        assert torch.equal(model.posterior(X).variance, double)


def test_directions_that_explain_next_to_nothing_are_left_out_of_a_crowd(monkeypatch: pytest.MonkeyPatch) -> None:
    data, new = rows(2000, noise=0.5), rows(300, seed=1).X.unsqueeze(1)
    recipe = mf.SparseGP(inducing=200, learn_rows=200)
    monkeypatch.setattr(sparse_gp, "CROWD", 100)
    model = recipe.fit(data)
    said = model.posterior(new, observation_noise=True).variance.detach()
    monkeypatch.setattr(sparse_gp, "LEFT_OUT", 0.0)
    full = recipe.fit(data).posterior(new, observation_noise=True).variance.detach()
    assert int(model.root.any(0).sum()) < 150
    assert bool((said > (1 - 1e-4) * full).all())
    assert float(said.mean()) < 1.03 * float(full.mean())


def test_noise_is_learned_for_each_source_and_known_noise_is_all_there_is() -> None:
    rng = np.random.default_rng(0)
    x, source = rng.uniform(0, 1, 400), np.array(["rough", "fine"] * 200)
    y = np.sin(6 * x) + np.where(source == "rough", 0.5, 0.05) * rng.normal(size=400)
    schema = mf.Schema(mf.Columns("x"), value="y", source="s", costs={"rough": 1, "fine": 2})
    table = pd.DataFrame({"x": x, "s": source, "y": y})
    model = mf.SparseGP(inducing=30).fit(schema.data(table))

    def spread(name: str) -> float:
        return float(model.noise(schema.encode(pd.DataFrame({"x": [0.5]}), name)[0]).detach().sqrt())

    assert spread("rough") == pytest.approx(0.5, rel=0.2)
    assert spread("fine") == pytest.approx(0.05, rel=0.3)
    stated = mf.Schema(mf.Columns("x"), value="y", source="s", costs={"rough": 1, "fine": 2}, noise="sd")
    data = stated.data(table.assign(sd=np.where(source == "rough", 0.5, 0.05)))
    model = mf.SparseGP(inducing=30).fit(data)
    assert spread("rough") == pytest.approx(0.5, rel=1e-3)
    assert spread("fine") == pytest.approx(0.05, rel=1e-2)


def noisy(n: int) -> Data:
    """Rows whose noise grows with x, from 0.05 to 0.65."""
    rng = np.random.default_rng(0)
    x = rng.uniform(0, 1, n)
    y = np.sin(6 * x) + (0.05 + 0.6 * x) * rng.normal(size=n)
    return mf.Schema(mf.Columns("x"), value="y").data(pd.DataFrame({"x": x, "y": y}))


def test_noise_that_depends_on_the_input_is_found() -> None:
    new = torch.tensor([[[0.1, 0.0]], [[0.5, 0.0]], [[0.9, 0.0]]]).double()
    spread = mf.SparseGP(inducing=30, noise="input").fit(noisy(800)).noise(new).detach().sqrt().flatten()
    np.testing.assert_allclose(spread, [0.11, 0.35, 0.59], rtol=0.25)


def test_the_level_of_noise_is_that_of_the_rows_asked_for() -> None:
    model = mf.SparseGP(inducing=20, noise="input").fit(noisy(800))
    X = torch.linspace(0, 1, 10)[:, None, None].double().repeat(1, 1, 2)
    X[..., -1] = 0.0
    with torch.no_grad():
        alone = model.noise(X.clone())
        model.posterior(X)
        torch.testing.assert_close(model.noise(X), alone)
        # What is kept from one call to the next stays with the model.
        torch.testing.assert_close(copy.deepcopy(model).noise(X), alone)
        # The same tensor with other rows in it.
        model.posterior(X)
        X[..., 0] = X[..., 0].flip(0)
        torch.testing.assert_close(model.noise(X), alone.flip(0), rtol=1e-5, atol=0)


def test_even_noise_keeps_its_level() -> None:
    generator = torch.Generator().manual_seed(0)
    phi = torch.nn.functional.normalize(torch.randn(2000, 10, generator=generator).double(), dim=1)
    doubts = torch.full((2000,), 0.5).double()
    errors = doubts.sqrt() * torch.randn(2000, generator=generator).double()
    gamma, shift = learn_level(phi, errors, doubts, 0.9 * doubts)
    assert (phi @ gamma).abs().max() < 0.2
    assert abs(shift) < 0.15


def test_unknown_kernels_and_too_few_inducing_rows_are_refused(unchecked: None) -> None:
    with pytest.raises(UnknownNameError, match=r"kernel='matern53'"):
        mf.SparseGP(kernel="matern53")
    with pytest.raises(FitError, match=r"inducing=0; expected at least 1"):
        mf.SparseGP(inducing=0)


def test_no_rows_at_all_give_the_prior() -> None:
    data = rows(5)
    empty = replace(data.take(torch.zeros(0, dtype=torch.long)), anchor=(3.0, 2.0))
    model = mf.SparseGP().fit(empty)
    for X in (data.X.unsqueeze(1), data.X):
        said = model.posterior(X)
        torch.testing.assert_close(said.mean, torch.full_like(said.mean, 3.0))
        torch.testing.assert_close(said.variance.sqrt(), torch.full_like(said.variance, 2.0))


def test_one_recipe_for_each_view_has_a_hash_and_equals_its_twin() -> None:
    first, second = (mf.SparseGP(kernel=dict(pairs)) for pairs in ([("a", "rbf"), ("b", "linear")],) * 2)
    assert first == second
    assert hash(first) == hash(second)
