"""Rows of an asked table whose numbers a spreadsheet rounded are known again."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

import mfmat as mf
from mfmat.rounding import is_rounded

Begin = Callable[..., mf.Campaign]
THIRDS = pd.DataFrame({"x": [1 / 3, 2 / 3, 1 / 7, 6 / 7], "kind": list("abab")}, index=list("pqrs"))
SCHEMA = mf.Schema(mf.Columns("x", categories=("kind",)), value="y")


def begin(path: Path, pool: pd.DataFrame = THIRDS, schema: mf.Schema = SCHEMA) -> mf.Campaign:
    return mf.Campaign.create(path / "y.db", schema, recipe=mf.GP(steps=5), pool=pool)


def test_rounded_numbers_answer_their_ask(tmp_path: Path) -> None:
    campaign = begin(tmp_path)
    todo = campaign.ask(3)
    filled = todo.assign(x=todo["x"].round(4), y=[1.0, 2.0, 3.0]).reset_index(drop=True)
    assert str(campaign.tell(filled)) == "3 values recorded; 3 known by rounded inputs"
    assert campaign.pending().empty
    assert campaign.seen().index.tolist() == todo.index.tolist()
    assert campaign.seen()["x"].tolist() == todo["x"].tolist()


def test_a_file_that_grows_is_told_again(tmp_path: Path) -> None:
    campaign = begin(tmp_path)
    todo = campaign.ask(2)
    filled = todo.assign(x=todo["x"].round(3), y=[1.0, None])
    campaign.tell(filled)
    told = campaign.tell(filled.assign(y=[1.0, 2.0]))
    assert (told.recorded, told.repeated, told.rounded, told.unasked) == (1, 1, 2, 0)


def test_corrections_failures_and_withdrawals_know_them(tmp_path: Path) -> None:
    campaign = begin(tmp_path)
    todo = campaign.ask(3)
    rounded = todo.assign(x=todo["x"].round(5))
    campaign.tell(rounded[:1].assign(y=1.0))
    assert campaign.correct(rounded[:1].assign(y=1.5)) == 1
    assert campaign.fail(rounded[1:2]) == 1
    assert campaign.withdraw(rounded[2:]) == 1
    assert campaign.seen()["y"].tolist() == [1.5]
    assert campaign.pending().empty


def test_another_category_is_another_material(tmp_path: Path) -> None:
    campaign = begin(tmp_path)
    todo = campaign.ask(1)
    other = "b" if todo["kind"].item() == "a" else "a"
    told = campaign.tell(todo.assign(x=todo["x"].round(4), kind=other, y=1.0))
    assert (told.rounded, told.unasked) == (0, 1)


def test_two_digits_are_too_few(tmp_path: Path) -> None:
    campaign = begin(tmp_path)
    todo = campaign.ask(1)
    told = campaign.tell(todo.assign(x=todo["x"].round(2), y=1.0))
    assert (told.rounded, told.unasked) == (0, 1)


def test_what_was_not_asked_for_is_not_guessed(tmp_path: Path) -> None:
    campaign = begin(tmp_path)
    todo = campaign.ask(1)
    others = THIRDS.drop(index=todo.index)
    told = campaign.tell(others.assign(x=others["x"].round(4), y=1.0))
    assert (told.rounded, told.unasked) == (0, 3)


def test_two_that_it_may_be_are_an_error(tmp_path: Path) -> None:
    pool = pd.DataFrame({"x": [0.12341, 0.12342], "kind": "a"}, index=["p", "q"])
    campaign = begin(tmp_path, pool)
    todo = campaign.ask(2)
    with pytest.raises(mf.errors.TableError, match="whose rounded numbers are those of"):
        campaign.tell(todo.assign(x=0.1234, y=1.0))
    assert campaign.seen().empty


def test_a_named_material_needs_no_numbers(tmp_path: Path) -> None:
    schema = mf.Schema(mf.Columns("x"), value="y", material="id")
    campaign = begin(tmp_path, pd.DataFrame({"x": [1 / 3, 2 / 3], "id": ["a", "b"]}), schema)
    todo = campaign.ask(1)
    told = campaign.tell(todo.assign(x=todo["x"].round(4), y=1.0))
    assert (told.rounded, told.unasked) == (0, 0)


def test_whole_numbers_of_the_same_amount_are_one_material(tmp_path: Path) -> None:
    campaign = begin(tmp_path)
    for x in (1, 1.0):
        campaign.tell(pd.DataFrame({"x": [x], "kind": ["a"], "y": [0.5]}))
    assert campaign.history()["candidate"].tolist() == ['{"x": 1.0, "kind": "a"}']


@given(exact=st.floats(1e-6, 1e6), digits=st.integers(3, 12))
def test_every_rounding_is_known(exact: float, digits: int) -> None:
    assert is_rounded(float(f"{exact:.{digits}g}"), exact)
    assert is_rounded(-float(f"{exact:.{digits}g}"), -exact)
    assert not is_rounded(exact * 1.01, exact)
