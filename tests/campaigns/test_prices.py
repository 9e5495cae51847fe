"""Prices learned from durations, set-ups paid once a batch, and budgets in several units."""

from __future__ import annotations

import json
import sqlite3
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import mfmat as mf
from mfmat.errors import SchemaError, TableError
from mfmat.learned_prices import learn_factor

POOL = pd.DataFrame({"x": [0.05, 0.2, 0.4, 0.55, 0.7, 0.85]}, index=[f"m{i}" for i in range(6)])
SEEN = pd.DataFrame({"x": [0.0, 0.3, 0.6, 1.0, 0.1, 0.5, 0.9], "source": ["cheap"] * 4 + ["trusted"] * 3})
SEEN["y"] = [0.1, 0.5, 0.7, 0.3, 0.2, 0.6, 0.5]
SCHEMA = mf.Schema(mf.Columns("x"), value="y", source="source", costs={"cheap": 1, "trusted": 10})
RECIPE = mf.Difference([mf.GP(steps=5)])
UNITS = {"cheap": {"cpu hours": 2}, "trusted": {"money": 40, "days": 3}}


def schema_of(costs: dict[str, object] | None = None, **options: object) -> mf.Schema:
    return mf.Schema(mf.Columns("x"), value="y", source="source", costs=costs or SCHEMA.costs, **options)


def create(path: Path, schema: mf.Schema, **options: object) -> mf.Campaign:
    return mf.Campaign.create(path / "c.db", schema, **{"recipe": RECIPE, "pool": POOL, "seen": SEEN, **options})


# Learned prices


def test_declared_prices_stay_whatever_measurements_took(tmp_path: Path) -> None:
    campaign = create(tmp_path, SCHEMA, budget=50)
    todo = campaign.ask(2, budget=2)
    campaign.tell(todo.assign(y=0.5, duration=30.0))
    assert campaign.status().spent == 2.0
    assert set(campaign.ask(2, budget=2)["cost"]) == {1.0}
    assert "price" not in campaign.costs()


def test_what_measurements_took_is_paid_and_moves_the_price(tmp_path: Path) -> None:
    campaign = create(tmp_path, SCHEMA, budget=200, prices="learned")
    todo = campaign.ask(3, budget=3)
    assert set(todo["source"]) == {"cheap"}
    assert campaign.status().spent == 3.0
    campaign.tell(todo.iloc[:2].assign(y=0.5, duration=[4.0, 5.0]))
    assert campaign.status().spent == 10.0
    campaign.fail(todo.iloc[2:].assign(duration=6.0))
    assert campaign.status().spent == 15.0
    factor = learn_factor([4.0, 5.0, 6.0])
    assert campaign.costs().loc["cheap", ["factor", "price"]].tolist() == pytest.approx([factor, factor])
    assert campaign.costs().loc["trusted", ["factor", "price"]].tolist() == [1.0, 10.0]
    asked = mf.Campaign.open(tmp_path / "c.db").ask()
    assert asked["cost"].tolist() == [pytest.approx(factor if asked["source"].iloc[0] == "cheap" else 10.0)]
    assert campaign.status().spent == pytest.approx(15 + asked["cost"].sum())
    campaign.correct(todo.iloc[:1].assign(y=0.4, duration=2.0))
    assert campaign.status().spent == pytest.approx(13 + asked["cost"].sum())


def test_a_price_that_was_learned_is_never_asked_beyond_the_budget(tmp_path: Path) -> None:
    campaign = create(tmp_path, SCHEMA, budget=12, prices="learned")
    todo = campaign.ask(2, budget=2)
    campaign.tell(todo.assign(y=0.5, duration=4.0))
    asked = campaign.ask(9)
    assert asked["cost"].sum() <= campaign.budget - 8
    assert "the cheapest open pair costs" in campaign.status().note
    campaign.tell(asked.assign(y=0.5, duration=20.0))
    assert campaign.status().left == 0.0
    assert campaign.ask(9).empty


def test_a_source_without_a_price_has_what_its_measurements_took(tmp_path: Path) -> None:
    schema = schema_of({"cheap": 1, "trusted": "duration"})
    seen = SEEN.assign(duration=SEEN["source"].map({"trusted": 6.0}))
    campaign = create(tmp_path, schema, seen=seen, prices="learned", budget=100)
    price = learn_factor([6.0] * 3, declared=False)
    assert campaign.costs()["price"].to_dict() == {"cheap": 1.0, "trusted": pytest.approx(price)}
    todo = campaign.ask(20)
    assert dict(zip(todo["source"], todo["cost"], strict=True)) == {"cheap": 1.0, "trusted": pytest.approx(price)}
    assert "duration" not in todo


