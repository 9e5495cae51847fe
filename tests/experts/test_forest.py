"""Forest against scikit-learn's own predictions, and its promises on spread."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.ensemble import RandomForestRegressor

import mfmat as mf
from mfmat import metrics
from mfmat.data import Data
from mfmat.errors import FitError, UnknownNameError
from mfmat.experts.forest import FEW, FLOOR, ForestModel
from mfmat.experts.trees import round_down


def rows(n: int = 200, d: int = 3, seed: int = 0, *, noise: float = 0.3) -> Data:
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, d))
    y = np.sin(2 * x[:, 0]) + 0.5 * x[:, 1] + noise * rng.normal(size=n)
    names = [f"x{i}" for i in range(d)]
    return mf.Schema(mf.Columns(names), value="y").data(pd.DataFrame(x, columns=names).assign(y=y))


@pytest.mark.parametrize(
    "forest", [mf.Forest(trees=30), mf.Forest(trees=30, splits="best", leaf=3)], ids=["random", "best"]
)
def test_every_tree_says_what_scikit_learns_says_to_the_bit(forest: mf.Forest, monkeypatch) -> None:
    grown: list = []
    hold = ForestModel.hold
    monkeypatch.setattr(ForestModel, "hold", lambda model, trees: (grown.extend(trees), hold(model, trees))[1])
    model = forest.fit(rows())
    x = model.place(rows(500, seed=1).X[:, :-1]).float()
    # Rows that lie on thresholds, and beside them, are where rounding would show.
    edges = torch.from_numpy(np.concatenate([tree.threshold[tree.children_left >= 0] for tree in grown])).float()
    x = torch.cat([x, edges[:600].reshape(-1, 3), torch.nextafter(edges[:600], torch.tensor(9.0)).reshape(-1, 3)])
    said = model.trees.mean[model.trees.leaves(x)].numpy()
    expected = np.stack([tree.predict(x.numpy())[:, 0] for tree in grown], axis=1)
    np.testing.assert_array_equal(said, expected)
    inside = np.stack([tree.impurity[tree.apply(x.numpy())] for tree in grown], axis=1)
    np.testing.assert_array_equal(model.trees.variance[model.trees.leaves(x)].numpy(), np.maximum(inside, 0))


@given(st.floats(-1e6, 1e6), st.floats(-1e6, 1e6, width=32))
def test_thresholds_in_single_precision_part_the_same_rows(threshold: float, x: float) -> None:
    near = round_down(np.array([threshold]))[0]
    assert (np.float32(x) <= near) == (np.float64(np.float32(x)) <= threshold)
    assert float(near) <= threshold < float(np.nextafter(near, np.float32(np.inf)))


def test_is_as_accurate_as_scikit_learns_forest() -> None:
    data, new = rows(400), rows(1000, seed=1)
    theirs = RandomForestRegressor(100, random_state=0).fit(data.X[:, :-1].numpy(), data.Y[:, 0].numpy())
    error = np.abs(theirs.predict(new.X[:, :-1].numpy()) - new.Y[:, 0].numpy()).mean()
    for forest in (mf.Forest(splits="best", features=1.0), mf.Forest(features=1.0)):
        model = forest.fit(data)
        with torch.no_grad():
            said = model.posterior(new.X.unsqueeze(1))
        assert metrics.mae(said, new.Y.unsqueeze(1)) < 1.05 * error


@pytest.mark.parametrize("forest", [mf.Forest(), mf.Forest(leaf=5, features=1.0), mf.Forest(splits="best")], ids=str)
def test_intervals_hold_on_new_rows_of_a_noisy_function(forest: mf.Forest) -> None:
    new = rows(2000, seed=1)
    said = forest.fit(rows(400)).posterior(new.X.unsqueeze(1), observation_noise=True)
    for level in (0.5, 0.8, 0.9, 0.95):
        assert metrics.coverage(said, new.Y.unsqueeze(1), level) == pytest.approx(level, abs=0.06)


def test_where_the_trees_differ_more_the_errors_are_larger() -> None:
    new = rows(2000, seed=1, noise=0.0)
    said = mf.Forest().fit(rows(400, noise=0.05)).posterior(new.X.unsqueeze(1))
    mean, variance = said.mean.detach().flatten(), said.variance.detach().flatten()
    error, wide = (mean - new.Y[:, 0]).square(), variance > variance.median()
    assert error[wide].mean() > 3 * error[~wide].mean()
    assert float(error[wide].mean() / variance[wide].mean()) == pytest.approx(1, abs=0.5)


def twins(n: int, seed: int) -> Data:
    """Four measurements of each compound, which agree; from compound to compound there is no rule."""
    data, rng = rows(n, seed=seed), np.random.default_rng(seed)
    compound = torch.arange(n) // 4
    X = torch.cat([data.X[::4, :-1][compound] + 1e-3 * data.X[:, :-1], data.X[:, -1:]], dim=1)
    y = torch.from_numpy(rng.normal(size=n // 4))[compound] + 0.01 * data.Y[:, 0]
    return replace(data, X=X, Y=y[:, None], groups=compound)


def test_compounds_are_left_out_whole() -> None:
    data, new = twins(400, seed=0), twins(400, seed=1)
    honest = mf.Forest().fit(data).posterior(new.X.unsqueeze(1), observation_noise=True)
    divided = mf.Forest().fit(replace(data, groups=torch.arange(400)))
    assert metrics.coverage(honest, new.Y.unsqueeze(1)) == pytest.approx(0.9, abs=0.08)
    assert metrics.coverage(divided.posterior(new.X.unsqueeze(1), observation_noise=True), new.Y.unsqueeze(1)) < 0.75


@pytest.mark.parametrize("n", [0, 1, 2, FEW - 1])
def test_with_few_rows_it_is_the_prior(n: int) -> None:
    data = replace(rows(), anchor=(3.0, 2.0)).take(torch.arange(n))
    model, new = mf.Forest().fit(data), rows(10, seed=1).X
    centre, scale = data.standards()[0]
    said = model.posterior(new.unsqueeze(1))
    torch.testing.assert_close(said.mean, torch.full_like(said.mean, centre))
    torch.testing.assert_close(said.variance, torch.full_like(said.mean, scale**2))
    again = mf.Forest().restore(model.facts, model.state_dict())
    assert torch.equal(again.posterior(new).variance, model.posterior(new).variance)


def test_far_away_it_says_what_was_believed_before() -> None:
    data = rows()
    model = mf.Forest().fit(data)
    said = model.posterior(torch.tensor([[[50.0, -50.0, 50.0, 0.0]]]).double())
    assert float(said.mean.detach()) == pytest.approx(float(data.Y.mean()), abs=1e-9)
    assert float(said.variance.detach()) == pytest.approx(float(data.Y.var()), rel=1e-9)


def test_gradients_are_0_among_the_rows_and_lead_back_from_beyond() -> None:
    model = mf.Forest().fit(rows())
    for x, leads in (([0.1, 0.2, 0.1, 0.0], False), ([4.5, 0.2, 0.1, 0.0], True)):
        X = torch.tensor([[x]]).double().requires_grad_()
        model.posterior(X).variance.sum().backward()
        assert bool(X.grad[..., 0] > 0) is leads
        assert not X.grad[..., 1:].any()


def test_rows_in_the_same_leaves_vary_together() -> None:
    model = mf.Forest(leaf=5).fit(rows())
    X = torch.tensor([[0.1, 0.2, 0.1, 0.0], [0.12, 0.2, 0.1, 0.0], [-1.0, 1.0, 0.5, 0.0]]).double()
    covariance = model.posterior(X).distribution.covariance_matrix.detach()
    std = covariance.diagonal().sqrt()
    alike = covariance / std / std[:, None]
    assert alike[0, 1] > 0.8
    assert alike[0, 2] < 0.5
    leaves = model.trees.leaves(model.place(X[:, :-1]).float())
    distance = (model.place(X[:1, :-1]) - model.place(X[1:2, :-1])).square().mean().sqrt()
    expected = (leaves[0] == leaves[1]).double().mean() * torch.exp(-distance)
    torch.testing.assert_close(alike[0, 1], expected)


def test_known_noise_is_all_there_is() -> None:
    data = rows(noise=0.5)
    known = replace(data, Yvar=torch.full_like(data.Y, 0.25), known=torch.ones(len(data), dtype=torch.bool))
    scale = data.standards()[0][1]
    noise = mf.Forest().fit(known).noise(data.X[:1])
    assert float(noise.detach()) == pytest.approx(0.25 + FLOOR * scale**2)


def test_threads_do_not_change_it() -> None:
    data, X = rows(), rows(50, seed=1).X.unsqueeze(1)
    one = mf.Forest(trees=20).fit(data).posterior(X).variance
    torch.set_num_threads(2)
    try:
        two = mf.Forest(trees=20).fit(data).posterior(X).variance
    finally:
        torch.set_num_threads(1)
    assert torch.equal(one, two)
    assert not torch.equal(one, mf.Forest(trees=20, seed=1).fit(data).posterior(X).variance)


@pytest.mark.usefixtures("unchecked")
def test_wrong_options_are_refused() -> None:
    with pytest.raises(UnknownNameError, match="splits='bst'"):
        mf.Forest(splits="bst")
    for options in ({"trees": 1}, {"leaf": 0}, {"features": 0.0}, {"features": 1.5}):
        with pytest.raises(FitError, match="at least 2 trees"):
            mf.Forest(**options)
