"""Limits in place of values: how they are read, merged, kept out of scores and of what is best, and saved."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.optimize import minimize
from scipy.stats import norm

import mfmat as mf
from mfmat.errors import CalibrationError, FitError, TableError
from mfmat.novelty import OutsideWarning
from mfmat.renewal import renew
from mfmat.replicates import find_implied
from mfmat.values import Value

SCHEMA = mf.Schema(mf.Columns("x"), value="y", source="s", costs={"cheap": 1, "exp": 10}, censored="sign")


def table_of(y: list[Any], sign: list[Any], **columns: Any) -> pd.DataFrame:
    rows = {"x": np.arange(len(y), dtype=float), "y": pd.Series(y, dtype=object), "sign": pd.Series(sign, dtype=object)}
    return pd.DataFrame({**rows, "s": "exp", **columns})


def planted(seed: int = 0, cheap: int = 30, trusted: int = 40) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Two sources of one function, the lower half of the trusted one below its limit, and its true values."""
    rng = np.random.default_rng(seed)
    x = rng.uniform(0, 1, cheap + trusted)
    exp = np.arange(len(x)) >= cheap
    y = np.where(exp, 1.5 * np.sin(6 * x) + x, np.sin(6 * x)) + 0.05 * rng.normal(size=len(x))
    limit = np.median(y[exp])
    below = exp & (y < limit)
    rows = {
        "x": x,
        "y": np.where(below, limit, y),
        "sign": np.where(below, "<", None),
        "s": np.where(exp, "exp", "cheap"),
    }
    return pd.DataFrame(rows), pd.DataFrame({"y": y[exp], "x": x[exp], "below": below[exp]})


def test_signs_are_read_beside_the_value_or_in_it() -> None:
    signs = ["<", ">", "=", "", None, float("nan"), "≤", ">=", None, " < "]
    data = SCHEMA.data(table_of([1, 2, 3, 4, 5, 6, 7, 8, "<0.5", "> 1e3"], [*signs[:9], None]))
    assert data.censored is not None
    assert data.censored.tolist() == [-1, 1, 0, 0, 0, 0, -1, 1, -1, 1]
    assert data.Y[:, 0].tolist() == [1, 2, 3, 4, 5, 6, 7, 8, 0.5, 1000]
    assert data.bounded.tolist() == [bool(sign) for sign in data.censored]
    assert SCHEMA.data(table_of([1, 2], ["<", "<"])).bounded.all()


BAD = {
    "a word": (
        [1.0, 2.0],
        ["<", "below"],
        'row 1 (number 1), column \'sign\': none of "<", ">", "=" and nothing, got \'below\'',
    ),
    "a number": ([1.0, 2.0], ["<", 1], "column 'sign': none of"),
    "two signs": ([1.0, "<2"], [None, ">"], "row 1 (number 1), column 'sign': another sign than that of '<2', got '>'"),
    "a value said to be one": ([1.0, "<2"], [None, "="], "another sign than that of '<2'"),
    "no limit": ([1.0, None], [None, "<"], "row 1 (number 1), column 'y': a missing value"),
    "half a limit": ([1.0, "<"], [None, None], "text where a number belongs, got '<'"),
}


@pytest.mark.parametrize("bad", BAD)
def test_a_sign_that_is_none_is_named(bad: str) -> None:
    y, sign, said = BAD[bad]
    with pytest.raises(TableError) as error:
        SCHEMA.data(table_of(y, sign))
    assert said in str(error.value)


def test_a_limit_without_a_column_for_signs_says_what_to_do() -> None:
    with pytest.raises(TableError, match=r"row 1 \(number 1\), column 'y': a limit where .*censored=.*got '<2'"):
        mf.Schema(mf.Columns("x"), value="y").data(table_of([1.0, "<2"], [None, None]))


def test_a_limit_of_a_label_is_refused() -> None:
    schema = mf.Schema(mf.Columns("x"), value="y", kinds={"y": "label"}, censored="sign")
    with pytest.raises(TableError, match="a limit of a label"):
        schema.data(table_of(["no", "yes"], ["<", None]).drop(columns="s"))


def test_the_schema_is_written_with_it() -> None:
    assert Value.of(SCHEMA.config()) == SCHEMA


def test_limits_that_follow_go_and_no_limit_is_averaged() -> None:
    y, sign = [3.0, 4.0, 5.0, 3.5, 2.0, 1.0, 9.0], [None, None, "<", "<", "<", ">", ">"]
    data = SCHEMA.data(table_of(y, sign, x=0.0))
    # Of the values 3 and 4 both lie below 5 and above 1; one of them is above 3.5 and 2, of which 2 is the tighter.
    assert data.Y[:, 0].tolist() == [3.5, 2.0, 9.0]
    assert data.censored is not None
    assert data.censored.tolist() == [0, -1, 1]
    assert data.counts.tolist() == [2, 1, 1]