def test_durations_are_shares_of_each_candidates_own_price(tmp_path: Path) -> None:
    pool = POOL.assign(minutes=[1.0, 2.0, 4.0, 8.0, 16.0, 32.0])
    campaign = create(tmp_path, schema_of({"cheap": "minutes", "trusted": 100}), pool=pool, prices="learned")
    campaign.tell(pool.iloc[:3].assign(source="cheap", y=0.5, duration=[2.0, 4.0, 8.0]))
    factor = learn_factor([2.0] * 3)
    assert campaign.costs().loc["cheap", "factor"] == pytest.approx(factor)
    todo = campaign.ask(20)
    cheap = todo[todo["source"] == "cheap"]
    assert cheap["cost"].tolist() == pytest.approx((factor * pool["minutes"][cheap.index]).tolist())


def test_prices_that_cannot_be_learned_are_refused(tmp_path: Path) -> None:
    unknown = schema_of({"cheap": 1, "trusted": "duration"})
    refused = {
        "prices='guessed'": (SCHEMA, {"prices": "guessed"}),
        r"costs\['trusted'\] = 'duration' and a pool without": (unknown, {}),
        "no duration of 'trusted'": (unknown, {"prices": "learned"}),
        "in 'cpu hours', 'money', 'days'": (schema_of(UNITS, rates={"cpu hours": 1, "money": 1, "days": 1}), {}),
        "a pool with the column 'duration'": (SCHEMA, {"pool": POOL.assign(duration=1.0)}),
    }
    for message, (schema, options) in refused.items():
        prices = {} if "pool without" in message else {"prices": "learned"}
        with pytest.raises(SchemaError, match=message):
            create(tmp_path, schema, **{**prices, **options})
    with pytest.raises(TableError, match="no time at all"):
        create(tmp_path, SCHEMA, seen=SEEN.assign(duration=0.0), prices="learned")


# Set-ups


@pytest.mark.filterwarnings("ignore::mfmat.surrogate.FewRowsWarning")
def test_a_set_up_is_paid_once_a_batch(tmp_path: Path) -> None:
    campaign = create(tmp_path, schema_of({"trusted": 10}, setup={"trusted": 5}), seen=None, budget=70)
    todo = campaign.ask(3)
    assert todo["cost"].tolist() == [15.0, 10.0, 10.0]
    assert campaign.status().spent == 35.0
    pd.testing.assert_frame_equal(campaign.pending()[todo.columns], todo)
    campaign.withdraw(todo.iloc[:1])
    assert campaign.status().spent == 25.0
    campaign.tell(todo.iloc[1:].assign(y=[0.1, 0.4]))
    again = campaign.ask(9)
    assert again["cost"].tolist() == [15.0, 10.0, 10.0, 10.0]
    assert "sets up trusted for this batch (5)" in again["reason"].iloc[0]
    assert campaign.status().left == 0.0
    campaign.withdraw(again)
    assert campaign.status().spent == 25.0
    assert mf.Campaign.open(tmp_path / "c.db").status().spent == 25.0
    assert campaign.history()["setup"].dropna().tolist() == [5.0, 5.0]


def test_a_set_up_that_the_budget_does_not_reach_is_said(tmp_path: Path) -> None:
    campaign = create(tmp_path, schema_of({"trusted": 10}, setup={"trusted": 5}), seen=None, budget=14)
    assert campaign.ask().empty
    assert "the cheapest open pair costs 15, and 14 may be spent" in campaign.status().note


def test_a_replay_pays_set_ups_too() -> None:
    x = np.linspace(0, 1, 12)
    table = pd.DataFrame({"x": x, "y": np.sin(6 * x)})
    alone = mf.Schema(mf.Columns("x"), value="y", costs={"y": 2}, setup={"y": 3})
    steps = mf.backtest(table, alone, mf.Random(name="luck"), seeds=1, start=2, batch=3, stop="budget", budget=30).steps
    paid = steps[steps["policy"] == "luck"]
    assert paid.groupby("step")["cost"].apply(list).tolist() == [[5.0, 2.0], [5.0, 2.0, 2.0], [5.0, 2.0, 2.0], [5.0]]
    assert paid["total_cost"].tolist() == paid["cost"].cumsum().tolist()
    assert (steps["total_cost"] <= 30).all()


