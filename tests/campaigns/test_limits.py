"""A campaign in which some measurements only say that a value is below or above a limit."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

import mfmat as mf
from mfmat.errors import TableError
from mfmat.filled_in import read_filled

from .conftest import POOL, RECIPE, SCHEMA, SEEN

LIMITED = replace(SCHEMA, censored="sign")
START = SEEN.assign(sign=[None, None, "<", None, None, None, None])


@pytest.fixture
def search(tmp_path: Path) -> mf.Campaign:
    return mf.Campaign.create(tmp_path / "y.db", LIMITED, recipe=RECIPE, pool=POOL, seen=START)


def told(search: mf.Campaign) -> pd.DataFrame:
    return search.seen().iloc[len(START) :]


def test_limits_are_told_kept_and_given_back(search: mf.Campaign, tmp_path: Path) -> None:
    todo = search.ask(3)
    said = search.tell(todo.assign(y=["<0.2", 0.4, 0.6], sign=[None, None, ">"]))
    assert said.recorded == 3
    seen = told(search)
    assert seen["y"].tolist() == [0.2, 0.4, 0.6]
    assert seen["sign"].tolist() == ["<", None, ">"]
    assert search.history()["censored"].dropna().tolist() == ["<", ">"]
    data = LIMITED.data(search.seen())
    assert data.censored is not None
    assert sorted(data.censored.tolist()) == [-1, -1, *[0] * 7, 1]
    # The next round learns from them, asks for none of them again, and a copy on files has them, too.
    assert not set(zip(search.ask(2).index, search.pending()["source"], strict=True)) & set(
        zip(todo.index, todo["source"], strict=True)
    )
    copy = mf.Campaign.restore(search.export(tmp_path / "files"), tmp_path / "copy.db")
    assert copy.seen().equals(search.seen())


def test_a_limit_is_another_answer_than_its_number_and_both_can_be_corrected(search: mf.Campaign) -> None:
    row = search.ask(1)
    assert search.tell(row.assign(y="<0.2")).recorded == 1
    assert search.tell(row.assign(y="< 0.20")).repeated == 1
    assert search.correct(row.assign(y=0.2)) == 1
    assert told(search)["sign"].tolist() == [None]
    assert search.correct(row.assign(y="<0.2"), why="the detector") == 1
    assert search.correct(row.assign(y=0.2, sign="<")) == 0
    assert told(search)["sign"].tolist() == ["<"]
    assert search.history()["kind"].tolist() == ["asked", "told", "corrected", "corrected"]


def test_without_a_column_for_signs_a_limit_is_refused(begin, tmp_path: Path) -> None:
    campaign = begin(tmp_path / "plain.db")
    todo = campaign.ask(1)
    with pytest.raises(TableError, match=r"column 'y': a limit where a value belongs \(Schema\(censored=.*got '<0.2'"):
        campaign.tell(todo.assign(y="<0.2"))
    assert len(campaign.seen()) == len(SEEN)


def test_a_sign_that_cannot_be_read_and_one_alone_record_nothing(search: mf.Campaign) -> None:
    todo = search.ask(2)
    with pytest.raises(TableError, match="column 'sign': none of"):
        search.tell(todo.assign(y=[0.1, 0.2], sign=["<", "?"]))
    with pytest.raises(TableError, match="column 'sign': a sign without its limit, got '<'"):
        search.tell(todo.assign(y=[0.1, None], sign=[None, "<"]))
    assert len(search.seen()) == len(START)


def test_the_best_value_is_none_of_those_below_a_limit(search: mf.Campaign) -> None:
    row = pd.DataFrame({"x": [0.2], "source": ["trusted"]})
    search.tell(row.assign(y="<5"))
    assert search.status().best == 0.6
    search.tell(row.assign(x=0.4, y=">0.8"))
    assert search.status().best == 0.8
    assert search.ask(1).shape[0] == 1
    assert search.model().card["means"][-1] > 0.7


def test_a_pool_may_not_have_that_column(tmp_path: Path) -> None:
    with pytest.raises(TableError, match="a pool with the column 'sign'"):
        mf.Campaign.create(tmp_path / "y.db", LIMITED, pool=POOL.assign(sign="<"))


@pytest.mark.parametrize("text", ["x;y\n0,2;<0,5\n", 'x,y\n0.2,"<0,5"\n', "x,y\n0.2, < 0.5 \n"])
def test_a_csv_filled_in_by_hand_may_hold_limits(text: str, tmp_path: Path, search: mf.Campaign) -> None:
    (tmp_path / "filled.csv").write_text(text)
    table = read_filled(tmp_path / "filled.csv", search.schema.numbers)
    search.tell(table.assign(source="trusted"))
    assert told(search)[["y", "sign"]].to_numpy().tolist() == [[0.5, "<"]]


def test_a_comma_of_a_limit_that_may_divide_thousands_is_refused(tmp_path: Path) -> None:
    (tmp_path / "filled.csv").write_text('x,y\n0.2,">1,500"\n')
    with pytest.raises(TableError, match="a comma that may be decimal or divide thousands"):
        read_filled(tmp_path / "filled.csv", ["x", "y"])