def test_what_follows_is_found_in_each_material_and_source() -> None:
    rng = np.random.default_rng(0)
    keys, values, signs = rng.integers(0, 6, (200, 2)), rng.normal(size=200).round(1), rng.integers(-1, 2, 200)
    found = find_implied(keys, values, signs)
    for i in range(200):
        same = (keys == keys[i]).all(axis=1)
        exact, alike = values[same & (signs == 0)], same & (signs == signs[i])
        first = np.flatnonzero(alike)[np.argmax(signs[i] * values[alike])] if signs[i] else i
        obeyed = len(exact) > 0 and bool((signs[i] * exact >= signs[i] * values[i]).all())
        assert found[i] == (signs[i] != 0 and (first != i or obeyed))


def test_the_scale_is_that_of_the_likeliest_gaussian() -> None:
    rng = np.random.default_rng(0)
    y = rng.normal(2.0, 3.0, 100)
    data = SCHEMA.data(table_of(list(np.maximum(y, 2.5)), list(np.where(y < 2.5, "<", None))))
    below, values = int((y < 2.5).sum()), y[y >= 2.5]

    def loss(p: Any) -> float:
        return -norm.logpdf(values, p[0], np.exp(p[1])).sum() - below * norm.logcdf(2.5, p[0], np.exp(p[1]))

    centre, log_spread = minimize(loss, [2.0, 1.0]).x
    assert data.standards()[1] == pytest.approx((centre, np.exp(log_spread)), rel=0.02)


def test_best_takes_no_limit_on_the_wrong_side() -> None:
    data = SCHEMA.data(table_of([1.0, 9.0, -5.0, 2.0, 4.0, 0.5], [None, "<", ">", None, ">", "<"]))
    assert data.best == {"max": 4.0, "min": 0.5}
    assert SCHEMA.data(table_of([1.0, 2.0], ["<", "<"])).best == {"max": None, "min": 1.0}


def test_the_card_counts_them_and_suggest_knows_no_best() -> None:
    table, _ = planted()
    low = table.assign(sign=table["sign"].where(table["s"] == "cheap", "<"))
    surrogate = mf.fit(low, SCHEMA, mf.Difference([mf.GP()]))
    # What is believed of them lies below their limits.
    assert (np.array(surrogate.card["means"]) < np.sort(low.loc[low["s"] == "exp", "y"])).all()
    assert surrogate.card["provenance"]["limits"] == {"cheap": 0, "exp": 40}
    for goal in ("max", "min"):
        assert len(mf.suggest(surrogate, pd.DataFrame({"x": [0.11, 0.52, 0.93]}), n=2, goal=goal)) == 2
    assert len(mf.suggest(surrogate, iter([pd.DataFrame({"x": [0.11, 0.52, 0.93]})]), n=2)) == 2


def test_no_limit_is_held_out_to_be_scored_and_no_compound_is_divided() -> None:
    table, _ = planted()
    schema = mf.Schema(
        mf.Columns("x"), value="y", source="s", costs={"cheap": 1, "exp": 10}, censored="sign", group="g"
    )
    data = schema.data(table.assign(g=np.arange(len(table)) % 23))
    folds = data.split(5, 0)
    for fold, scored in zip(folds, data.scored(folds), strict=True):
        assert 0 < len(scored) <= len(fold)
        assert not data.bounded[scored].any()
        rest = data.without(fold)
        assert not np.intersect1d(rest.groups[rest.fidelity == 1], data.groups[fold]).size
    held = torch.cat(folds)
    assert data.bounded[held].any()
    never = np.setdiff1d(np.flatnonzero(data.fidelity == 1), held)
    assert data.bounded[never].all()
    assert data.compounds() == len(data.groups[torch.cat(data.scored(folds))].unique())


def test_cross_validation_scores_values_alone() -> None:
    table, _ = planted()
    predicted = mf.cross_validate(table, SCHEMA, mf.TargetOnly(mf.GP()), folds=3)
    valued = (table["s"] == "exp") & table["sign"].isna()
    assert sorted(predicted.index) == sorted(table.index[valued])
    assert (predicted["y"].to_numpy() == table.loc[predicted.index, "y"].to_numpy()).all()


