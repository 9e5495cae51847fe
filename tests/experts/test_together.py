"""Networks trained side by side are those trained alone."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch

import mfmat as mf
from mfmat.data import Data
from mfmat.errors import FitError
from mfmat.experts.together import fit_together, form_of
from mfmat.learner import FittedModel
from mfmat.training import hold_out

NETWORK = mf.BNN(hidden=(12, 6), steps=60, epochs=6, batch=32)


def rows(n: int = 150, *, sources: int = 1, known: bool = False, repeats: int = 1, seed: int = 0) -> Data:
    """A bend in four columns; some compounds measured at several settings, so that groups differ in size."""
    rng = np.random.default_rng(seed)
    x = rng.uniform(-1, 1, (n, 4))
    y = 5 + np.sin(3 * x[:, 0]) + x[:, 1] * x[:, 2] + 0.1 * rng.normal(size=n)
    table = pd.DataFrame(x, columns=list("abcd")).assign(y=y, std=rng.uniform(0.05, 0.2, n))
    table["source"] = np.array(["cheap", "dear"])[rng.integers(0, sources, n)]
    table["compound"] = rng.integers(0, n // repeats, n) if repeats > 1 else np.arange(n)
    costs = {"cheap": 1, "dear": 9} if sources > 1 else None
    options = {"source": "source", "costs": costs} if sources > 1 else {}
    schema = mf.Schema(mf.Columns(list("abcd")), value="y", noise="std" if known else None, group="compound", **options)
    return schema.data(table)


def said(model: FittedModel, data: Data) -> tuple[torch.Tensor, torch.Tensor]:
    with torch.no_grad():
        posterior = model.posterior(data.X.unsqueeze(1), observation_noise=True)
    return posterior.mean[:, 0, 0], posterior.variance[:, 0, 0]


@pytest.mark.parametrize(
    ("data", "batch"),
    [(rows(), 32), (rows(repeats=4), 150), (rows(sources=2), 32), (rows(known=True), 32), (rows(9), 32)],
    ids=["plain", "groups of several sizes", "two sources", "known noise", "too few to hold out"],
)
def test_each_network_is_the_one_trained_alone(data: Data, batch: int) -> None:
    recipes = [replace(NETWORK, seed=seed, batch=batch) for seed in (0, 1, 7)]
    for recipe, model in zip(recipes, fit_together(recipes, data), strict=True):
        alone = recipe.fit(data)
        for got, expected in zip(said(model, data), said(alone, data), strict=True):
            torch.testing.assert_close(got, expected, rtol=2e-3, atol=2e-3)
        assert model.facts == alone.facts


def test_steps_of_unequal_groups_teach_as_much() -> None:
    # Some networks hold out so many rows that they would need a step less for an epoch than the others.
    data, new = rows(repeats=6), rows(300, seed=1)
    recipes = [replace(NETWORK, seed=seed) for seed in range(6)]
    together = fit_together(recipes, data)
    errors = [
        [float((said(model, new)[0] - new.Y[:, 0]).abs().mean()) for model in models]
        for models in (together, [recipe.fit(data) for recipe in recipes])
    ]
    assert len({math.ceil(len(hold_out(data, recipe.held, recipe.seed)[0]) / recipe.batch) for recipe in recipes}) > 1
    assert np.mean(errors[0]) == pytest.approx(np.mean(errors[1]), rel=0.1)


@pytest.mark.parametrize("dropout", [0.0, 0.3])
def test_each_stops_where_it_is_best_itself(dropout: float) -> None:
    # Long enough for all to stop early, at epochs of their own.
    recipes = [replace(NETWORK, seed=seed, epochs=120, dropout=dropout, rate=0.03) for seed in range(4)]
    data = rows(60)
    for recipe, model in zip(recipes, fit_together(recipes, data), strict=True):
        difference = said(model, data)[0] - said(recipe.fit(data), data)[0]
        # Rounding grows along hundreds of steps; another stop or another seed is ten times as far.
        assert float(difference.square().mean().sqrt()) < 0.02


def test_networks_of_several_shapes_keep_their_places() -> None:
    data = rows(60)
    recipes = [replace(NETWORK, hidden=(4 + i % 2,), seed=i) for i in range(4)]
    models = fit_together([*recipes, mf.GP()], data)
    assert [model.network.trunk.width for model in models[:4]] == [4, 5, 4, 5]
    assert type(models[4]) is type(mf.GP().fit(data))


def test_what_was_trained_is_restored_by_its_recipe() -> None:
    data = rows(60)
    recipes = [replace(NETWORK, seed=seed) for seed in range(2)]
    for recipe, model in zip(recipes, fit_together(recipes, data), strict=True):
        back = recipe.restore(model.facts, model.state_dict())
        for got, expected in zip(said(back, data), said(model, data), strict=True):
            torch.testing.assert_close(got, expected, rtol=0, atol=0)


def test_the_same_call_gives_the_same_bits() -> None:
    recipes = [replace(NETWORK, seed=seed) for seed in range(5)]
    first, second = (fit_together(recipes, rows()) for _ in range(2))
    for one, other in zip(first, second, strict=True):
        assert torch.equal(said(one, rows())[0], said(other, rows())[0])


@pytest.mark.parametrize("change", [{"inference": "svi"}, {"layers": "all"}, {"noise": "input"}, {"hidden": ()}])
def test_other_networks_are_trained_alone(change: dict) -> None:
    recipe = replace(NETWORK, steps=5, epochs=1, draws=4, **change)
    assert form_of(recipe) is None
    data = rows(40)
    (model,) = fit_together([recipe], data)
    assert torch.equal(said(model, data)[0], said(recipe.fit(data), data)[0])


def test_labels_and_limits_are_as_of_the_recipe_alone() -> None:
    table = pd.DataFrame({"x": range(12), "y": ["no", "yes"] * 6})
    schema = mf.Schema(mf.Columns("x"), value="y", kinds={"y": "label"})
    recipe = replace(NETWORK, steps=5, epochs=1)
    (model,) = fit_together([recipe], schema.data(table))
    assert model.facts["classes"] == ["no", "yes"]
    limits = pd.DataFrame({"x": range(4), "y": range(4), "is": ["<", "=", "=", "="]})
    with pytest.raises(FitError, match="1 limit"):
        fit_together([recipe], mf.Schema(mf.Columns("x"), value="y", censored="is").data(limits))
