"""A campaign goes on with more candidates, further sources, other prices or another budget; nothing told is lost."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

import mfmat as mf
from mfmat import asking
from mfmat.errors import SchemaError, TableError
from mfmat.stopping import SameTop

Begin = Callable[..., mf.Campaign]
MORE = pd.DataFrame({"x": [0.47, 0.93], "note": ["g", "h"]}, index=["m6", "m7"])
COSTS = {"cheap": 1, "scan": 3, "trusted": 10}


def test_further_candidates_are_asked_for(url: str, begin: Begin) -> None:
    campaign = begin(url)
    campaign.ask(12)
    assert campaign.ask().empty
    other = mf.Campaign.open(url)
    assert campaign.extend(pool=MORE, why="the second synthesis") == "2 more candidates"
    todo = other.ask(4)
    assert set(todo.index) == {"m6", "m7"}
    assert todo["note"].isin(["g", "h"]).all()
    assert other.tell(todo.assign(y=0.4)).recorded == 4
    assert len(other.pool) == len(mf.Campaign.open(url).pool) == 8
    row = campaign.history().query("kind == 'extended'").iloc[0]
    assert row["why"] == "2 more candidates: the second synthesis"
    assert row["candidate"] is None or pd.isna(row["candidate"])


def test_a_file_that_grew_is_given_whole(campaign: mf.Campaign) -> None:
    grown = pd.concat([campaign.pool, MORE])
    assert campaign.extend(pool=grown) == "2 more candidates"
    events = len(campaign.history())
    assert campaign.extend(pool=grown) == ""
    assert len(campaign.history()) == events
    pd.testing.assert_frame_equal(campaign.pool, grown)


def test_rows_without_names_are_numbered_on(url: str, begin: Begin) -> None:
    campaign = begin(url)
    campaign.extend(pool=MORE.reset_index(drop=True))
    campaign.extend(pool=pd.DataFrame({"x": [0.47, 0.98], "note": ""}))
    assert campaign.pool.index.tolist() == ["m0", "m1", "m2", "m3", "m4", "m5", 0, 1, 2]
    assert campaign.pool["x"].tolist()[6:] == [0.47, 0.93, 0.98]
    assert len(campaign.ask(18)) == 18


def test_a_label_is_one_candidate_for_ever(campaign: mf.Campaign) -> None:
    with pytest.raises(TableError, match=r"a candidate 'm3' that is another in the pool.*try: rename it"):
        campaign.extend(pool=MORE.set_axis(["m3", "m7"]))
    assert len(campaign.pool) == 6


def test_a_further_source_is_asked_and_told(url: str, begin: Begin) -> None:
    campaign = begin(url)
    campaign.tell(campaign.ask(2).assign(y=0.3))
    spent = campaign.status().spent
    said = campaign.extend(schema=replace(campaign.schema, costs={**COSTS, "trusted": 12}))
    assert said == "the source scan for 3; trusted for 12 instead of 10"
    # Prices of what was asked stay as they were.
    assert campaign.status().spent == spent
    todo = campaign.ask(14)
    assert set(todo["source"]) == {"cheap", "scan", "trusted"}
    assert todo.groupby("source")["cost"].first().to_dict() == {"cheap": 1, "scan": 3, "trusted": 12}
    campaign.tell(todo.assign(y=[i / 20 for i in range(len(todo))]))
    again = mf.Campaign.open(url)
    assert again.schema.sources == again.model().schema.sources == ("cheap", "scan", "trusted")
    assert again.status().sources["scan"].told == (todo["source"] == "scan").sum()
    # The course reads the models of both schemas.
    assert again.course()["median"].notna().sum() == 2 + len(todo)


def test_a_model_of_before_is_not_taken_for_one_of_now(campaign: mf.Campaign) -> None:
    first = campaign.ask()
    campaign.withdraw(first)
    campaign.extend(schema=replace(campaign.schema, costs=COSTS))
    campaign.ask()
    assert [len(campaign.model(number).schema.sources) for number in (1, 2)] == [2, 3]
    pd.testing.assert_frame_equal(campaign.seen(), campaign.seen())


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"value": "z"}, "value = 'z'.*expected 'y', as it was"),
        ({"inputs": mf.Columns("x note")}, "inputs = "),
        ({"costs": {"scan": 3, "trusted": 10}}, "the sources scan, trusted"),
        ({"costs": {"trusted": 10, "cheap": 1}}, "in that order, the target last"),
        ({"costs": {"cheap": 1, "trusted": 10, "final": 90}}, "in that order, the target last"),
        ({"costs": {"cheap": {"money": 1}, "trusted": {"money": 10}}}, "prices in money"),
        ({"kinds": {"cheap": "label"}}, "kinds = "),
    ],
)
def test_what_would_change_the_meaning_of_what_was_told_is_refused(
    campaign: mf.Campaign, changed: dict[str, object], message: str
) -> None:
    before = campaign.history()
    with pytest.raises(SchemaError, match=rf"an extension with .*{message}"):
        campaign.extend(schema=replace(campaign.schema, **changed))
    pd.testing.assert_frame_equal(campaign.history(), before)


def test_another_budget_holds_from_the_next_ask(campaign: mf.Campaign) -> None:
    campaign.tell(campaign.ask(20).assign(y=0.5))
    assert campaign.ask().empty
    assert campaign.extend(budget=45, why="the grant") == "a budget of 45"
    spent = campaign.status().spent
    more = campaign.ask(20)
    assert 0 < more["cost"].sum() <= 45 - spent
    assert campaign.extend(budget=5) == "a budget of 5"
    assert (campaign.budget, campaign.status().left) == (5, 0)
    assert campaign.ask().empty
    with pytest.raises(SchemaError, match="budget=-1"):
        campaign.extend(budget=-1)


def test_a_budget_that_is_cut_while_another_asks_is_not_exceeded(
    url: str, begin: Begin, monkeypatch: pytest.MonkeyPatch
) -> None:
    campaign, usual = begin(url, budget=100), asking.propose

    def slow(*arguments: object) -> object:
        proposal = usual(*arguments)
        monkeypatch.setattr(asking, "propose", usual)
        mf.Campaign.open(url).extend(budget=2)
        return proposal

    monkeypatch.setattr(asking, "propose", slow)
    assert campaign.ask(10)["cost"].sum() <= 2


def test_what_was_measured_before_it_came_into_the_pool_is_known(url: str, begin: Begin) -> None:
    campaign = begin(url)
    pick = pd.DataFrame({"x": [0.47], "source": ["trusted"], "y": [0.66]})
    campaign.tell(pick)
    campaign.extend(pool=MORE)
    assert campaign.tell(pick).repeated == 1
    todo = campaign.ask(20)
    assert ("m6", "trusted") not in set(zip(todo.index, todo["source"], strict=True))
    assert ("m6", "cheap") in set(zip(todo.index, todo["source"], strict=True))
    assert campaign.correct(pick.assign(y=0.6)) == 1
    assert campaign.seen()["y"].tolist()[7:] == [0.6]


def test_a_further_level_of_a_category_and_rules_that_look_back(tmp_path: Path) -> None:
    schema = mf.Schema(mf.Columns("x", categories="phase"), value="y")
    pool = pd.DataFrame({"x": [0.1, 0.2, 0.4, 0.7, 0.8], "phase": list("ababa")})
    seen = pd.DataFrame({"x": [0.0, 0.5, 1.0], "phase": ["a", "b", "a"], "y": [0.1, 0.9, 0.4]})
    rule = SameTop(k=1, rounds=2)
    campaign = mf.Campaign.create(tmp_path / "c.db", schema, recipe=mf.GP(steps=5), pool=pool, seen=seen, stop=[rule])
    campaign.tell(campaign.ask().assign(y=0.5))
    campaign.extend(pool=pd.DataFrame({"x": [0.3, 0.6], "phase": ["c", "a"]}))
    for _ in range(3):
        if len(todo := campaign.ask(anyway=True)):
            campaign.tell(todo.assign(y=0.5))
    assert campaign.pool["phase"].tolist() == [*"ababa", "c", "a"]
    assert len(campaign.course()) == 5


def test_an_extended_campaign_is_exported_and_restored(campaign: mf.Campaign, tmp_path: Path) -> None:
    campaign.tell(campaign.ask(2).assign(y=0.3))
    campaign.extend(schema=replace(campaign.schema, costs=COSTS), pool=MORE, budget=60)
    campaign.tell(campaign.ask(2).assign(y=0.4))
    again = mf.Campaign.restore(campaign.export(tmp_path / "folder"), tmp_path / "again.db")
    assert (again.schema, again.budget) == (campaign.schema, 60)
    for name in ("seen", "history", "course", "costs"):
        pd.testing.assert_frame_equal(getattr(again, name)(), getattr(campaign, name)())
    pd.testing.assert_frame_equal(again.pool, campaign.pool)
    page = mf.report(campaign, tmp_path / "page.html").read_text(encoding="utf-8")
    assert "the source scan for 3" in page


def test_bad_candidates_are_named_and_nothing_is_recorded(campaign: mf.Campaign) -> None:
    with pytest.raises(TableError, match="'x'"):
        campaign.extend(pool=MORE.assign(x=["0.47", "much"]), budget=90)
    with pytest.raises(TableError, match="without the column 'x'"):
        campaign.extend(pool=MORE[["note"]])
    assert campaign.budget == 25
    assert campaign.history().empty


def test_units_keep_their_shares_of_the_budget(tmp_path: Path) -> None:
    costs = {"cheap": {"money": 1.0, "days": 1.0}, "trusted": {"money": 10.0, "days": 2.0}}
    schema = mf.Schema(mf.Columns("x"), value="y", source="source", costs=costs)
    budget = {"money": 100.0, "days": 10.0}
    pool = pd.DataFrame({"x": [0.1, 0.9]})
    campaign = mf.Campaign.create(tmp_path / "c.db", schema, recipe=mf.GP(steps=5), pool=pool, budget=budget)
    assert campaign.schema.rates == {"money": 0.01, "days": 0.1}
    assert campaign.extend(budget={"money": 400.0, "days": 10.0}) == "a budget of 400 money, 10 days"
    assert campaign.schema.rates == {"money": 0.0025, "days": 0.1}
