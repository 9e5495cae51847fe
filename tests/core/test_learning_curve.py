"""A learning curve is cross-validation with fewer target compounds to learn from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import pandas as pd
import pytest
import torch
from torch import Tensor

import mfmat as mf
from mfmat.data import Data
from mfmat.errors import FitError
from mfmat.learner import Facts, FittedModel, Learner
from mfmat.validation import accuracy, learning_curve

SEEN: list[Data] = []


@dataclass(frozen=True)
class Noting(Learner, kind="noting"):
    """Remembers what it was fitted to."""

    def fit(self, data: Data) -> FittedModel:
        SEEN.append(data)
        return mf.TargetOnly(mf.BayesianLinear()).fit(data)

    def restore(self, facts: Facts, state: Mapping[str, Tensor]) -> FittedModel:
        raise NotImplementedError


@pytest.fixture
def table() -> pd.DataFrame:
    """Twenty compounds, the last twice at the target, each with two cheap values."""
    x = [*range(20), 19]
    target = pd.DataFrame({"x": x, "source": "trusted", "y": [i**1.5 + (k == 20) for k, i in enumerate(x)]})
    cheap = pd.DataFrame({"x": range(20), "source": "cheap", "y": [i**1.4 for i in range(20)]})
    return pd.concat([cheap, target], ignore_index=True)


@pytest.fixture
def schema() -> mf.Schema:
    return mf.Schema(mf.Columns("x"), value="y", source="source", costs={"cheap": 1, "trusted": 10})


def test_with_all_compounds_it_is_cross_validation(table: pd.DataFrame, schema: mf.Schema) -> None:
    recipe = mf.TargetOnly(mf.BayesianLinear())
    curve = learning_curve(table, schema, recipe, sizes=[16], seed=3)
    folds = mf.cross_validate(table, schema, recipe, seed=3).groupby("fold")
    assert curve["fold"].tolist() == [0, 1, 2, 3, 4]
    for fold, part in folds:
        line = curve[curve["fold"] == fold].iloc[0]
        assert {name: line[name] for name in accuracy(part)} == pytest.approx(accuracy(part))


def test_what_is_learned_from(table: pd.DataFrame, schema: mf.Schema) -> None:
    SEEN.clear()
    curve = learning_curve(table, schema, Noting())
    assert curve["rows"].unique().tolist() == [2, 4, 8, 16]
    target = [set(data.groups[data.fidelity == data.target].tolist()) for data in SEEN]
    assert [len(compounds) for compounds in target] == curve["rows"].tolist()
    assert all(int((data.fidelity == 0).sum()) == 20 for data in SEEN)
    for few, more in zip(target[:15], target[5:], strict=True):
        assert few < more
    whole = set(SEEN[0].groups.tolist())
    held = [whole - compounds for compounds in target[15:]]
    assert set.union(*held) == whole
    assert sum(len(part) for part in held) == len(whole)


def test_it_is_the_same_each_time(table: pd.DataFrame, schema: mf.Schema) -> None:
    recipe = mf.TargetOnly(mf.BayesianLinear())
    state = torch.get_rng_state()
    first = learning_curve(table, schema, recipe, sizes=[4])
    pd.testing.assert_frame_equal(first, learning_curve(table, schema, recipe, sizes=[4]))
    assert torch.equal(state, torch.get_rng_state())
    assert not first.equals(learning_curve(table, schema, recipe, sizes=[4], seed=1))


@pytest.mark.parametrize("sizes", [[17], [0], [4, 99]])
def test_sizes_that_no_fold_has_are_refused(sizes: list[int], table: pd.DataFrame, schema: mf.Schema) -> None:
    with pytest.raises(FitError, match="1 to 16 target compounds"):
        learning_curve(table, schema, mf.TargetOnly(mf.BayesianLinear()), sizes=sizes)
