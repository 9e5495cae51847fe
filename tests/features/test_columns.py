from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from mfmat.errors import SchemaError
from mfmat.features import Columns
from mfmat.values import Value

TABLE = pd.DataFrame({"T": [300, 77], "x": [0.5, 1.5], "dry": [True, False], "phase": ["b", "a"], "site": [2, 10]})


def test_numbers_as_they_are() -> None:
    X, problems = Columns(["T", "x", "dry"]).encode(TABLE)
    assert problems == []
    assert X.tolist() == [[300, 0.5, 1], [77, 1.5, 0]]


def test_categories_one_hot_sorted_as_text() -> None:
    featurizer = Columns("T", categories=["phase", "site"]).settle(TABLE)
    assert featurizer.columns == ("T", "phase", "site")
    assert featurizer.views == {"numeric": ("T",), "categories": ("phase=a", "phase=b", "site=10", "site=2")}
    X, _ = featurizer.encode(TABLE)
    assert X.tolist() == [[300, 0, 1, 0, 1], [77, 1, 0, 1, 0]]


def test_open_levels_are_settled_on_the_table_at_hand() -> None:
    open_ = Columns(categories="phase")
    assert np.array_equal(open_.encode(TABLE)[0], open_.settle(TABLE).encode(TABLE)[0])


def test_given_levels_are_kept() -> None:
    featurizer = Columns(categories={"phase": ("b", "a", "c"), "site": ()}).settle(TABLE)
    assert featurizer.categories == {"phase": ("b", "a", "c"), "site": ("10", "2")}
    assert featurizer.settle(TABLE.iloc[:1]) == featurizer


def test_a_gap_does_not_rename_the_levels_of_whole_numbers() -> None:
    gap = pd.DataFrame({"site": [2, None, 10]})
    assert Columns(categories="site").settle(gap).categories == {"site": ("10", "2")}


def test_only_views_with_features_are_listed() -> None:
    assert list(Columns("T").views) == ["numeric"]
    assert list(Columns(categories={"phase": ("a",)}, name="process").views) == ["process.categories"]


@pytest.mark.parametrize(
    ("cell", "what"),
    [
        ("1.5", "text where a number belongs"),
        ("hot", "declare the column in categories"),
        ("", "text"),
        (None, "missing"),
        (np.nan, "missing"),
        (pd.NA, "missing"),
        (np.inf, "not finite"),
        pytest.param(10**400, "not finite", id="huge"),
        (1j, "not a number"),
        ([1.0], "not a number"),
        (pd.Timestamp("2024-01-01"), "not a number"),
    ],
)
def test_a_bad_number_is_a_problem_and_its_row_nan(cell: object, what: str) -> None:
    table = pd.DataFrame({"T": [1.0, 2.0], "x": pd.Series([3, cell], dtype=object)}).set_axis(["a", "b"])
    X, (problem,) = Columns(["T", "x"]).encode(table)
    assert (problem.position, problem.index, problem.column) == (1, "b", "x")
    assert what in problem.what
    assert X[0].tolist() == [1, 3]
    assert np.isnan(X[1]).all()


def test_an_infinite_float_is_a_problem() -> None:
    _, problems = Columns("x").encode(pd.DataFrame({"x": [1.0, -np.inf, np.nan]}))
    assert [str(problem.value) for problem in problems] == ["-inf", "nan"]


@pytest.mark.parametrize("dtype", ["int64", "Int64", "float32", "Float64", "boolean", bool, "category", object])
def test_any_number_dtype_will_do(dtype: str) -> None:
    X, problems = Columns("x").encode(pd.DataFrame({"x": pd.Series([0, 1, 1], dtype=dtype)}))
    assert problems == []
    assert X.tolist() == [[0], [1], [1]]


def test_a_gap_in_a_nullable_column_is_a_problem() -> None:
    _, problems = Columns("x").encode(pd.DataFrame({"x": pd.Series([1, None], dtype="Int64")}))
    assert [problem.what for problem in problems] == ["a missing value"]


def test_an_unknown_level_names_the_known_ones() -> None:
    featurizer = Columns("T", categories="phase").settle(TABLE)
    new = pd.DataFrame({"T": [1, 2, 3], "phase": ["a", "z", None]})
    X, (unknown, missing) = featurizer.encode(new)
    assert "known levels a, b" in unknown.what
    assert missing.what == "level missing"
    assert np.isnan(X[1:]).all()
    assert X[0].tolist() == [1, 1, 0]


def test_problems_come_in_the_order_of_the_rows() -> None:
    table = pd.DataFrame({"x": [1.0, np.nan], "y": [np.nan, 1.0]})
    assert [problem.position for problem in Columns(["x", "y"]).encode(table)[1]] == [0, 1]


def test_a_row_does_not_depend_on_the_others() -> None:
    featurizer = Columns(["T", "x"], categories="phase").settle(TABLE)
    assert np.array_equal(featurizer.encode(TABLE)[0][1:], featurizer.encode(TABLE.iloc[1:])[0])


@pytest.mark.parametrize(
    "featurizer",
    [
        Columns("T"),
        Columns(["T", "x"], categories=["phase"], name="process"),
        Columns(categories={"phase": ("a", "b")}),
    ],
)
def test_writes_itself_and_comes_back(featurizer: Columns) -> None:
    assert Value.of(featurizer.config()) == featurizer


@pytest.mark.parametrize(("names", "categories"), [((), ()), (["T", "T"], ()), ("T", "T")])
def test_columns_are_named_once(names: object, categories: object) -> None:
    with pytest.raises(SchemaError, match="each named once"):
        Columns(names, categories=categories)


def test_has_no_groups() -> None:
    assert Columns("T").groups(TABLE) is None
