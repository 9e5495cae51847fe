"""The scikit-learn face: its own checks, and that it says what `fit` and `predict` say."""

from __future__ import annotations

import pickle

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV, GroupKFold, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

import mfmat as mf
from mfmat.errors import MfmatError, SchemaError, TableError, UnknownNameError
from mfmat.sklearn import SurrogateRegressor

SCHEMA = mf.Schema(mf.Columns("x"), value="gap", source="method", costs={"pbe": 1, "exp": 20})


def two_sources(n: int = 30) -> tuple[pd.DataFrame, np.ndarray]:
    """A cheap source everywhere, the target at every third place 2 higher."""
    x = np.linspace(0, 1, n)
    cheap = pd.DataFrame({"x": x, "method": "pbe"})
    exact = pd.DataFrame({"x": x[::3], "method": "exp"})
    X = pd.concat([cheap, exact], ignore_index=True)
    return X, np.sin(5 * X["x"].to_numpy()) + 2 * (X["method"] == "exp").to_numpy()


@pytest.fixture(scope="module")
def line() -> tuple[np.ndarray, np.ndarray]:
    x = np.linspace(0, 6, 40).reshape(-1, 1)
    return x, np.sin(x[:, 0])


# scikit-learn's own checks.

EXPECTED = {
    "check_methods_subset_invariance": "a process predicts in single precision: rows alone and among others differ by "
    "some 1e-6 of a standard deviation, where 1e-7 is asked for",
}


@pytest.mark.filterwarnings("ignore::mfmat.surrogate.FewRowsWarning")
@parametrize_with_checks([SurrogateRegressor(mf.GP())], expected_failed_checks=lambda _: EXPECTED)
def test_scikit_learn_agrees(estimator: SurrogateRegressor, check) -> None:
    check(estimator)


def test_rows_alone_and_among_others_differ_by_little(line) -> None:
    X, y = line
    model = SurrogateRegressor(mf.GP()).fit(X, y)
    alone = np.concatenate([model.predict(X[i : i + 1]) for i in range(len(X))])
    np.testing.assert_allclose(alone, model.predict(X), atol=1e-5)


# What it says is what `predict` says.


def test_arrays(line) -> None:
    X, y = line
    model = SurrogateRegressor(mf.GP()).fit(X, y)
    table = pd.DataFrame({"x": X[:, 0], "y": y})
    expected = mf.fit(table, mf.Schema(mf.Columns("x"), value="y"), mf.GP()).predict(table, level=0.8)
    mean, std = model.predict(X, return_std=True)
    np.testing.assert_array_equal(model.predict(X), mean)
    lower, upper = model.predict_interval(X, level=0.8)
    said = pd.DataFrame({"mean": mean, "std": std, "lower": lower, "upper": upper})
    pd.testing.assert_frame_equal(said, expected[said.columns])


def test_the_default_recipe_and_the_median(line) -> None:
    X, y = line
    model = SurrogateRegressor(point="median").fit(pd.DataFrame(X, columns=["y"]), pd.Series(y, index=y))
    assert isinstance(model.surrogate_.recipe, mf.Auto)
    assert model.feature_names_in_.tolist() == ["y"]
    assert model.score(pd.DataFrame(X, columns=["y"]), y) > 0.99
    table = pd.DataFrame(X, columns=["y"])
    np.testing.assert_array_equal(model.predict(table), model.surrogate_.predict(table)["median"])


def test_a_frame_with_formulas_and_the_index_of_its_own() -> None:
    table, schema = mf.datasets.load("semiconductor-gaps")
    rows = table[table["method"] == schema.sources[-1]].sample(40, random_state=0)
    alone = mf.Schema(mf.Composition("formula"), value="gap")
    model = SurrogateRegressor(mf.GP(), schema=alone).fit(rows[["formula"]], rows["gap"])
    expected = mf.fit(rows, alone, mf.GP()).predict(rows)
    np.testing.assert_array_equal(model.predict(rows), expected["mean"])
    assert (model.n_features_in_, model.feature_names_in_.tolist()) == (1, ["formula"])


