"""Limits in stacks: what is learned from them, and what is handed on."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

import mfmat as mf
from mfmat.data import Data
from mfmat.errors import FitError

SCHEMA = mf.Schema(mf.Columns("x"), value="y", source="s", costs={"cheap": 1, "exp": 10}, censored="sign")


def planted(seed: int, where: str) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Two sources, the lower half of one below its limit, and new values of the trusted one."""
    rng = np.random.default_rng(seed)
    x = rng.uniform(0, 3, 160)
    factor = np.linalg.cholesky(np.exp(-0.5 * ((x[:, None] - x) / 0.2) ** 2) + 1e-8 * np.eye(160))
    low, difference = (factor @ rng.normal(size=(160, 2))).T
    s = np.array(["cheap"] * 60 + ["exp"] * 100)
    y = np.where(s == "exp", 1.3 * low + 0.7 * difference, low) + 0.1 * rng.normal(size=160)
    table = pd.DataFrame({"x": x, "y": y, "s": s, "sign": None})
    seen, new = table.iloc[:100].copy(), table.iloc[100:]
    limit = seen.loc[seen["s"] == where, "y"].median()
    below = (seen["s"] == where) & (seen["y"] < limit)
    seen.loc[below, "sign"] = "<"
    seen.loc[below, "y"] = limit
    return seen, new


def error(table: pd.DataFrame, new: pd.DataFrame, recipe: mf.Learner) -> float:
    said = mf.fit(table, SCHEMA, recipe).predict(new, noise=False)
    return float((said["median"] - new["y"]).abs().mean())


RECIPES = {
    "Difference": mf.Difference([mf.GP()]),
    "Latent": mf.Latent([mf.GP()]),
    "MultiTask": mf.MultiTask(),
    "TargetOnly": mf.TargetOnly(mf.GP()),
    "Mixture": mf.Mixture([mf.Difference([mf.GP()]), mf.TargetOnly(mf.Imputed(mf.Forest(trees=50)))], folds=3),
}


@pytest.mark.parametrize("name", RECIPES)
def test_better_than_left_out_and_than_taken_for_values(name: str) -> None:
    problems = [planted(seed, "exp") for seed in range(2)]
    tables = [(table, table[table["sign"].isna()], table.assign(sign=None)) for table, _ in problems]
    errors = [
        [error(each, new, RECIPES[name]) for each in three] for three, (_, new) in zip(tables, problems, strict=True)
    ]
    taken, left_out, as_values = np.mean(errors, axis=0)
    assert taken < 0.9 * left_out
    assert taken < 0.9 * as_values


@pytest.mark.parametrize("name", ["Difference", "Latent", "MultiTask"])
def test_limits_of_a_cheap_source_help_as_well(name: str) -> None:
    errors = []
    for seed in range(3):
        table, new = planted(seed, "cheap")
        table = table.drop(table.index[table["s"] == "exp"][15:])
        errors.append([error(each, new, RECIPES[name]) for each in (table, table.assign(sign=None))])
    taken, as_values = np.mean(errors, axis=0)
    assert taken < as_values


def test_a_limit_is_never_handed_on_as_a_value() -> None:
    table, _ = planted(0, "cheap")
    twins = table[table["s"] == "cheap"].assign(s="exp", sign=None)
    data = SCHEMA.data(pd.concat([table, twins]))
    known = int(((data.fidelity == 0) & ~data.bounded).sum())
    for recipe in (mf.Difference([mf.GP()]), mf.Latent([mf.GP()])):
        level = recipe.fit(data).levels[0]
        assert len(level.keys) == known
        assert set(level.values.tolist()) == set(data.Y[(data.fidelity == 0) & ~data.bounded, 0].tolist())


def test_the_slope_is_learned_from_what_limits_stand_for() -> None:
    table, _ = planted(0, "exp")
    slopes = [
        RECIPES["Difference"].fit(SCHEMA.data(each)).levels[1].link.slope for each in (table, table.assign(sign=None))
    ]
    assert abs(slopes[0] - 1.3) < 0.5 * abs(slopes[1] - 1.3)
    with pytest.raises(FitError, match=r"20 limits in place of values.*GP members"):
        mf.Difference([mf.GP(), mf.Imputed(mf.Forest(trees=5))]).fit(SCHEMA.data(table))