def test_a_campaign_that_knew_of_none_of_this_goes_on(tmp_path: Path) -> None:
    campaign = create(tmp_path, SCHEMA, budget=25)
    asked = campaign.ask(2)
    with sqlite3.connect(tmp_path / "c.db") as connection:
        facts = json.loads(connection.execute("SELECT facts FROM campaign").fetchone()[0])
        del facts["prices"], facts["schema"]["setup"], facts["schema"]["rates"]
        connection.execute("UPDATE campaign SET facts = ?", (json.dumps(facts),))
    connection.close()
    old = mf.Campaign.open(tmp_path / "c.db")
    assert (old.prices, old.status().spent) == ("declared", asked["cost"].sum())
    old.tell(asked.assign(y=0.5, duration=99.0))
    assert old.status().spent == asked["cost"].sum()
    assert set(old.ask(9)["cost"]) <= {1.0, 10.0}
    assert "setup" not in old.history()


# Units


@pytest.mark.filterwarnings("ignore::mfmat.surrogate.FewRowsWarning")
@settings(max_examples=10)
@given(
    st.integers(0, 10**6),
    st.sampled_from(["max", "learn"]),
    st.booleans(),
    st.lists(st.integers(1, 5), min_size=1, max_size=3),
)
def test_no_unit_is_ever_exceeded(seed: int, goal: str, known: bool, sizes: list[int]) -> None:
    rng = np.random.default_rng(seed)
    units = ["money", "days", "cpu hours"][: rng.integers(1, 4)]
    amounts = [dict(zip(units, rng.exponential(size=len(units)), strict=True)) for _ in range(3)]
    budget = dict(zip(units, rng.exponential(6.0, size=len(units)), strict=True))
    schema = schema_of({"cheap": amounts[0], "trusted": amounts[1]}, setup={"trusted": amounts[2]})
    with tempfile.TemporaryDirectory() as folder:
        seen = SEEN if known else None
        campaign = create(Path(folder), schema, seen=seen, budget=budget, goal=goal, recipe=mf.GP(steps=2))
        for n in sizes:
            todo = campaign.ask(n)
            left = campaign.status().left
            assert all(each >= 0 for each in left.values())
            for unit in units:
                shown = todo["cost" if len(units) == 1 else f"cost ({unit})"].sum()
                batch = sum(amounts[int(source == "trusted")][unit] for source in todo["source"])
                assert shown == pytest.approx(batch + amounts[2][unit] * ("trusted" in set(todo["source"])))
            if not todo.empty:
                campaign.tell(todo.assign(y=todo["x"]))
        spent = campaign.status().spent
        assert all(spent[unit] <= budget[unit] * (1 + 1e-9) for unit in units)


def test_units_are_shown_and_compared_by_their_budgets(tmp_path: Path) -> None:
    budget = {"cpu hours": 100, "money": 400, "days": 60}
    campaign = create(tmp_path, schema_of(UNITS), budget=budget)
    todo = campaign.ask(12)
    names = ["cost", "cost (cpu hours)", "cost (money)", "cost (days)"]
    price = {"cheap": [2 / 100, 2.0, 0.0, 0.0], "trusted": [40 / 400 + 3 / 60, 0.0, 40.0, 3.0]}
    assert todo[names].to_numpy().tolist() == pytest.approx(np.array([price[name] for name in todo["source"]]))
    assert {"cheap", "trusted"} == set(todo["source"])
    n = todo["source"].value_counts()
    assert campaign.status().spent == {
        "cpu hours": 2 * n["cheap"],
        "money": 40 * n["trusted"],
        "days": 3 * n["trusted"],
    }
    assert f"spent {2 * n['cheap']} cpu hours, {40 * n['trusted']} money" in str(campaign.status())
    told = campaign.tell(todo.assign(y=0.5))
    assert (told.recorded, told.unasked) == (12, 0)
    assert mf.Campaign.restore(campaign.export(tmp_path / "out"), tmp_path / "d.db").status() == campaign.status()


def test_one_call_may_be_capped_in_some_units(tmp_path: Path) -> None:
    campaign = create(tmp_path, schema_of(UNITS), budget={"cpu hours": 100, "money": 400, "days": 60})
    todo = campaign.ask(9, budget={"money": 0, "cpu hours": 5})
    assert todo["source"].tolist() == ["cheap", "cheap"]
    assert (
        "costs 2 cpu hours, 0 money, 0 days, and 1 cpu hours, 0 money, 60 days may be spent" in campaign.status().note
    )


