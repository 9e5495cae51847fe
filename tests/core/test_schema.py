"""The boundary between tables and tensors: what is read, what is refused and in which words, what is merged."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import mfmat as mf
from mfmat.data import Data, material_keys
from mfmat.errors import SchemaError, TableError, UnknownNameError
from mfmat.replicates import merge
from mfmat.skipping import SkippedRowsWarning
from mfmat.surrogate import FewRowsWarning

NAN, INF = float("nan"), float("inf")


def table_of(index: Any = None, **columns: Sequence[Any]) -> pd.DataFrame:
    """Two rows of each source, and what a test wants otherwise."""
    rows = {"x": [0.0, 1.0, 2.0, 3.0], "y": [1.0, 2.0, 3.0, 4.0], "method": ["pbe", "pbe", "exp", "exp"]}
    return pd.DataFrame({"sigma": [0.1, NAN, 0.1, 0.2]} | rows | columns, index=index)


def schema_of(**options: Any) -> mf.Schema:
    usual = {"inputs": mf.Columns("x"), "value": "y", "source": "method", "costs": {"pbe": 1, "exp": 10}}
    return mf.Schema(**(usual | {"noise": "sigma"} | options))


@pytest.fixture(scope="module")
def line() -> mf.Surrogate:
    more = table_of(x=[0.5, 1.5, 2.5, 3.5], y=[1.5, 2.5, 3.5, 4.5])
    return mf.fit(pd.concat([table_of(), more], ignore_index=True), schema_of(), mf.GP())


BAD_CELLS = {
    "text among the values": ("y", [1.0, "two", 3.0, 4.0], "text where a number belongs, got 'two'"),
    "a number as text": ("y", [1.0, "2.0", 3.0, 4.0], "text where a number belongs, got '2.0'"),
    "NaN among the values": ("y", [1.0, NAN, 3.0, 4.0], "a missing value"),
    "None among the values": ("y", [1.0, None, 3.0, 4.0], "a missing value"),
    "NA among the values": ("y", pd.array([1, None, 3, 4], dtype="Int64"), "a missing value"),
    "infinity among the values": ("y", [1.0, INF, 3.0, 4.0], "not finite"),
    "minus infinity among the values": ("y", [1.0, -INF, 3.0, 4.0], "not finite"),
    "an unknown source": ("method", ["pbe", "exq", "exp", "exp"], "an unknown source (did you mean 'exp'? "),
    "a missing source": ("method", ["pbe", None, "exp", "exp"], "an unknown source"),
    "text among the inputs": ("x", [0.0, "one", 2.0, 3.0], "text where a number belongs"),
    "NaN among the inputs": ("x", [0.0, NAN, 2.0, 3.0], "a missing value"),
    "infinity among the inputs": ("x", [0.0, INF, 2.0, 3.0], "not finite"),
    "a negative noise": ("sigma", [0.1, -0.1, 0.1, 0.1], "a negative standard deviation"),
    "text as noise": ("sigma", [0.1, "low", 0.1, 0.1], "text where a number belongs, got 'low'"),
    "an infinite noise": ("sigma", [0.1, INF, 0.1, 0.1], "not finite"),
}
EVERY_BAD_CELL = pytest.mark.parametrize("bad", BAD_CELLS)

LABELS = {
    "text": ["mp-1", "mp-2", "mp-3", "mp-4"],
    "text twice": ["a", "a", "b", "b"],
    "floats": [0.5, 1.5, 2.5, 3.5],
    "whole numbers": [10, 20, 30, 40],
    "pairs": pd.MultiIndex.from_product([["a", "b"], ["p", "q"]]),
    "dates": pd.date_range("2024-01-01", periods=4),
}
"""A label is shown as `repr` of the plain Python value."""


@EVERY_BAD_CELL
def test_a_bad_cell_is_named_with_its_row_its_column_and_a_way_out(bad: str) -> None:
    column, cells, what = BAD_CELLS[bad]
    with pytest.raises(TableError) as caught:
        schema_of().data(table_of(["w", "x", "y", "z"], **{column: cells}))
    assert f"got 1 bad row: row 'x' (number 1), column {column!r}: {what}" in str(caught.value)
    assert 'mend those cells, or pass on_error="skip"' in str(caught.value)


@EVERY_BAD_CELL
def test_skipping_leaves_out_the_bad_row_and_no_other(bad: str) -> None:
    column, cells, _ = BAD_CELLS[bad]
    with pytest.warns(SkippedRowsWarning, match=f"1 of 4 rows.*row 'x'.*column {column!r}"):
        data = schema_of().data(table_of(["w", "x", "y", "z"], **{column: cells}), on_error="skip")
    assert data.rows.tolist() == [0, 2, 3]
    assert data.Y.flatten().tolist() == [1.0, 3.0, 4.0]
    assert [(problem.position, problem.index, problem.column) for problem in data.skipped] == [(1, "x", column)]


@pytest.mark.parametrize("labels", LABELS)
@pytest.mark.parametrize("column", ["y", "x"])
def test_a_bad_row_is_named_by_its_own_label(labels: str, column: str) -> None:
    table = table_of(LABELS[labels], **{column: [1.0, "two", 3.0, 4.0]})
    label = table.index[1].item() if isinstance(table.index[1], np.generic) else table.index[1]
    with pytest.raises(TableError) as caught:
        schema_of().data(table)
    assert f"row {label!r} (number 1), column {column!r}" in str(caught.value)


@pytest.mark.parametrize(("column", "cell", "shown"), [("y", NAN, "nan"), ("y", INF, "inf"), ("sigma", -0.5, "-0.5")])
def test_a_bad_number_is_shown_as_a_plain_number(column: str, cell: float, shown: str) -> None:
    with pytest.raises(TableError, match=f", got {shown};"):
        schema_of().data(table_of(**{column: [0.0, cell, 2.0, 3.0]}))


def test_rows_with_one_label_are_told_apart_when_skipped() -> None:
    with pytest.warns(SkippedRowsWarning):
        data = schema_of().data(table_of(["a", "a", "a", "a"], y=[1.0, NAN, 3.0, 4.0]), on_error="skip")
    assert data.Y.flatten().tolist() == [1.0, 3.0, 4.0]


def test_one_unreadable_formula_among_ten_thousand_is_named() -> None:
    metals = ["Li", "Na", "Mg", "Al", "Ti", "V", "Cr", "Mn", "Fe", "Ni"]
    formulas = [f"{metal}{i}O{j}" for metal in metals for i in range(1, 51) for j in range(1, 21)]
    formulas[7321] = "Fe2O3 (beta?)"
    table = pd.DataFrame({"formula": formulas, "y": 0.0}, index=[f"row-{i}" for i in range(10_000)])
    schema = mf.Schema(mf.Composition("formula", blocks="fractions"), value="y")
    with pytest.raises(TableError) as caught:
        schema.data(table)
    assert "1 bad row: row 'row-7321' (number 7321), column 'formula': cannot be read as a formula" in str(caught.value)
    assert "'Fe2O3 (beta?)'" in str(caught.value)
    assert [problem.position for problem in caught.value.problems] == [7321]


def test_every_bad_cell_is_in_problems_when_the_message_shows_five() -> None:
    table = pd.concat([table_of(y=[NAN, 1.0, "two", INF])] * 4, ignore_index=True)
    with pytest.raises(TableError, match=r"got 12 bad rows: .*\(and 7 more in \.problems\)") as caught:
        schema_of().data(table)
    assert [problem.position for problem in caught.value.problems] == [i for i in range(16) if i % 4 != 1]
    assert str(caught.value).count("(number ") == 5


def test_a_row_with_two_bad_cells_is_one_bad_row() -> None:
    with pytest.raises(TableError, match="got 1 bad row: ") as caught:
        schema_of().data(table_of(x=[0.0, "one", 2.0, 3.0], y=[1.0, NAN, 3.0, 4.0]))
    assert {problem.column for problem in caught.value.problems} == {"x", "y"}


def test_skipping_every_row_is_an_error_still() -> None:
    with pytest.warns(SkippedRowsWarning), pytest.raises(TableError, match="4 bad rows"):
        schema_of().data(table_of(y=[NAN] * 4), on_error="skip")


def test_the_card_lists_what_was_skipped() -> None:
    table = table_of(["w", "x", "y", "z"], y=[1.0, "two", 3.0, 4.0])
    with pytest.warns(SkippedRowsWarning), pytest.warns(FewRowsWarning):
        surrogate = mf.fit(table, schema_of(), mf.GP(), on_error="skip")
    (skipped,) = surrogate.card["provenance"]["skipped"]
    assert skipped == "row 'x' (number 1), column 'y': text where a number belongs, got 'two'"


def test_a_good_table_skips_nothing_and_warns_of_nothing() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert schema_of().data(table_of(), on_error="skip").skipped == ()


def test_another_word_for_on_error_is_an_error() -> None:
    with pytest.raises(SchemaError, match="on_error='ignore'"):
        schema_of().data(table_of(y=[1.0, NAN, 3.0, 4.0]), on_error="ignore")


@pytest.mark.parametrize("column", ["x", "y", "method", "sigma", "sample", "family"])
def test_a_missing_column_is_named_with_the_one_that_was_meant(column: str) -> None:
    table = table_of(sample=list("abcd"), family=list("aabb")).rename(columns={column: f"{column}_"})
    with pytest.raises(TableError) as caught:
        schema_of(material="sample", group="family").data(table)
    assert f"a table without the column {column!r}" in str(caught.value)
    assert f"did you mean '{column}_'?" in str(caught.value)
    assert "rename the column or name another one in the Schema" in str(caught.value)


def test_a_column_that_is_there_twice_is_an_error_that_names_it() -> None:
    table = table_of()
    with pytest.raises(TableError, match="'y'"):
        schema_of().data(pd.concat([table, table[["y"]]], axis=1))


def test_an_empty_table_is_an_error() -> None:
    with pytest.raises(TableError, match="got an empty table; expected at least one row"):
        schema_of().data(table_of().iloc[:0])


def test_an_empty_table_is_an_error_when_predicting(line: mf.Surrogate) -> None:
    with pytest.raises(TableError, match="got an empty table"):
        line.predict(table_of().iloc[:0])


BAD_SCHEMAS: dict[str, tuple[dict[str, Any], str]] = {
    "a negative cost": (
        {"costs": {"pbe": -1, "exp": 10}},
        r"costs\['pbe'\] = -1; expected a finite price of 0",
    ),
    "a missing cost": ({"costs": {"pbe": 1, "exp": None}}, r"costs\['exp'\] = None"),
    "a cost as text": ({"costs": {"pbe": "1", "exp": 10}}, r"costs\['pbe'\] = '1'"),
    "a cost of NaN": ({"costs": {"pbe": NAN, "exp": 10}}, r"costs\['pbe'\] = nan"),
    "an infinite cost": ({"costs": {"pbe": 1, "exp": INF}}, r"costs\['exp'\] = inf"),
    "a source and no costs": ({"costs": None}, "source='method' without costs"),
    "a source and empty costs": ({"costs": {}}, "source='method' without costs"),
    "costs and no source": ({"source": None}, "2 costs and no source column"),
    "an unknown target": ({"target": "exq"}, r"target='exq'.*did you mean 'exp'\?"),
    "two inputs with one view": ({"inputs": [mf.Columns("x"), mf.Columns("z")]}, "two inputs with the view 'numeric'"),
}


@pytest.mark.parametrize("bad", BAD_SCHEMAS)
def test_a_schema_that_contradicts_itself_is_an_error_that_says_how(bad: str) -> None:
    options, message = BAD_SCHEMAS[bad]
    with pytest.raises(SchemaError, match=message):
        schema_of(**options)


def test_a_cost_of_zero_is_legal() -> None:
    assert schema_of(costs={"pbe": 0, "exp": 0}).prices == {"pbe": 0.0, "exp": 0.0}


def test_the_target_need_not_be_the_last_cost() -> None:
    schema = schema_of(costs={"exp": 10, "pbe": 1, "hse": 5}, target="exp")
    assert schema.sources == ("pbe", "hse", "exp")
    assert schema.prices == {"exp": 10.0, "pbe": 1.0, "hse": 5.0}
    assert schema.data(table_of()).fidelity.tolist() == [0, 0, 2, 2]


def test_two_inputs_of_one_kind_are_told_apart_by_name() -> None:
    schema = schema_of(inputs=[mf.Columns("x"), mf.Columns("y", name="again")])
    assert schema.views == {"numeric": slice(0, 1), "again.numeric": slice(1, 2)}


def test_one_source_needs_neither_source_nor_costs() -> None:
    schema = mf.Schema(mf.Columns("x"), value="y")
    assert schema.prices == {"y": 1.0}
    assert schema.data(table_of()).Y.flatten().tolist() == [1.0, 2.0, 3.0, 4.0]


@pytest.mark.parametrize("level", [0, 1, -0.1, 1.5, NAN])
def test_a_level_outside_zero_to_one_is_an_error(level: float, line: mf.Surrogate) -> None:
    with pytest.raises(SchemaError, match=r"level=.*expected a number between 0 and 1"):
        line.predict(table_of(), level=level)


def test_predicting_an_unknown_source_suggests_the_near_one(line: mf.Surrogate) -> None:
    with pytest.raises(UnknownNameError, match=r"source 'exq'; expected one of 'pbe', 'exp'; .*did you mean 'exp'\?"):
        line.predict(table_of(), source="exq")


# What goes in comes out in the same rows.

INDEXES = {
    "text": pd.Index(["b", "a", "d", "c"], name="sample"),
    "pairs": pd.MultiIndex.from_tuples([("b", 1), ("a", 2), ("b", 0), ("a", 1)], names=["batch", "run"]),
    "labels twice": pd.Index(["a", "a", "b", "a"]),
    "unsorted numbers": pd.Index([7, 3, 11, 5]),
    "dates": pd.date_range("2024-01-01", periods=4),
}


@pytest.mark.parametrize("kind", INDEXES)
def test_predict_keeps_the_index(kind: str, line: mf.Surrogate) -> None:
    said = line.predict(table_of(INDEXES[kind]))
    assert said.index.equals(INDEXES[kind])
    assert said.index.names == INDEXES[kind].names
    np.testing.assert_array_equal(said, line.predict(table_of()))


def test_predict_answers_row_by_row_in_any_order(line: mf.Surrogate) -> None:
    table = table_of()
    pd.testing.assert_frame_equal(
        line.predict(table.iloc[[2, 0, 3, 1]]), line.predict(table).iloc[[2, 0, 3, 1]], rtol=1e-9
    )


def test_predict_ignores_the_order_of_columns_and_columns_it_does_not_know(line: mf.Surrogate) -> None:
    table = table_of()
    wide = table.assign(note="text", median=NAN)[["note", "median", *table.columns[::-1]]]
    pd.testing.assert_frame_equal(line.predict(wide), line.predict(table[["x"]]), check_exact=True)


def test_predict_and_fit_leave_the_callers_table_alone(line: mf.Surrogate) -> None:
    table = table_of(INDEXES["labels twice"])
    before = table.copy(deep=True)
    line.predict(table)
    line.sample(table, 3)
    with pytest.warns(FewRowsWarning):
        mf.fit(table, schema_of(), mf.GP())
    pd.testing.assert_frame_equal(table, before, check_exact=True)


def test_predict_skips_rows_that_cannot_be_read_and_keeps_the_other_labels(line: mf.Surrogate) -> None:
    with pytest.warns(SkippedRowsWarning, match="1 of 4 rows"):
        said = line.predict(table_of(["a", "a", "b", "b"], x=[0.0, NAN, 2.0, 3.0]), on_error="skip")
    assert said.index.tolist() == ["a", "b", "b"]
    np.testing.assert_allclose(said, line.predict(table_of()).iloc[[0, 2, 3]], rtol=1e-7)


# Replicates.


def replicates(y: Sequence[float], sigma: Sequence[float]) -> Data:
    table = pd.DataFrame({"x": 1.0, "y": y, "sigma": sigma})
    return mf.Schema(mf.Columns("x"), value="y", noise="sigma").data(table)


def test_values_of_one_material_enter_with_their_mean_and_spread() -> None:
    data = replicates([1.0, 3.0, 5.0], [NAN] * 3)
    assert (data.Y.item(), data.counts.tolist(), data.known.tolist()) == (3.0, [3], [False])
    assert data.Yvar.item() == pytest.approx(4.0 / 3)


def test_values_of_known_noise_are_weighted_by_it() -> None:
    data = replicates([1.0, 1.3], [0.1, 0.2])
    assert data.Y.item() == pytest.approx((1.0 / 0.01 + 1.3 / 0.04) / (1 / 0.01 + 1 / 0.04))
    assert data.known.tolist() == [True]


def test_values_that_agree_are_as_certain_as_their_noise_allows() -> None:
    assert replicates([1.0, 1.0], [0.1, 0.2]).Yvar.item() == pytest.approx(1 / (1 / 0.01 + 1 / 0.04))


def test_values_that_conflict_carry_their_spread() -> None:
    # Weighted mean 1.6; chi squared 0.6^2 / 1 + 2.4^2 / 4 = 1.8; 1.8 / (1 + 1/4).
    assert replicates([1.0, 4.0], [1.0, 2.0]).Yvar.item() == pytest.approx(1.44)


def test_one_value_of_unknown_noise_makes_the_noise_of_its_material_unknown() -> None:
    assert replicates([1.0, 2.0], [0.1, NAN]).known.tolist() == [False]


def test_a_missing_noise_leaves_the_noise_to_be_learned() -> None:
    assert schema_of().data(table_of()).known.tolist() == [True, False, True, True]


def test_exact_repeats_do_not_promise_an_exact_value() -> None:
    table = pd.DataFrame({"x": [0.0, 1.0, 2.0, 3.0, 4.0] * 3, "y": [0.0, 1.0, 0.5, 2.0, 1.0] * 3})
    surrogate = mf.fit(table, mf.Schema(mf.Columns("x"), value="y"), mf.GP())
    once = mf.fit(table.iloc[:5], mf.Schema(mf.Columns("x"), value="y"), mf.GP())
    np.testing.assert_allclose(surrogate.predict(table.iloc[:5]), once.predict(table.iloc[:5]), rtol=1e-9)
    assert (surrogate.predict(table)["std"] > 1e-3).all()


def test_the_card_counts_replicates() -> None:
    table = pd.concat([table_of(), table_of(), table_of().iloc[:1]], ignore_index=True)
    with pytest.warns(FewRowsWarning):
        card = mf.fit(table, schema_of(), mf.GP()).card
    assert card["provenance"]["replicates"] == 5
    assert card["provenance"]["rows"] == {"pbe": 2, "exp": 2}


def test_values_of_two_sources_are_no_replicates() -> None:
    data = schema_of().data(table_of(x=[1.0, 2.0, 1.0, 2.0]))
    assert data.Y.flatten().tolist() == [1.0, 2.0, 3.0, 4.0]


def test_zero_and_minus_zero_are_one_material() -> None:
    table = pd.DataFrame({"x": [0.0, -0.0], "y": [1.0, 3.0]})
    assert mf.Schema(mf.Columns("x"), value="y").data(table).Y.tolist() == [[2.0]]


def test_the_key_of_a_material_is_the_same_in_every_process_and_version() -> None:
    # Saved surrogates recognise their materials by it.
    X = torch.tensor([[1.5, -0.0, 2.0], [1.5, 0.0, 0.0], [0.5, 1.0, 0.0]], dtype=torch.double)
    assert material_keys(X, None).tolist() == [7935767524728862047, 7935767524728862047, -2308792710068495940]
    assert material_keys(X, 0).unique().numel() == material_keys(X, 1).unique().numel() == 2


KEYS = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 1)), min_size=1, max_size=12)
VALUE = st.floats(-1e6, 1e6)
NOISE = st.one_of(st.just(NAN), st.just(0.0), st.floats(1e-3, 1e3))


@st.composite
def to_merge(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray, np.ndarray, list[int]]:
    keys = draw(KEYS)
    n = len(keys)
    values, noise = draw(st.lists(VALUE, min_size=n, max_size=n)), draw(st.lists(NOISE, min_size=n, max_size=n))
    return np.array(keys), np.array(values), np.array(noise), draw(st.permutations(range(n)))


@given(to_merge())
def test_merging_does_not_depend_on_the_order_of_rows(case: tuple) -> None:
    keys, values, noise, order = case
    one, other = merge(keys, values, noise), merge(keys[order], values[order], noise[order])
    known = {tuple(keys[first]): i for i, first in enumerate(one.first)}
    match = [known[tuple(keys[order][first])] for first in other.first]
    np.testing.assert_allclose(other.mean, one.mean[match], rtol=1e-9, atol=1e-6)
    np.testing.assert_allclose(other.variance, one.variance[match], rtol=1e-6, atol=1e-6)
    np.testing.assert_array_equal(other.counts, one.counts[match])
    np.testing.assert_array_equal(other.known, one.known[match])


@given(to_merge())
def test_merging_keeps_the_order_of_first_appearance_and_every_row(case: tuple) -> None:
    keys, values, noise, _ = case
    merged = merge(keys, values, noise)
    assert (np.diff(merged.first) > 0).all()
    assert merged.counts.sum() == len(keys)
    assert len({tuple(keys[first]) for first in merged.first}) == len({tuple(key) for key in keys})


@given(to_merge())
def test_a_merged_value_lies_among_its_values(case: tuple) -> None:
    keys, values, noise, _ = case
    merged = merge(keys, values, noise)
    for first, mean, variance in zip(merged.first, merged.mean, merged.variance, strict=True):
        mine = values[(keys == keys[first]).all(axis=1)]
        slack = 1e-9 * np.abs(mine).max()
        assert mine.min() - slack <= mean <= mine.max() + slack
        assert 0 <= variance < np.inf


@given(VALUE, NOISE)
def test_one_value_is_exactly_itself(value: float, noise: float) -> None:
    merged = merge(np.array([[1, 0]]), np.array([value]), np.array([noise]))
    assert merged.mean.tolist() == [value]
    assert merged.known.tolist() == [not np.isnan(noise)]
    assert merged.variance[0] == pytest.approx(0.0 if np.isnan(noise) else noise**2)


# Which rows are one material, which are one group.

POLYMORPHS = pd.DataFrame(
    {"formula": ["TiO2", "TiO2", "O4Ti2", "GaAs"], "gap": [3.0, 3.2, 3.1, 1.4], "id": ["r", "a", "r", "g"]}
)
TITANIA = mf.Composition("formula", blocks="fractions")


def test_equal_inputs_are_one_material_unless_a_column_says_otherwise() -> None:
    assert mf.Schema(TITANIA, value="gap").data(POLYMORPHS).counts.tolist() == [3, 1]
    assert mf.Schema(TITANIA, value="gap", material="id").data(POLYMORPHS).counts.tolist() == [2, 1, 1]


def test_polymorphs_of_one_compound_are_one_group() -> None:
    rutile, anatase, arsenide = mf.Schema(TITANIA, value="gap", material="id").data(POLYMORPHS).groups.tolist()
    assert rutile == anatase != arsenide


@pytest.mark.parametrize("role", ["material", "group"])
def test_rows_without_an_id_are_named_and_not_taken_for_one_material(role: str) -> None:
    table = POLYMORPHS.assign(id=["r", None, NAN, "g"])
    with pytest.raises(TableError, match=r"2 bad rows: row 1 \(number 1\), column 'id'.*; row 2 \(number 2\)"):
        mf.Schema(TITANIA, value="gap", **{role: "id"}).data(table)


def test_new_rows_whose_id_is_missing_are_new_materials(problem) -> None:
    table, schema = problem()
    named = mf.Schema(mf.Columns("x"), value="y", source="source", costs=schema.costs, material="id")
    surrogate = mf.fit(table.assign(id=[f"m{i}" for i in range(len(table))]), named, mf.Difference([mf.GP()]))
    new = table[["x"]].iloc[:5]
    draws = [surrogate.sample(rows, 3) for rows in (new, new.assign(id=None))]
    pd.testing.assert_frame_equal(*draws, check_exact=True)


def test_new_rows_need_no_id(problem) -> None:
    table, schema = problem()
    named = mf.Schema(mf.Columns("x"), value="y", source="source", costs=schema.costs, material="id")
    surrogate = mf.fit(table.assign(id=[f"m{i}" for i in range(len(table))]), named, mf.Difference([mf.GP()]))
    said = surrogate.predict(table[["x"]])
    assert np.isfinite(said.to_numpy()).all()
    assert len(said) == len(table)


def test_a_material_is_recognised_by_its_id() -> None:
    # What no input tells of a material, its cheap value does, for whoever knows which material it is.
    rng = np.random.default_rng(0)
    x, hidden = rng.uniform(0, 1, 40), rng.normal(size=40)
    cheap = pd.DataFrame({"x": x, "y": x + hidden, "method": "pbe", "id": range(40)})
    trusted = cheap.assign(y=2 * cheap["y"], method="exp").iloc[:20]
    surrogate = mf.fit(
        pd.concat([cheap, trusted], ignore_index=True),
        schema_of(material="id", noise=None),
        mf.Difference([mf.GP()]),
    )
    new = cheap.iloc[20:]
    named, nameless = surrogate.predict(new), surrogate.predict(new[["x"]])
    assert (named["median"] - 2 * new["y"]).abs().max() < 0.5
    assert (named["std"] < 0.5 * nameless["std"]).all()


def test_a_split_respects_the_group_column() -> None:
    table = pd.DataFrame({"x": range(12), "y": 0.0, "family": list("abcabcabcabc")})
    data = mf.Schema(mf.Columns("x"), value="y", group="family").data(table)
    folds = [{table["family"][i] for i in fold.tolist()} for fold in data.split(3, seed=0)]
    assert sorted(map(sorted, folds)) == [["a"], ["b"], ["c"]]


def data_of(groups: Sequence[int], targets: Sequence[bool]) -> Data:
    n = len(groups)
    X = torch.stack([torch.arange(n).double(), torch.tensor(targets).double()], dim=1)
    zeros = torch.zeros(n, 1, dtype=torch.double)
    return Data(
        X=X,
        Y=zeros,
        Yvar=zeros,
        known=torch.zeros(n, dtype=torch.bool),
        views={"numeric": slice(0, 1)},
        sources=("pbe", "exp"),
        groups=torch.tensor(groups),
        rows=torch.arange(n),
        counts=torch.ones(n, dtype=torch.long),
    )


ROWS = st.lists(st.tuples(st.integers(0, 9), st.booleans()), min_size=1, max_size=40)


@given(ROWS, st.integers(1, 6), st.integers(0, 5))
def test_folds_part_the_target_rows_without_dividing_a_group(rows: list, folds: int, seed: int) -> None:
    groups, targets = zip(*rows, strict=True)
    data = data_of(groups, targets)
    parts = data.split(folds, seed)
    held = [i for part in parts for i in part.tolist()]
    assert sorted(held) == [i for i, target in enumerate(targets) if target]
    within = [{groups[i] for i in part.tolist()} for part in parts]
    assert all(within)
    assert sum(map(len, within)) == len(set.union(set(), *within))
    assert len(parts) == min(folds, len({group for group, target in rows if target}))
    assert max(map(len, within), default=0) - min(map(len, within), default=0) <= 1
    assert all(torch.equal(a, b) for a, b in zip(parts, data.split(folds, seed), strict=True))


def test_another_seed_gives_other_folds() -> None:
    data = data_of(range(20), [True] * 20)
    assert [fold.tolist() for fold in data.split(4, 0)] != [fold.tolist() for fold in data.split(4, 1)]


def standards_of(values: Sequence[float], anchor: tuple[float, float]) -> tuple[float, float]:
    table = pd.DataFrame({"x": np.arange(len(values)), "y": values})
    data = mf.Schema(mf.Columns("x"), value="y").data(table)
    return Data(**{**vars(data), "anchor": anchor}).standards()[0]


def test_two_values_that_agree_keep_most_of_the_spread_believed_before() -> None:
    assert standards_of([1.0, 1.0], (5.0, 2.0)) == pytest.approx((1.0, (3 * 2.0**2 / (3 + 2 - 1)) ** 0.5))


def test_many_values_have_their_own_spread() -> None:
    values = np.random.default_rng(0).normal(3.0, 0.5, 40)
    assert standards_of(values, (100.0, 50.0)) == pytest.approx((values.mean(), values.std(ddof=1)))


def test_a_source_without_rows_is_believed_to_be_like_the_others() -> None:
    schema = schema_of(costs={"pbe": 1, "hse": 2, "exp": 10}, noise=None)
    standards = schema.data(table_of()).standards()
    assert standards[1] == (2.5, 0.5)


# Wide tables, and a floor.


WIDE = pd.DataFrame(
    {"formula": ["Si", "Ge", "GaAs"], "pbe": [0.6, 0.1, 0.5], "exp": [1.1, None, "n/a"]}, index=[7, 8, 9]
)


def test_a_wide_table_becomes_the_long_one_that_says_the_same() -> None:
    table, schema = mf.Schema.from_wide(
        WIDE.assign(exp=[1.1, None, 1.4]), mf.Composition("formula"), {"pbe": 1, "exp": 9}
    )
    data = schema.data(table)
    assert list(zip(table["source"], table["value"], strict=True)) == [
        ("pbe", 0.6), ("pbe", 0.1), ("pbe", 0.5), ("exp", 1.1), ("exp", 1.4),
    ]  # fmt: skip
    assert data.fidelity.tolist() == [0, 0, 0, 1, 1]
    assert table.index.get_level_values(0).tolist() == [7, 8, 9, 7, 9]


def test_a_bad_cell_of_a_wide_table_is_named_by_row_and_source() -> None:
    table, schema = mf.Schema.from_wide(WIDE, mf.Composition("formula"), {"pbe": 1, "exp": 9})
    with pytest.raises(TableError, match=r"9.*exp.*n/a"):
        schema.data(table)


def test_a_wide_table_without_a_column_of_the_costs_is_refused_by_name() -> None:
    with pytest.raises(TableError, match="did you mean 'pbe'"):
        mf.Schema.from_wide(WIDE, mf.Composition("formula"), {"pbee": 1, "exp": 9})
    with pytest.raises(TableError, match="'pbe' already"):
        mf.Schema.from_wide(WIDE, mf.Composition("formula"), {"exp": 9}, value="pbe")


def test_a_floor_reaches_the_data_and_comes_back_from_json() -> None:
    table, schema = mf.Schema.from_wide(WIDE.iloc[:2], mf.Composition("formula"), {"pbe": 1, "exp": 9}, floor=0)
    assert schema.data(table).floor == 0.0
    assert mf.Schema.of(schema.config()) == schema
    with pytest.raises(SchemaError, match="floor"):
        mf.Schema(mf.Composition("formula"), value="gap", floor="zero")