@pytest.mark.parametrize(
    "recipe", [mf.Conformal(mf.Difference([mf.GP()]), folds=3), mf.Scaling(mf.TargetOnly(mf.GP()))]
)
def test_calibrators_score_values_alone(recipe: mf.Learner) -> None:
    table, _ = planted()
    surrogate = mf.fit(table, SCHEMA, recipe)
    held = surrogate.heldout()
    if held is not None:
        assert sorted(held["index"]) == sorted(table.index[(table["s"] == "exp") & table["sign"].isna()])
        assert surrogate.card["calibration"]["rows"] == len(held)
    values = table[(table["s"] == "exp") & table["sign"].isna()]
    assert np.isfinite(surrogate.predict(values).to_numpy()).all()


def test_rows_among_limits_alone_are_unlike_those_that_intervals_are_calibrated_on() -> None:
    table, truth = planted()
    surrogate = mf.fit(table, SCHEMA, mf.Conformal(mf.Difference([mf.GP()]), folds=3))
    with pytest.warns(OutsideWarning, match="unlike the measured compounds"):
        surrogate.predict(truth[truth["below"]])


def test_leaving_out_in_closed_form_is_refused() -> None:
    with pytest.raises(CalibrationError, match=r'form="loo" with 20 limits.*form="cross"'):
        mf.fit(planted()[0], SCHEMA, mf.Conformal(mf.TargetOnly(mf.GP()), form="loo"))


def test_a_learner_of_values_says_what_takes_limits() -> None:
    for learner in (mf.Forest(trees=5), mf.BayesianLinear(), mf.SparseGP()):
        with pytest.raises(FitError, match=r"got 20 limits in place of values.*Imputed\(") as error:
            mf.fit(planted()[0], SCHEMA, mf.TargetOnly(learner))
        assert type(learner).__name__ in str(error.value)


@pytest.mark.filterwarnings("ignore::mfmat.novelty.OutsideWarning")
def test_auto_takes_them_and_is_saved(tmp_path: Path) -> None:
    table, truth = planted(cheap=20, trusted=24)
    surrogate = mf.fit(table, SCHEMA, mf.Auto(folds=3))
    said = surrogate.predict(truth)
    blind = mf.Schema(mf.Columns("x"), value="y", source="s", costs=SCHEMA.costs)
    taken = mf.fit(table, blind, mf.Difference([mf.GP()])).predict(truth)
    assert (said["median"] - truth["y"]).abs().mean() < 0.5 * (taken["median"] - truth["y"]).abs().mean()
    surrogate.save(tmp_path / "y.mfmat")
    loaded = mf.load(tmp_path / "y.mfmat")
    assert loaded.schema == surrogate.schema
    assert np.allclose(loaded.predict(truth), said)


def test_renew_refits_with_a_new_limit() -> None:
    table, truth = planted(cheap=20, trusted=24)
    first = renew(table, SCHEMA, mf.Auto(folds=2))
    later = renew(
        pd.concat([table, table.tail(1).assign(x=0.33, y=-9.0, sign="<")]), SCHEMA, mf.Auto(folds=2), previous=first
    )
    assert later.card["renewal"] == first.card["renewal"]
    at = pd.DataFrame({"x": [0.33]})
    assert later.predict(at, noise=False)["median"].iloc[0] < first.predict(at, noise=False)["median"].iloc[0] - 1
    assert np.isfinite(later.predict(truth, noise=False).to_numpy()).all()


def test_auto_draws_values_for_trees_and_knows_no_floor_among_limits() -> None:
    from mfmat.candidates import suggest_candidates

    table, _ = planted(trusted=120)
    found = suggest_candidates(SCHEMA.data(table), None, 3000, 0)
    kinds = str([learner.config() for learner in found.values()])
    assert "'kind': 'imputed', 'member': {'kind': 'forest'" in kinds
    assert "hurdle" not in kinds
    assert "imputed" not in str(
        [each.config() for each in suggest_candidates(SCHEMA.data(table[table["sign"].isna()]), None, 3000, 0).values()]
    )


def test_diagnose_compares_values_and_a_replay_refuses_limits() -> None:
    table, _ = planted(cheap=20, trusted=24)
    table = pd.concat([table, table[table["s"] == "exp"].assign(s="cheap", sign=None)])
    found = mf.diagnose(table, SCHEMA, folds=3)
    assert found.loc["cheap", "shared"] == 12
    assert np.isfinite(found.loc["cheap", "gain"])
    with pytest.raises(TableError, match=r"12 limits in place of values.*column 'sign'"):
        mf.backtest(table, SCHEMA, policies=mf.Ask(mf.GP()), budget=20)
