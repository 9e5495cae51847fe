"""Prices by row: each candidate of the pool has its own."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pandas as pd
import pytest

import mfmat as mf
from mfmat.errors import SchemaError

POOL = pd.DataFrame({"x": [0.1, 0.3, 0.5, 0.7, 0.9], "hours": [4.0, 1.0, 2.0, 8.0, 16.0]}, index=list("abcde"))
SEEN = pd.DataFrame({"x": [0.0, 0.4, 1.0, 0.2], "source": ["low", "low", "low", "high"], "y": [0.1, 0.5, 0.9, 0.5]})
SCHEMA = mf.Schema(mf.Columns("x"), value="y", source="source", costs={"low": 0.5, "high": "hours"})
RECIPE = mf.Difference([mf.GP(steps=20)])


@pytest.mark.filterwarnings("ignore::mfmat.surrogate.FewRowsWarning")
def test_a_campaign_pays_what_each_candidate_costs(tmp_path: Path) -> None:
    campaign = mf.Campaign.create(tmp_path / "c.db", SCHEMA, recipe=RECIPE, pool=POOL, seen=SEEN, budget=9.0)
    todo = campaign.ask(20)
    prices = POOL["hours"][todo.index].where(todo["source"] == "high", 0.5)
    pd.testing.assert_series_equal(todo["cost"], prices, check_names=False)
    assert campaign.status().spent == pytest.approx(todo["cost"].sum())
    assert todo["cost"].sum() <= 9.0
    assert "may be spent" in campaign.status().note


def test_the_first_pairs_of_a_campaign_that_knows_nothing_fit_the_budget(tmp_path: Path) -> None:
    alone = mf.Schema(mf.Columns("x"), value="y", source="source", costs={"high": "hours"})
    campaign = mf.Campaign.create(tmp_path / "c.db", alone, recipe=RECIPE, pool=POOL, budget=7.0)
    assert 0 < campaign.ask(5)["cost"].sum() <= 7.0


def test_the_first_candidates_are_far_in_what_describes_them(tmp_path: Path) -> None:
    """Neither a material's name nor metadata, numbers too by then, move them."""
    alone = mf.Schema(mf.Columns("x"), value="y", source="source", costs={"high": 1})
    named = dataclasses.replace(alone, material="id", metadata=mf.Groups("lab"))
    labels = list("abcdefghijkl")
    pool = pd.DataFrame({"x": [i / 11 for i in range(12)], "id": labels, "lab": labels[::-1]}, index=labels)
    asked = [
        mf.Campaign.create(tmp_path / f"{i}.db", schema, recipe=RECIPE, pool=pool).ask(3).index.tolist()
        for i, schema in enumerate((alone, named))
    ]
    assert asked[0] == asked[1]
    assert {"a", "l"} < set(asked[0])


def test_a_replay_says_how_prices_by_row_are_given() -> None:
    with pytest.raises(SchemaError, match='cost="hours"'):
        mf.backtest(SEEN.assign(hours=1.0), SCHEMA)


def test_what_the_pool_lacks_costs_what_its_row_says(tmp_path: Path) -> None:
    campaign = mf.Campaign.create(tmp_path / "c.db", SCHEMA, recipe=RECIPE, pool=POOL, seen=SEEN, budget=900.0)
    mine = pd.DataFrame({"x": [0.33, 0.34], "hours": [500.0, None], "source": "high", "y": [0.4, 0.4]})
    campaign.tell(mine)
    assert campaign.status().spent == pytest.approx(500.0 + POOL["hours"].mean())