def test_each_row_is_predicted_at_its_own_source() -> None:
    X, y = two_sources()
    model = SurrogateRegressor(mf.Difference([mf.GP()]), schema=SCHEMA).fit(X, y)
    assert model.score(X, y) > 0.999
    at = {name: model.surrogate_.predict(X, source=name)["mean"].to_numpy() for name in SCHEMA.sources}
    np.testing.assert_allclose(model.predict(X), np.where(X["method"] == "exp", at["exp"], at["pbe"]), atol=1e-5)
    np.testing.assert_allclose(model.predict(X[["x"]]), at["exp"], atol=1e-5)
    with pytest.raises(UnknownNameError, match="'hse'"):
        model.predict(X.assign(method="hse"))


def test_draws_are_joint_and_at_their_sources() -> None:
    X, y = two_sources()
    model = SurrogateRegressor(mf.Difference([mf.GP()]), schema=SCHEMA).fit(X, y)
    draws = model.sample_y(X, 400, random_state=1)
    assert draws.shape == (len(X), 400)
    mean, std = model.predict(X, return_std=True)
    assert np.abs((draws.mean(1) - mean) / std).max() < 5 / np.sqrt(400)
    np.testing.assert_array_equal(draws, model.sample_y(X, 400, random_state=1))
    assert not np.array_equal(draws, model.sample_y(X, 400, random_state=2))


# It stands where regressors stand.


def test_a_pipeline_in_a_grid_search_over_recipes(line) -> None:
    shuffled = np.random.default_rng(0).permutation(40)
    X, y = line[0][shuffled], line[1][shuffled]
    pipe = make_pipeline(StandardScaler(), SurrogateRegressor(mf.GP()))
    grid = {"surrogateregressor__recipe": [mf.BayesianLinear(), mf.GP()]}
    search = GridSearchCV(pipe, grid, cv=3).fit(X, y)
    assert search.best_params_ == {"surrogateregressor__recipe": mf.GP()}
    assert search.best_score_ > 0.99 > 0.9 > search.cv_results_["mean_test_score"][0]


def test_cross_validation_over_groups_with_two_sources() -> None:
    X, y = two_sources()
    model = SurrogateRegressor(mf.Difference([mf.GP()]), schema=SCHEMA)
    assert cross_val_score(model, X, y, groups=X["x"], cv=GroupKFold(3)).min() > 0.9


def test_a_clone_is_not_fitted(line) -> None:
    model = SurrogateRegressor(mf.GP(seed=3), point="median").fit(*line)
    again = clone(model)
    assert again.get_params() == {"recipe": mf.GP(seed=3), "schema": None, "point": "median"}
    assert not hasattr(again, "surrogate_")


def test_what_is_pickled_is_the_saved_files(line) -> None:
    model = SurrogateRegressor().fit(*line)
    state = model.__getstate__()["surrogate_"]
    assert isinstance(state, bytes)
    assert state[:2] == b"PK"
    again = pickle.loads(pickle.dumps(model))
    np.testing.assert_allclose(again.predict(line[0]), model.predict(line[0]), rtol=1e-12)
    assert again.surrogate_.card["provenance"] == model.surrogate_.card["provenance"]


# What it refuses.


def test_text_without_a_schema_names_the_column() -> None:
    X = pd.DataFrame({"T": [1.0, 2.0, 3.0], "formula": ["Si", "Ge", "GaAs"]})
    with pytest.raises(TableError, match="text in the columns 'formula'"):
        SurrogateRegressor(mf.GP()).fit(X, [1.0, 2.0, 3.0])


def test_an_array_with_a_schema() -> None:
    with pytest.raises(TableError, match="expected a DataFrame"):
        SurrogateRegressor(mf.GP(), schema=SCHEMA).fit(np.zeros((3, 1)), np.zeros(3))


def test_rows_and_values_of_different_numbers() -> None:
    X, y = two_sources()
    with pytest.raises(TableError, match="40 rows of X and 39 of y"):
        SurrogateRegressor(mf.GP(), schema=SCHEMA).fit(X, y[:-1])


def test_a_label_is_no_value() -> None:
    schema = mf.Schema(mf.Columns("x"), value="metal", kinds={"metal": "label"})
    with pytest.raises(SchemaError, match="a label"):
        SurrogateRegressor(mf.GP(), schema=schema).fit(pd.DataFrame({"x": [1, 2]}), ["yes", "no"])


@pytest.mark.parametrize("wrong", ["mode", None])
def test_an_unknown_point(wrong, line) -> None:
    with pytest.raises(MfmatError, match="expected one of 'mean', 'median'"):
        SurrogateRegressor(mf.GP(), point=wrong).fit(*line)
