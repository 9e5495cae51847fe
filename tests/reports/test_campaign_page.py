"""The page of a campaign says what the campaign says, escapes what users wrote, and asks for nothing."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.stats import binom
from typer.testing import CliRunner

import mfmat as mf
from mfmat import cli
from mfmat.errors import SchemaError
from mfmat.stopping import LowScore

POOL = pd.DataFrame({"x": [0.1, 0.3, 0.5, 0.7]}, index=list("abcd"))
SCHEMA = mf.Schema(mf.Columns("x"), value="y")


def plain(tmp_path: Path, **options: Any) -> mf.Campaign:
    """A campaign of one source over four candidates."""
    seen = pd.DataFrame({"x": [0.0, 0.4, 1.0], "y": [0.1, 0.7, 0.3]})
    return mf.Campaign.create(
        tmp_path / "y.db", **{"schema": SCHEMA, "recipe": mf.GP(steps=5), "pool": POOL, "seen": seen, **options}
    )


def test_every_section_is_there(search_page: Path, read: Callable) -> None:
    said = read(search_page)
    headings = [attributes["id"] for tag, attributes in said.tags if tag == "section"]
    assert headings == ["verdict", "progress", "next", "predictions", "money", "trust", "history", "provenance"]
    assert {attributes["href"] for tag, attributes in said.tags if tag == "a"} == {
        "#main",
        *(f"#{name}" for name in headings[1:]),
    }


def test_the_tiles_equal_the_api(search_page: Path, read: Callable, search: mf.Campaign) -> None:
    said, status, course = read(search_page), search.status(), search.course()
    assert said.numbers["tile-best"] == status.best
    assert said.numbers["tile-spent"] == status.spent
    assert said.numbers["tile-told"] == sum(counts.told for counts in status.sources.values())
    assert said.numbers["tile-pending"] == len(search.pending())
    assert said.numbers["tile-coverage"] == course["inside"].dropna().astype(float).mean()


def test_the_verdict_in_words(search_page: Path, read: Callable, search: mf.Campaign) -> None:
    said, status, course = read(search_page), search.status(), search.course()
    text = " ".join(said.text.split())
    assert "looks for the highest y at the level of <b>trusted</b> among 30 candidates" in text
    first = course[course["best"] == course["best"].iloc[-1]].iloc[0]
    best = search.pool.loc[int(first["candidate"]), "film"]
    assert f"The best so far is {best} with {status.best:.3g} eV" in text
    assert f"found in round {first['round']} once {first['spent']:g} was spent" in text
    assert f"{status.spent:g} is spent on {len(course) - 1} measurements, 1 of which failed; {status.left:g} is" in text
    pending = search.pending()
    names = [f"{film} ({source})" for film, source in zip(pending["film"], pending["source"], strict=True)]
    assert f"2 are pending: {' and '.join(names)}." in text
    judged = course["inside"].dropna().astype(bool)
    low, high = (binom.ppf(tail, len(judged), 0.9) for tail in (0.025, 0.975))
    word = "less often than" if judged.sum() < low else "more often than" if judged.sum() > high else "as often as"
    assert f"{judged.sum()} of {len(judged)} <b>trusted</b> values that were asked for lay inside" in text
    assert f"predicted for them: {word} promised" in text


def test_calibration_over_rounds_equals_the_api(search_page: Path, read: Callable, search: mf.Campaign) -> None:
    said, found = read(search_page), search.calibration()
    assert len(found) > 1
    names = {"told": "told", "inside": "held", "mean error": "error", "root mean square": "spread"}
    names |= {"told so far": "all_told", "inside so far": "all_held", "share so far": "share", "honest ones": "low"}
    for title, name in names.items():
        assert [value for _, value in said.column("rounds-table", title)] == found[name].tolist(), title
    assert [value for _, value in said.column("rounds-table", "round")] == found.index.tolist()
    shown = [text.replace("yes", "as") for text, _ in said.column("rounds-table", "as promised")]
    assert shown == found["promise"].tolist()
    for number, row in found.iterrows():
        (point,) = [title for title in said.titles if title.startswith(f"up to round {number},")]
        assert f"{row['all_held']} of {row['all_told']} held" in point
        assert point.endswith(f"in this round {row['held']} of {row['told']}")
    course = search.course()
    judged = course[course["inside"].notna()]
    z = ((judged["value"] - judged["mean"]) / judged["std"]).tolist()
    told = [float(t.split("standardised error ")[1].replace("−", "-")) for t in said.titles if "standardised" in t]
    assert told == pytest.approx(z, abs=0.006)


def test_drifting_away_is_told(tmp_path: Path, read: Callable) -> None:
    campaign = plain(tmp_path)
    for shift in (0.0, 50.0, 5e3, 5e5):
        todo = campaign.ask(1)
        said = campaign.model().predict(todo[["x"]])["median"].iloc[0]
        campaign.tell(todo.assign(y=said + shift))
    found = campaign.calibration()
    assert found["promise"].tolist() == ["as", "as", "as", "less"]
    text = read(mf.report(campaign, tmp_path / "page.html")).text
    assert "1 of 4 y values that were asked for lay inside the 90% interval predicted for them: less often than" in text
    assert "promised, since the last round that was told." in text
    size = np.sqrt((found["spread"] ** 2).mean())
    (told,) = re.findall(r"errors were (\S+) times as large as stated", text)
    assert float(told) == pytest.approx(size, rel=0.05)
    assert "less certain than it says" in text


def test_the_worth_of_a_source_is_that_of_diagnose(search_page: Path, read: Callable, search: mf.Campaign) -> None:
    said, found = read(search_page), search.diagnose().loc["cheap"]
    ((_, gain),) = said.column("worth-table", "error it takes away")
    (shown,) = said.column("worth-table", "worth up to")
    worth = found["break_even"] * 10
    assert gain == pytest.approx(found["gain"])
    assert shown == ("any price", None) if np.isinf(worth) else shown[1] == pytest.approx(worth)
    assert ("cheap earns its price" in said.text) is (found["verdict"] != "drop" and worth > 1)


def test_points_tell_every_measurement(search_page: Path, read: Callable, search: mf.Campaign) -> None:
    told = [title for title in read(search_page).titles if "by then" in title]
    course = search.course().iloc[1:]
    films = [search.pool.loc[int(candidate), "film"] for candidate in course["candidate"]]
    for film, source, spent in zip(films, course["source"], course["spent"], strict=True):
        assert any(t.startswith(f"{film}: {source} ") and t.endswith(f"{spent:g} by then") for t in told)


def test_what_is_pending_has_its_reason(search_page: Path, read: Callable, search: mf.Campaign) -> None:
    said, pending, course = read(search_page), search.pending(), search.course()
    assert [text for text, _ in said.column("asked-table", "material")] == pending["film"].tolist()
    assert [text for text, _ in said.column("asked-table", "reason")] == pending["reason"].tolist()
    assert [value for _, value in said.column("asked-table", "worth per price")] == pending["score"].tolist()
    medians = [value for _, value in said.column("asked-table", "<b>trusted</b> predicted (90%)")]
    assert medians == course.loc[course["state"] == "pending", "median"].tolist()


def test_money_adds_up(search_page: Path, read: Callable, search: mf.Campaign) -> None:
    said, status = read(search_page), search.status()
    assert sum(value for _, value in said.column("money-table", "spent")) == pytest.approx(status.spent)
    for name in ("told", "failed", "pending"):
        shown = [value for _, value in said.column("money-table", name)]
        assert shown == [getattr(counts, name) for counts in status.sources.values()]


def test_the_history_is_all_of_it(search_page: Path, read: Callable, search: mf.Campaign) -> None:
    said, history = read(search_page), search.history().iloc[::-1]
    assert [value for _, value in said.column("history-table", "time (UTC)")] == history.index.tolist()
    assert [text for text, _ in said.column("history-table", "what")] == history["kind"].tolist()
    values = [np.nan if value is None else value for _, value in said.column("history-table", "value")]
    np.testing.assert_array_equal(values, history["value"].astype(float))
    why = dict(zip(history["kind"], [text for text, _ in said.column("history-table", "why")], strict=True))
    assert why["failed"] == "<i>burnt</i>"
    assert why["withdrawn"] == "no time"
    assert why["corrected"] == "wrong sample"
    unasked = [text for text, _ in said.column("history-table", "why")][-2:]
    assert unasked == ["not asked for", "not asked for"]


def test_doubts_are_told(search_page: Path, read: Callable) -> None:
    text = read(search_page).text
    assert "2 <b>trusted</b> values told had no prediction to compare with" in text
    assert "1 measurement failed" in text
    assert "1 value was corrected" in text
    assert "where it hopes for much" in text


def test_names_like_scripts_are_text(search_page: Path, read: Callable) -> None:
    text, said = search_page.read_text(encoding="utf-8"), read(search_page)
    assert [tag for tag, _ in said.tags].count("script") == 1
    assert not {tag for tag, _ in said.tags} & {"b", "i"}
    assert "<script>alert(1)</script>" not in text
    assert "<script>alert(1)</script>" in [name for name, _ in said.column("history-table", "material")]


def test_the_page_asks_for_nothing(search_page: Path, read: Callable) -> None:
    text, said = search_page.read_text(encoding="utf-8"), read(search_page)
    asked = [value for _, attributes in said.tags for name in ("src", "href") if (value := attributes.get(name))]
    assert all(value.startswith("#") or value == "data:," for value in asked)
    assert not re.search(r"@import|url\((?!#)|https?://", text)
    assert search_page.stat().st_size < 200_000


def test_a_campaign_that_has_not_begun(tmp_path: Path, read: Callable) -> None:
    said = read(mf.report(plain(tmp_path), tmp_path / "page.html"))
    assert "The best so far is 0.4 with 0.700, known from the start." in said.text
    assert "Nothing is spent; there is no limit." in said.text
    assert "Nothing was asked for yet" in said.text
    assert "history-table" not in said.tables


def test_a_campaign_that_knows_nothing(tmp_path: Path, read: Callable) -> None:
    campaign = plain(tmp_path, seen=None, budget=3)
    campaign.ask(1)
    said = read(mf.report(campaign, tmp_path / "page.html"))
    assert "No value of y is known yet." in said.text
    assert "1 is spent on 1 measurement; 2 is left." in said.text
    assert said.column("asked-table", "came out") == [("pending", None)]
    assert [text for text, _ in said.column("asked-table", "reason")] == campaign.pending()["reason"].tolist()


@pytest.mark.parametrize("prices", [{"hours": 2.0}, {"hours": 2.0, "money": 5.0}])
def test_prices_in_units_are_told_in_them(tmp_path: Path, read: Callable, prices: dict) -> None:
    budget = {unit: 10 * price for unit, price in prices.items()}
    campaign = plain(tmp_path, schema=mf.Schema(mf.Columns("x"), value="y", costs={"y": prices}), budget=budget)
    campaign.tell(campaign.ask(1).assign(y=0.5))
    said = read(mf.report(campaign, tmp_path / "page.html"))
    paid = ", ".join(f"{price:g} {unit}" for unit, price in prices.items())
    assert [text for text, _ in said.column("history-table", "price")] == [paid, paid]


def test_a_rule_that_ends_it_is_told(tmp_path: Path, read: Callable) -> None:
    campaign = plain(tmp_path, stop=[LowScore(1e9)])
    assert campaign.ask(1).empty
    said = read(mf.report(campaign, tmp_path / "page.html"))
    assert f"The last ask said: {campaign.status().note}." in said.text


def test_to_learn_shows_the_error_expected(tmp_path: Path, read: Callable) -> None:
    campaign = plain(tmp_path, goal="learn")
    for _ in range(2):
        todo = campaign.ask(1)
        campaign.tell(todo.assign(y=np.sin(5 * todo["x"])))
    said = read(mf.report(campaign, tmp_path / "page.html"))
    stds = [float(campaign.model(k).predict(POOL)["std"].mean()) for k in (1, 2)]
    assert said.numbers["tile-std"] == pytest.approx(stds[1], rel=1e-6)
    found = [title for title in said.titles if "expected error" in title]
    assert len(found) == 2
    assert f"expected error {stds[0]:.3g}" in found[0]
    assert found[1].startswith("after 1: ")
    off = (campaign.course()["value"] - campaign.course()["median"]).abs().dropna()
    assert [float(t.split("off by ")[1]) for t in said.titles if "off by" in t] == pytest.approx(off, rel=5e-3)


def test_options_of_a_surrogate_are_refused(search: mf.Campaign, tmp_path: Path) -> None:
    with pytest.raises(SchemaError, match="pool= in the report of a Campaign"):
        mf.report(search, tmp_path / "page.html", pool=search.pool)


def test_a_level_goes_through(search: mf.Campaign, tmp_path: Path, read: Callable) -> None:
    said = read(mf.report(search, tmp_path / "page.html", level=0.5))
    assert said.numbers["tile-coverage"] == search.course(0.5)["inside"].dropna().astype(float).mean()
    assert "of 50% intervals held" in said.text


def test_from_the_shell(tmp_path: Path) -> None:
    plain(tmp_path).ask(1)
    out = tmp_path / "page.html"
    done = CliRunner().invoke(cli.app, ["campaign", "report", str(tmp_path / "y.db"), "-o", str(out)])
    assert done.exit_code == 0, done.output
    assert out.read_text(encoding="utf-8").startswith("<!doctype html>")
