"""A mixture cannot be hurt by a bad member, finds the good one, and says how sure it is; a hurdle holds at its atom."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
import pytest
import torch

import mfmat as mf
from mfmat import metrics
from mfmat.data import Data
from mfmat.gates import Evidence
from mfmat.learner import FittedModel, Learner, WrappedModel, part
from mfmat.posteriors import interval

pytestmark = pytest.mark.promise
SEEDS = 20


@dataclass(frozen=True)
class Sees(Learner, kind="test-sees"):
    """A linear member that sees one column: right, or wrong, by construction."""

    column: int

    def fit(self, data: Data) -> FittedModel:
        return SeesModel(mf.BayesianLinear(steps=30).fit(replace(data, X=self.blind(data.X))), self)

    def restore(self, facts, state) -> FittedModel:
        return SeesModel(mf.BayesianLinear().restore(facts["inner"], part(state, "inner.")), self)

    def blind(self, X: torch.Tensor) -> torch.Tensor:
        kept = torch.zeros(X.shape[-1], dtype=X.dtype)
        kept[self.column], kept[-1] = 1, 1
        return X * kept


class SeesModel(WrappedModel):
    """Its model."""

    def __init__(self, inner: FittedModel, recipe: Sees) -> None:
        super().__init__(inner, width=inner.facts["width"], sources=inner.facts["sources"])
        self.recipe = (recipe,)

    def joint(self, X, observed):
        return self.inner.joint(self.recipe[0].blind(X), observed)

    def noise(self, X):
        return self.inner.noise(self.recipe[0].blind(X))


def schema(columns: int) -> mf.Schema:
    return mf.Schema(mf.Columns([f"c{i}" for i in range(columns)]), value="y")


def table(x: np.ndarray, y: np.ndarray) -> pd.DataFrame:
    return pd.DataFrame(x, columns=[f"c{i}" for i in range(x.shape[1])]).assign(y=y)


def score(recipe: mf.Learner, rows: pd.DataFrame, new: pd.DataFrame, names: mf.Schema) -> float:
    model = recipe.fit(names.data(rows))
    with torch.no_grad():
        said = model.posterior(names.encode(new)[0], observation_noise=True)
    return metrics.crps(said, torch.from_numpy(new["y"].to_numpy().copy())[:, None, None])


@pytest.mark.parametrize("gate", [mf.ConstantGate(), mf.LocalGate()], ids=["constant", "local"])
def test_a_planted_expert_among_eighteen_is_found_every_time(gate: mf.ConstantGate | mf.LocalGate) -> None:
    names, found, sure = schema(18), [], []
    for seed in range(SEEDS):
        rng = np.random.default_rng(seed)
        x, right = rng.normal(size=(40, 18)), int(rng.integers(18))
        data = names.data(table(x, x[:, right] + 0.5 * rng.normal(size=40)))
        model = mf.Mixture([Sees(i) for i in range(18)], gate=gate).fit(data)
        with torch.no_grad():
            weights, std = (
                each[:, :, 0].mean(1) for each in (model.weights(data.X[:, None]), model.weight_std(data.X[:, None]))
            )
        found.append(int(weights.argmax()) == right)
        sure.append([float(weights[right]), float(std[right])])
    assert sum(found) == SEEDS
    assert np.min(sure, axis=0)[0] > 0.75
    # All 40 rows are the planted expert's: what its weight lacks to 1 is about as much as it says.
    assert bool((1 - np.array(sure)[:, 0] < 3 * np.array(sure)[:, 1]).all())


def test_a_member_that_is_noise_gets_no_weight() -> None:
    names, weights = schema(3), []
    for seed in range(SEEDS):
        rng = np.random.default_rng(seed)
        x = rng.normal(size=(60, 3))
        data = names.data(table(x, x[:, 0] + 0.3 * rng.normal(size=60)))
        model = mf.Mixture([Sees(0), Sees(1)]).fit(data)
        with torch.no_grad():
            weights.append(float(model.weights(data.X[:, None])[1].mean()))
    assert max(weights) < 0.05


def test_where_each_member_is_right_in_half_of_space_local_weights_beat_constant_ones() -> None:
    names, gains = schema(3), []

    def draw(n: int, seed: int) -> pd.DataFrame:
        rng = np.random.default_rng(seed)
        x = rng.normal(size=(n, 3))
        return table(x, np.where(x[:, 0] < 0, 2 * x[:, 1], 2 * x[:, 2]) + 0.3 * rng.normal(size=n))

    for seed in range(SEEDS):
        rows, new = draw(100, seed), draw(400, 100 + seed)
        members = [Sees(1), Sees(2)]
        scores = [
            score(mf.Mixture(members, gate=gate), rows, new, names) for gate in (mf.ConstantGate(), mf.LocalGate())
        ]
        gains.append(1 - scores[1] / scores[0])
    assert np.mean(gains) > 0.1
    assert np.min(gains) > 0


FUSED = mf.Schema(mf.Columns(["a", "b"]), value="y", source="s", costs={"cheap": 1, "trusted": 10})


def fuse(bad: str, n: int, seed: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    """100 cheap rows of a bad source and n of the target, and 300 new ones."""
    rng = np.random.default_rng(seed)
    a, b = rng.uniform(-1, 1, (2, 400 + n))
    y = np.sin(6 * a) + a * b
    cheap = y + 0.1 * rng.normal(size=len(a))
    wild = 1.5 * rng.normal(size=len(a))
    cheap = {"noise": wild, "inverted": -cheap, "shifted": cheap + 3, "half": np.where(a < 0, cheap, wild)}[bad]
    s = np.array(["cheap"] * 100 + ["trusted"] * (300 + n))
    rows = pd.DataFrame({"a": a, "b": b, "s": s, "y": np.where(s == "cheap", cheap, y + 0.1 * rng.normal(size=len(a)))})
    return rows[: 100 + n], rows[100 + n :]


@pytest.mark.parametrize("bad", ["noise", "inverted", "shifted", "half"])
@pytest.mark.parametrize("n", [15, 40])
def test_a_bad_source_does_not_hurt_and_a_good_one_helps(bad: str, n: int) -> None:
    alone, mixed = [], []
    for seed in range(SEEDS):
        rows, new = fuse(bad, n, seed)
        target = mf.TargetOnly(mf.GP())
        alone.append(score(target, rows, new, FUSED))
        mixed.append(score(mf.Mixture([mf.Difference([mf.GP()]), target]), rows, new, FUSED))
    worse = np.array(mixed) - alone
    # No worse than the target alone by more than the paired error bar and 1% of the score.
    assert worse.mean() < 2 * worse.std() / math.sqrt(SEEDS) + 0.01 * np.mean(alone)
    if bad in ("inverted", "shifted"):
        assert np.mean(mixed) < 0.7 * np.mean(alone)


def test_a_pool_of_members_that_are_each_right_is_too_wide_and_one_factor_mends_the_most_of_it() -> None:
    names = schema(2)

    def draw(n: int, seed: int) -> pd.DataFrame:
        rng = np.random.default_rng(seed)
        x = rng.normal(size=(n, 2))
        return table(x, x.sum(1) + rng.normal(size=n))

    inside: dict[bool, list[float]] = {True: [], False: []}
    scores: dict[bool, list[float]] = {True: [], False: []}
    for seed in range(SEEDS):
        rows, new = draw(120, seed), draw(500, 100 + seed)
        y = torch.from_numpy(new["y"].to_numpy().copy())[:, None, None]
        for rescale in (True, False):
            # Each member sees half of what decides, and knows how much it does not see.
            recipe = mf.Mixture([Sees(0), Sees(1)], gate=mf.ConstantGate(), rescale=rescale)
            model = recipe.fit(names.data(rows))
            with torch.no_grad():
                said = model.posterior(names.encode(new)[0], observation_noise=True)
            low, high = interval(said, 0.9)
            inside[rescale].append(float(((low <= y) & (y <= high)).double().mean()))
            scores[rescale].append(metrics.nll(said, y))
    # The factor is for the density: a pool of two has not the shape of what it stands for.
    assert np.mean(inside[False]) > 0.94
    assert 0.88 < np.mean(inside[True]) < 0.93
    assert np.mean(np.array(scores[True]) < scores[False]) >= 0.9


@pytest.mark.parametrize("n", [20, 80, 300])
def test_the_uncertainty_of_weights_holds_as_often_as_it_says(n: int) -> None:
    inside = []
    for seed in range(100):
        rng = np.random.default_rng(seed)
        # Weights drawn from the prior itself, rows from the mixture they make.
        truth = rng.dirichlet(np.full(3, 2.0))
        mu = 2 * rng.normal(size=(n, 3))
        y = mu[np.arange(n), rng.choice(3, n, p=truth)] + rng.normal(size=n)
        scores = torch.from_numpy(-0.5 * (y[:, None] - mu) ** 2)
        evidence = Evidence(torch.zeros(n, 2).double(), scores, torch.ones(n, 3).double(), {"x": slice(0, 1)})
        shares = mf.ConstantGate(concentration=6.0, seed=seed).fit(evidence).shares.numpy()
        low, high = np.quantile(shares, [0.05, 0.95], axis=0)
        inside.append((low <= truth) & (truth <= high))
    assert 0.85 <= np.mean(inside) <= 0.95


@pytest.mark.parametrize("steep", [0.5, 1.5])
def test_the_uncertainty_of_local_weights_holds_roughly(steep: float) -> None:
    inside = []
    for seed in range(30):
        rng = np.random.default_rng(seed)
        n, x = 300, rng.normal(size=(300, 2))
        logits = np.exp(x @ (steep * rng.normal(size=(2, 3))))
        truth = logits / logits.sum(1, keepdims=True)
        mu = 2 * rng.normal(size=(n, 3))
        member = (truth.cumsum(1) < rng.random((n, 1))).sum(1).clip(max=2)
        scores = -0.5 * ((mu[np.arange(n), member] + rng.normal(size=n))[:, None] - mu) ** 2
        X = torch.from_numpy(np.column_stack([x, np.zeros(n)]))
        evidence = Evidence(X, torch.from_numpy(scores), torch.ones(n, 3).double(), {"x": slice(0, 2)})
        draws = mf.LocalGate(seed=seed).fit(evidence).draws(X[:, None], torch.ones(3, n, 1).double())[..., 0].numpy()
        low, high = np.quantile(draws, [0.05, 0.95], axis=0)
        inside.append(((truth >= low.T) & (truth <= high.T)).mean())
    # Two linear logits are the third's shadow: the prior of the gate is not that of the simulation.
    assert 0.75 <= np.mean(inside) <= 0.95


def test_a_hurdle_holds_at_its_atom_and_elsewhere() -> None:
    names = mf.Schema(mf.Columns(["a", "b"]), value="y")

    def draw(n: int, seed: int) -> pd.DataFrame:
        rng = np.random.default_rng(seed)
        a, b = rng.uniform(-1, 1, (2, n))
        metal = rng.uniform(size=n) < 1 / (1 + np.exp(-4 * (a + 0.3 * np.sin(6 * b))))
        return pd.DataFrame({"a": a, "b": b, "y": np.where(metal, 0.0, 2 + b - a + 0.2 * rng.normal(size=n))})

    held = []
    for seed in range(10):
        model, new = mf.Hurdle(mf.GP()).fit(names.data(draw(200, seed))), draw(500, 100 + seed)
        y = torch.from_numpy(new["y"].to_numpy().copy())
        with torch.no_grad():
            said = model.posterior(names.encode(new)[0], observation_noise=True)
            chance = model.chance(names.encode(new)[0])[:, 0]
        low, high = (end[:, 0, 0] for end in interval(said, 0.9))
        inside, open_ = ((low <= y) & (y <= high)).double(), chance < 0.9
        held.append([float(inside.mean()), float(inside[y == 0].mean()), float(inside[(y > 0) & open_].mean())])
    overall, atom, above = np.mean(held, axis=0)
    assert overall > 0.9
    assert atom > 0.97
    # A row that is all but surely at the floor has an interval of one value: those above it are left out here.
    assert 0.86 < above < 0.96