def test_many_rows_of_a_multi_task_process_refuse_them() -> None:
    table, _ = planted(0, "exp")
    with pytest.raises(FitError, match=r"20 limits among 100 rows.*at most 50"):
        mf.MultiTask(mf.GP(limit=50)).fit(SCHEMA.data(table))


def test_a_hurdle_refuses_what_may_be_at_its_floor_and_takes_what_is_above() -> None:
    x = np.linspace(0, 1, 30)
    table = pd.DataFrame({"x": x, "y": np.maximum(4 * x - 2, 0), "s": "exp", "sign": None})
    above = table.assign(sign=np.where(table["y"] > 1.5, ">", None), y=table["y"].clip(upper=1.5))
    model = mf.Hurdle(mf.GP()).fit(SCHEMA.data(above))
    assert model.floor == 0
    last = torch.tensor([[[1.0, 1.0]]]).double()
    with torch.no_grad():
        assert float(model.chance(last)) < 0.3
        assert float(model.posterior(last).mean) > 1.5
    with pytest.raises(FitError, match="1 values of 'exp' below a limit, with a floor"):
        mf.Hurdle(mf.GP()).fit(SCHEMA.data(pd.concat([table, table.tail(1).assign(x=0.71, y=0.5, sign="<")])))


def test_imputed_values_lie_within_their_limits_and_others_stay() -> None:
    table, _ = planted(0, "exp")
    data = SCHEMA.data(table)
    recipe = mf.Imputed(mf.Forest(trees=10), limit=6)
    drawn = recipe.impute(data)
    assert torch.equal(drawn.Y[~data.bounded], data.Y[~data.bounded])
    assert bool((drawn.Y[data.bounded] < data.Y[data.bounded]).all())
    assert drawn.censored is None
    assert torch.equal(recipe.impute(data).Y, drawn.Y)
    plain = data.take(~data.bounded)
    assert torch.equal(recipe.impute(plain).Y, plain.Y)


def test_imputed_values_scatter_as_measured_ones_do() -> None:
    """Around the true function, on average over draws: neither all at its mean nor wider than the noise."""
    rng, left = np.random.default_rng(0), []
    for _ in range(4):
        x = rng.uniform(0, 1, 300)
        y = x + 0.3 * rng.normal(size=300)
        table = pd.DataFrame({"x": x, "y": np.maximum(y, 0.5), "s": "exp", "sign": np.where(y < 0.5, "<", None)})
        data = SCHEMA.data(table)
        drawn = mf.Imputed(mf.GP()).impute(data).Y[:, 0].numpy()
        left.append(drawn - data.X[:, 0].numpy())
    assert np.std(left) == pytest.approx(0.3, rel=0.08)
    assert abs(np.mean(left)) < 0.03


def test_imputed_says_what_its_member_says(tmp_path: Any) -> None:
    table, new = planted(0, "exp")
    data = SCHEMA.data(table)
    recipe = mf.Imputed(mf.Forest(trees=10))
    assert mf.Learner.of(recipe.config()) == recipe
    X = SCHEMA.encode(new)[0]
    own = recipe.member.fit(recipe.impute(data)).posterior(X).mean
    assert torch.equal(recipe.fit(data).posterior(X).mean, own)
    surrogate = mf.fit(table, SCHEMA, recipe)
    surrogate.save(tmp_path / "y.mfmat")
    assert np.allclose(mf.load(tmp_path / "y.mfmat").predict(new), surrogate.predict(new))


def test_each_fold_draws_without_what_it_holds_out() -> None:
    table, _ = planted(0, "exp")
    data = SCHEMA.data(table)
    folds = data.split(3, 0)
    seen: list[Data] = []

    class Listening(mf.Forest, kind="listening-forest"):
        def fit(self, data: Data) -> Any:
            seen.append(data)
            return super().fit(data)

    mf.Imputed(Listening(trees=5)).cross_fit(data, folds)
    for part, fold in zip(seen, folds, strict=True):
        assert len(part) == len(data) - len(fold)
        assert torch.equal(part.Y, mf.Imputed(mf.Forest()).impute(data.without(fold)).Y)
