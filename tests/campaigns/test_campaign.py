"""A campaign asks, takes what was measured in whatever form it comes, and knows where it stands."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

import mfmat as mf
from mfmat import asking
from mfmat.asking import look
from mfmat.csv_tables import read_csv
from mfmat.errors import SavedFileError, SchemaError, TableError
from mfmat.journal import CampaignError

Begin = Callable[..., mf.Campaign]


def pairs(table: pd.DataFrame) -> set[tuple[float, str]]:
    return set(zip(table["x"], table["source"], strict=True))


def picks(campaign: mf.Campaign, x: list[float], source: str, y: list[object]) -> pd.DataFrame:
    return pd.DataFrame({"x": x, "source": source, "y": y})


# Create and open.


def test_everything_is_there_again_when_opened(url: str, begin: Begin) -> None:
    campaign = begin(url, budget=25, goal="min", seed=3)
    todo = campaign.ask(3)
    campaign.tell(todo.iloc[:2].assign(y=[0.4, 0.5]))
    again = mf.Campaign.open(url)
    assert (again.schema, again.recipe, again.budget) == (campaign.schema, campaign.recipe, 25)
    assert (again.goal, again.seed) == ("min", 3)
    assert again.status() == campaign.status()
    pd.testing.assert_frame_equal(again.pool, campaign.pool)
    for name in ("seen", "pending", "history"):
        pd.testing.assert_frame_equal(getattr(again, name)(), getattr(campaign, name)())


def test_a_campaign_is_never_made_over_another(url: str, begin: Begin) -> None:
    begin(url)
    with pytest.raises(CampaignError, match=r"holds a campaign already.*try: Campaign.open"):
        begin(url)


def test_opening_what_is_not_there_makes_no_file(tmp_path: Path) -> None:
    with pytest.raises(CampaignError, match="holds no campaign"):
        mf.Campaign.open(tmp_path / "none.db")
    assert not (tmp_path / "none.db").exists()


def test_a_file_that_is_no_database_is_named(tmp_path: Path) -> None:
    (tmp_path / "gap.db").write_text("x" * 5000)
    with pytest.raises(CampaignError, match=r"gap\.db: .*not a database"):
        mf.Campaign.open(tmp_path / "gap.db")


WRONG_POOLS = {
    "empty": (lambda pool: pool.iloc[:0], "an empty pool"),
    "a column is missing": (lambda pool: pool.drop(columns="x"), "without the column 'x'"),
    "a cell is missing": (lambda pool: pool.assign(x=[0.1, np.nan, 1, 2, 3, 4]), "row 'm1' .*column 'x'"),
    "a column would be lost": (lambda pool: pool.assign(cost=1), "a pool with the column 'cost'"),
    "two labels": (lambda pool: pool.set_axis(["a"] * 6), "the same label twice"),
}


@pytest.mark.parametrize("wrong", WRONG_POOLS)
def test_a_pool_that_cannot_be_asked_about_is_refused(wrong: str, tmp_path: Path, begin: Begin, campaign) -> None:
    change, says = WRONG_POOLS[wrong]
    with pytest.raises(TableError, match=says):
        begin(tmp_path / "new.db", pool=change(campaign.pool))
    assert not (tmp_path / "new.db").exists()


def test_settings_that_make_no_sense_are_refused(tmp_path: Path, begin: Begin, campaign: mf.Campaign) -> None:
    for options in ({"goal": "best"}, {"budget": -1.0}, {"budget": float("nan")}):
        with pytest.raises(SchemaError):
            begin(tmp_path / "new.db", **options)
    for arguments in ({"n": 0}, {"budget": -1.0}):
        with pytest.raises(SchemaError):
            campaign.ask(**arguments)


# Ask.


def test_an_asked_table_is_the_pool_with_what_was_chosen(campaign: mf.Campaign) -> None:
    todo = campaign.ask(3)
    assert todo.columns.tolist() == ["x", "note", "source", "score", "cost", "reason"]
    pd.testing.assert_frame_equal(todo[["x", "note"]], campaign.pool.loc[todo.index])
    pd.testing.assert_frame_equal(campaign.pending(), todo)
    assert campaign.status().note == ""


def test_what_is_pending_is_not_asked_again(campaign: mf.Campaign) -> None:
    first, second = campaign.ask(3), campaign.ask(3)
    assert not pairs(first) & pairs(second)
    assert pairs(campaign.pending()) == pairs(first) | pairs(second)


def test_a_call_may_have_a_budget_of_its_own(campaign: mf.Campaign) -> None:
    assert campaign.ask(9, budget=2.5)["cost"].sum() <= 2.5
    assert campaign.ask(9, budget=0.5).empty
    assert "the cheapest open pair costs 1, and 0.5 may be spent" in campaign.status().note


def test_the_budget_ends_the_campaign(tmp_path: Path, begin: Begin) -> None:
    campaign = begin(tmp_path / "gap.db", budget=2)
    assert len(campaign.ask(5)) == 2
    assert campaign.status().note == "2 of 5: the cheapest open pair costs 1, and 0 may be spent"
    empty = campaign.ask()
    assert empty.empty
    assert empty.columns.tolist() == ["x", "note", "source", "score", "cost", "reason"]
    assert campaign.status().left == 0


def test_an_exhausted_pool_gives_an_empty_table(tmp_path: Path, begin: Begin) -> None:
    campaign = begin(tmp_path / "gap.db")
    everything = pd.concat([campaign.pool.assign(source=name, y=0.1) for name in ("cheap", "trusted")])
    campaign.tell(everything)
    todo = mf.Campaign.open(tmp_path / "gap.db").ask(2)
    assert todo.empty
    assert todo.columns.tolist() == ["x", "note", "source", "score", "cost", "reason"]
    assert "0 of 2: every pair of the pool is measured, asked or failed" in str(campaign.status())


def test_a_campaign_may_begin_with_nothing(tmp_path: Path, begin: Begin) -> None:
    campaign = begin(tmp_path / "gap.db", seen=None)
    todo = campaign.ask(2)
    assert todo["source"].tolist() == ["cheap"] * 2
    assert todo["x"].max() - todo["x"].min() > 0.3
    assert not pairs(campaign.ask(2)) & pairs(todo)
    with pytest.raises(SchemaError, match="the model of the newest round"):
        campaign.model()
    assert campaign.seen().empty


@pytest.mark.filterwarnings("ignore::mfmat.surrogate.FewRowsWarning")
def test_a_source_without_rows_is_asked_for(tmp_path: Path, begin: Begin) -> None:
    cheap = pd.DataFrame({"x": [0.0, 0.5, 1.0], "source": "cheap", "y": [0.0, 1.0, 0.5]})
    campaign = begin(tmp_path / "gap.db", seen=cheap)
    assert "trusted" in set(campaign.ask(12)["source"])
    assert campaign.status().best is None


def test_the_same_seed_and_events_ask_for_the_same(tmp_path: Path, begin: Begin, elsewhere) -> None:
    one, other = (begin(tmp_path / f"{name}.db", seed=4) for name in "ab")
    for campaign in (one, other):
        todo = campaign.ask(2)
        campaign.tell(todo.assign(y=[0.4, 0.6]))
    expected = one.ask(3)
    code = f"import mfmat as mf; print(mf.Campaign.open({str(tmp_path / 'b.db')!r}).ask(3).to_json())"
    said, errors = elsewhere(code).communicate()
    assert said.strip() == expected.to_json(), errors


# Tell.


def test_partly_late_and_in_another_order(campaign: mf.Campaign) -> None:
    todo = campaign.ask(3)
    told = campaign.tell(todo.assign(y=[np.nan, 0.5, np.nan]).iloc[::-1])
    assert (told.recorded, told.empty, told.repeated, told.unasked) == (1, 2, 0, 0)
    assert campaign.pending().index.tolist() == [todo.index[0], todo.index[2]]
    campaign.tell(todo.assign(y=0.5))
    assert campaign.pending().empty
    assert len(campaign.seen()) == 7 + 3


def test_a_table_told_twice_is_recorded_once(campaign: mf.Campaign) -> None:
    filled = campaign.ask(3).assign(y=[0.4, 0.5, 0.6])
    first, second = campaign.tell(filled), campaign.tell(filled)
    assert (first.recorded, second.recorded, second.repeated) == (3, 0, 3)
    assert len(campaign.seen()) == 7 + 3
    assert campaign.tell(filled.iloc[:1], again=True).recorded == 1


def test_different_values_of_one_material_are_replicates(campaign: mf.Campaign) -> None:
    todo = campaign.ask()
    campaign.tell(pd.concat([todo.assign(y=0.4), todo.assign(y=0.6), todo.assign(y=0.6)]))
    seen = campaign.seen()
    assert seen.loc[todo.index, "y"].tolist() == [0.4, 0.6, 0.6]
    data = campaign.schema.data(seen)
    assert int(data.counts.max()) == 3


def test_a_pick_that_nobody_asked_for_is_taken(campaign: mf.Campaign) -> None:
    told = campaign.tell(picks(campaign, [0.123, 0.2], "trusted", [0.9, 0.8]))
    assert told.unasked == 2
    assert campaign.history()["origin"].tolist() == ["human", "human"]
    assert campaign.history()["candidate"].tolist() == ['{"x": 0.123}', '"m1"']
    assert campaign.status().spent == 20
    assert campaign.status().best == 0.9
    assert (0.2, "trusted") not in pairs(campaign.ask(5))
    assert len(mf.fit(campaign.seen(), campaign.schema, campaign.recipe).data) == 9


WRONG_ROWS = {
    "infinite": ({"y": [0.5, np.inf]}, r"row 'm\d' \(number 1\), column 'y': not finite"),
    "text": ({"y": [0.5, "NaN"]}, r"row 'm\d' \(number 1\), column 'y': text where a number belongs"),
    "nothing": ({"y": [np.nan, np.nan]}, "2 rows without one value in 'y'"),
    "source": ({"y": 0.5, "source": ["cheap", "hse"]}, "column 'source': an unknown source"),
    "input": ({"y": 0.5, "x": [0.1, np.nan]}, "column 'x': a missing value"),
}


@pytest.mark.parametrize("wrong", WRONG_ROWS)
def test_a_wrong_cell_is_named_and_nothing_is_recorded(wrong: str, campaign: mf.Campaign) -> None:
    columns, says = WRONG_ROWS[wrong]
    todo = campaign.ask(2)
    before = campaign.history()
    with pytest.raises(TableError, match=says):
        campaign.tell(todo.assign(**columns))
    pd.testing.assert_frame_equal(campaign.history(), before)


def test_a_missing_column_is_named(campaign: mf.Campaign) -> None:
    with pytest.raises(TableError, match="without the column 'y'"):
        campaign.tell(campaign.ask())


def test_known_noise_is_kept(tmp_path: Path) -> None:
    schema = mf.Schema(mf.Columns("x"), value="y", noise="std")
    pool = pd.DataFrame({"x": [0.1, 0.2, 0.3]})
    campaign = mf.Campaign.create(tmp_path / "gap.db", schema, recipe=mf.GP(steps=5), pool=pool)
    campaign.tell(campaign.ask(3).assign(y=[1.0, 2.0, 3.0], std=[0.1, np.nan, 0.3]))
    assert campaign.seen()["std"].fillna(-1).tolist() == [0.1, -1.0, 0.3]
    with pytest.raises(TableError, match="a negative standard deviation"):
        campaign.tell(pool.assign(y=1.0, std=-1.0))


def test_new_levels_of_a_category_may_be_told(tmp_path: Path) -> None:
    schema = mf.Schema(mf.Columns("x", categories="phase"), value="y")
    pool = pd.DataFrame({"x": [0.1, 0.2, 0.3], "phase": ["a", "b", "a"]})
    campaign = mf.Campaign.create(tmp_path / "gap.db", schema, recipe=mf.GP(steps=5), pool=pool)
    campaign.tell(pd.DataFrame({"x": [0.1, 0.5, 0.6, 0.7], "phase": ["a", "c", "c", "a"], "y": [1.0, 2.0, 2.5, 3.0]}))
    assert set(campaign.ask(9).index) == {1, 2}


def test_whole_numbers_that_name_materials_stay_whole(tmp_path: Path) -> None:
    schema = mf.Schema(mf.Columns("x"), value="y", material="id")
    pool = pd.DataFrame({"id": [10, 11, 12, 13], "x": [0.1, 0.2, 0.3, 0.4]})
    seen = pd.DataFrame({"id": [10, 7, 8], "x": [0.1, 0.7, 0.9], "y": [1.0, 2.0, 1.5]})
    campaign = mf.Campaign.create(tmp_path / "gap.db", schema, recipe=mf.GP(steps=5), pool=pool, seen=seen)
    # Another x, as a spreadsheet rounds it: the name decides.
    assert campaign.tell(pd.DataFrame({"id": [11, 12], "x": [0.21, 0.3], "y": [1.0, 3.0]})).unasked == 2
    assert campaign.seen()["id"].tolist() == [10, 7, 8, 11, 12]
    assert campaign.seen()["x"].tolist()[-2:] == [0.2, 0.3]
    assert campaign.ask(9)["id"].tolist() == [13]


def test_labels_of_a_cheap_source_are_told_as_text(tmp_path: Path) -> None:
    costs = {"metal": 1, "gap": 10}
    schema = mf.Schema(mf.Columns("x"), value="y", source="source", costs=costs, kinds={"metal": ("no", "yes")})
    campaign = mf.Campaign.create(tmp_path / "gap.db", schema, recipe=mf.GP(), pool=pd.DataFrame({"x": [0.1, 0.2]}))
    campaign.tell(pd.DataFrame({"x": [0.1, 0.2], "source": ["metal", "gap"], "y": ["yes", 1.5]}))
    assert campaign.seen()["y"].tolist() == ["yes", 1.5]
    with pytest.raises(TableError, match="none of the classes no, yes"):
        campaign.tell(pd.DataFrame({"x": [0.1], "source": ["metal"], "y": ["maybe"]}))


# Correct, fail, withdraw.


def test_a_correction_counts_and_the_history_keeps_both(campaign: mf.Campaign) -> None:
    todo = campaign.ask()
    wrong, right = todo.assign(y=140.0), todo.assign(y=0.14)
    campaign.tell(wrong)
    assert campaign.correct(right, "in meV") == 1
    assert campaign.seen().loc[todo.index, "y"].tolist() == [0.14]
    assert campaign.history()["value"].tolist()[1:] == [140.0, 0.14]
    assert campaign.correct(right) == 0
    assert campaign.tell(wrong).recorded == campaign.tell(right).recorded == 0
    campaign.tell(todo.assign(y=0.16))
    assert campaign.seen().loc[todo.index, "y"].tolist() == [0.14, 0.16]


def test_only_what_was_told_is_corrected(campaign: mf.Campaign) -> None:
    todo = campaign.ask(2)
    campaign.tell(todo.iloc[:1].assign(y=0.5))
    with pytest.raises(TableError, match="that was never told"):
        campaign.correct(todo.assign(y=0.6))
    assert campaign.seen().loc[todo.index[0], "y"] == 0.5


def test_a_failure_is_spent_and_not_asked_again(campaign: mf.Campaign) -> None:
    todo = campaign.ask(2)
    assert campaign.fail(todo.iloc[:1], "broke") == 1
    assert campaign.fail(todo.iloc[:1], "broke") == 0
    assert campaign.status().spent == todo["cost"].sum()
    assert campaign.history()["why"].iloc[-1] == "broke"
    assert pairs(campaign.pending()) == pairs(todo.iloc[1:])
    assert not pairs(todo) & pairs(campaign.ask(9))
    campaign.tell(todo.iloc[1:].assign(y=0.5))
    with pytest.raises(TableError, match="that has a value"):
        campaign.fail(todo.iloc[1:])


def test_what_is_withdrawn_goes_back_to_the_pool_and_the_budget(campaign: mf.Campaign) -> None:
    todo = campaign.ask(2)
    assert campaign.withdraw(todo) == 2
    assert campaign.withdraw(todo) == 0
    assert campaign.status().spent == 0
    assert campaign.pending().empty
    assert pairs(campaign.ask(2)) == pairs(todo)
    with pytest.raises(TableError, match="that is not pending"):
        campaign.withdraw(picks(campaign, [0.85], "trusted", [0]))


def test_failures_are_learned_from(tmp_path: Path, begin: Begin) -> None:
    pool = pd.DataFrame({"x": np.linspace(0, 1, 21)})
    campaign = begin(tmp_path / "gap.db", pool=pool)
    low, high = pool.iloc[:4].assign(source="cheap"), pool.iloc[-4:].assign(source="cheap")
    campaign.fail(high)
    campaign.tell(low.assign(y=0.3))
    chance = look(campaign._journal, campaign._records, None).chance
    assert chance is not None
    assert chance.iloc[0] > 0.6 > 0.4 > chance.iloc[-1]
    todo = campaign.ask(2)
    assert campaign.history()["chance"].tolist()[-2:] == [chance[place] for place in todo.index]
    assert todo["reason"].str.contains("gives a value with a probability of").all()


def test_what_is_likely_to_fail_comes_last(campaign: mf.Campaign, monkeypatch: pytest.MonkeyPatch) -> None:
    first = campaign.ask()
    campaign.withdraw(first)
    chance = pd.Series(1.0, index=campaign.pool.index)
    chance[first.index] = 1e-9
    monkeypatch.setattr(asking, "learn_chance", lambda *_: chance)
    assert first.index[0] not in campaign.ask(3).index


# What is kept.


def test_the_model_of_each_round_is_kept(campaign: mf.Campaign) -> None:
    campaign.tell(campaign.ask(2).assign(y=0.5))
    campaign.ask()
    campaign.ask()
    first, second, third = (campaign.model(number).predict(campaign.pool) for number in (1, 2, 3))
    assert not first.equals(second)
    pd.testing.assert_frame_equal(second, third)
    pd.testing.assert_frame_equal(campaign.model().predict(campaign.pool), third)
    with pytest.raises(SchemaError, match="the model of round 9"):
        campaign.model(9)


def test_an_export_is_restored_equal(url: str, begin: Begin, tmp_path: Path) -> None:
    campaign = begin(url, budget=25)
    todo = campaign.ask(4)
    campaign.tell(todo.iloc[:2].assign(y=[0.1 + 0.2, 1e-17]))
    campaign.fail(todo.iloc[2:3], "broke")
    folder = campaign.export(tmp_path / "export")
    restored = mf.Campaign.restore(folder, tmp_path / "restored.db")
    for name in ("seen", "pending", "history"):
        pd.testing.assert_frame_equal(getattr(restored, name)(), getattr(campaign, name)())
    pd.testing.assert_frame_equal(restored.pool, campaign.pool)
    assert restored.status() == campaign.status()
    pd.testing.assert_frame_equal(restored.model(1).predict(restored.pool), campaign.model(1).predict(campaign.pool))
    pd.testing.assert_frame_equal(restored.ask(2), campaign.ask(2))
    assert read_csv(folder / "seen.csv")["y"].tolist()[-2:] == [0.1 + 0.2, 1e-17]


def test_an_export_that_was_altered_is_refused(campaign: mf.Campaign, tmp_path: Path) -> None:
    folder = campaign.export(tmp_path / "export")
    with pytest.raises(CampaignError, match="which exists"):
        campaign.export(folder)
    file = folder / "campaign.json"
    file.write_text(file.read_text().replace("0.55", "0.56"))
    with pytest.raises(SavedFileError, match="which was altered"):
        mf.Campaign.restore(folder, tmp_path / "new.db")
    with pytest.raises(SavedFileError, match="without a readable"):
        mf.Campaign.restore(tmp_path, tmp_path / "new.db")


@pytest.mark.parametrize("zone", ["Pacific/Kiritimati", "America/Adak"])
def test_times_are_in_utc_whatever_the_zone_of_the_machine(
    zone: str, campaign: mf.Campaign, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = datetime.now(UTC)
    monkeypatch.setenv("TZ", zone)
    time.tzset()
    campaign.ask()
    assert abs(datetime.now() - datetime.now(UTC).replace(tzinfo=None)) > timedelta(hours=5)
    monkeypatch.undo()
    time.tzset()
    (said,) = campaign.history()["time"]
    assert said.endswith("+00:00")
    assert before - timedelta(seconds=1) < datetime.fromisoformat(said) < datetime.now(UTC) + timedelta(seconds=1)


def test_a_pool_comes_from_a_file_or_in_chunks(tmp_path: Path, begin: Begin, campaign: mf.Campaign) -> None:
    pool = campaign.pool.reset_index(drop=True)
    pool.to_csv(tmp_path / "pool.csv", index=False)
    chunks = (pool[start : start + 2].reset_index(drop=True) for start in range(0, 6, 2))
    for i, source in enumerate([tmp_path / "pool.csv", str(tmp_path / "pool.csv"), chunks]):
        made = begin(tmp_path / f"{i}.db", pool=source)
        pd.testing.assert_frame_equal(made.pool, pool, check_index_type=False)
    with pytest.raises(TableError, match="an empty pool"):
        begin(tmp_path / "none.db", pool=iter(()))


def test_what_others_draw_is_left_alone(tmp_path: Path, begin: Begin) -> None:
    def states() -> tuple[list[int], list[int]]:
        return np.random.get_state()[1].tolist(), torch.get_rng_state().tolist()  # noqa: NPY002 (what others draw from)

    before = states()
    campaign = begin(tmp_path / "gap.db", temperature=0.5, recipe=mf.Auto())
    campaign.tell(campaign.ask(2).assign(y=0.5))
    campaign.ask()
    campaign.calibration()
    assert states() == before