def test_one_named_unit_is_a_number_with_a_name(tmp_path: Path) -> None:
    schema = schema_of({"cheap": {"cpu hours": 1}, "trusted": {"cpu hours": 10}})
    assert schema.prices == SCHEMA.prices
    named = create(tmp_path, schema, budget=25)
    plain = mf.Campaign.create(tmp_path / "p.db", SCHEMA, recipe=RECIPE, pool=POOL, seen=SEEN, budget=25)
    pd.testing.assert_frame_equal(named.ask(4), plain.ask(4))
    assert named.status().left == {"cpu hours": plain.status().left}


def test_units_that_cannot_be_compared_are_refused(tmp_path: Path) -> None:
    schema, surrogate = schema_of(UNITS), mf.fit(SEEN, schema_of(UNITS), RECIPE)
    for budget in (None, {"cpu hours": 10.0, "money": 5.0}):
        with pytest.raises(SchemaError, match=r"no budget in '.*rates="):
            create(tmp_path, schema, budget=budget)
        with pytest.raises(SchemaError, match=r"no budget in '.*rates="):
            mf.suggest(surrogate, POOL, budget=budget)
    with pytest.raises(SchemaError, match=r"budget=10.0 for prices in 'cpu hours', 'money', 'days'"):
        mf.suggest(surrogate, POOL, budget=10.0)
    with pytest.raises(SchemaError, match=r"budget in 'mony'.*did you mean 'money'"):
        mf.suggest(surrogate, POOL, budget={"mony": 10.0})
    with pytest.raises(SchemaError, match=r"budget\['money'\]=-1.0"):
        mf.suggest(surrogate, POOL, budget={"money": -1.0})
    with pytest.raises(SchemaError, match="prices in one unit"):
        mf.backtest(SEEN, schema)
    rates = {"cpu hours": 0.01, "money": 1.0, "days": 2.0}
    rated = mf.suggest(mf.fit(SEEN, schema_of(UNITS, rates=rates), RECIPE), POOL, 12)
    assert set(rated["cost"]) == {0.02, 46.0}


def test_units_that_contradict_each_other_are_refused() -> None:
    refused = {
        "with units and without": {"costs": {"cheap": 1, "trusted": {"money": 2}}},
        "costs and setup with units and without": {"setup": {"cheap": {"money": 3}}},
        "a set-up of 'chaep'.*did you mean 'cheap'": {"setup": {"chaep": 3}},
        r"setup\['cheap'\] = -3": {"setup": {"cheap": -3}},
        r"costs\['trusted'\]\['money'\] = -1": {"costs": {"trusted": {"money": -1}}},
        r"costs\['trusted'\] = {}": {"costs": {"trusted": {}}},
        "for prices in plain numbers": {"rates": {"money": 1}},
        "for prices in 'cpu hours', 'money', 'days'": {"costs": UNITS, "rates": {"money": 1}},
    }
    for message, options in refused.items():
        with pytest.raises(SchemaError, match=message):
            schema_of(**{"costs": SCHEMA.costs, **options})


def test_a_schema_with_units_comes_back() -> None:
    schema = schema_of(UNITS, setup={"trusted": {"days": 1}}, rates={"cpu hours": 0, "money": 1, "days": 2})
    assert mf.Schema.of(schema.config()) == schema
    assert schema.units == ("cpu hours", "money", "days")


@pytest.mark.parametrize(
    ("prices", "message"), [({}, "without the column 'price'"), ({"price": [3, "much", 5]}, r"column 'price'.*'much'")]
)
def test_prices_that_the_pool_lacks_are_missed_at_once(tmp_path: Path, prices: dict[str, object], message: str) -> None:
    schema = mf.Schema(mf.Columns("x"), value="y", source="from", costs={"cheap": 1, "trusted": "price"})
    pool = pd.DataFrame({"x": [0.1, 0.5, 0.9], **prices})
    with pytest.raises(TableError, match=message):
        mf.Campaign.create(tmp_path / "y.db", schema, pool=pool)
    campaign = mf.Campaign.create(tmp_path / "y.db", schema, pool=pool.assign(price=[3, 4, 5]))
    with pytest.raises(TableError, match=message):
        campaign.extend(pool=pool.assign(x=[1.1, 1.2, 1.3]))
