"""The course of a campaign: everything paid for, once, with what came of it and what had been expected."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.stats import binom, norm

import mfmat as mf
from mfmat.course import judge_rounds

PEAK = {f"m{i}": value for i, value in enumerate([0.2, 0.4, 0.9, 1.3, 0.8, 0.1])}


def measure(todo: pd.DataFrame) -> pd.DataFrame:
    """The asked table, filled in: the cheap source reads 0.2 less."""
    return todo.assign(y=[PEAK[m] - 0.2 * (s == "cheap") for m, s in zip(todo.index, todo["source"], strict=True)])


def pair(campaign: mf.Campaign, label: str, source: str = "trusted", **cells: Any) -> pd.DataFrame:
    """One row of the pool, as a person would write it."""
    return campaign.pool.loc[[label]].assign(source=source, **cells)


@pytest.fixture
def eventful(begin: Callable, tmp_path: Any) -> mf.Campaign:
    """All that can happen: values, a failure, a withdrawal, one unasked, one measured twice and then corrected."""
    campaign = begin(tmp_path / "gap.db", budget=120)
    campaign.tell(measure(campaign.ask(3)))
    todo = campaign.ask(3)
    campaign.fail(todo.iloc[:1], "broke")
    campaign.withdraw(todo.iloc[1:2])
    campaign.tell(measure(todo.iloc[2:]))
    for value in (2.0, 1.8):
        campaign.tell(pair(campaign, "m3", y=value))
    campaign.correct(pair(campaign, "m3", y=1.5), "wrong unit")
    campaign.ask(2)
    return campaign


def test_it_adds_up_to_the_status(eventful: mf.Campaign) -> None:
    course, status = eventful.course(), eventful.status()
    assert course["cost"].sum() == pytest.approx(status.spent)
    assert course["spent"].iloc[-1] == pytest.approx(status.spent)
    assert course["best"].iloc[-1] == pytest.approx(status.best)
    for source, counts in status.sources.items():
        states = course.loc[course["source"] == source, "state"].value_counts()
        assert states.get("told", 0) == counts.told
        assert states.get("failed", 0) == counts.failed
        assert states.get("pending", 0) == counts.pending
    assert course["state"].iloc[0] == "start"
    assert (course["state"].iloc[-counts_pending(status) :] == "pending").all()


def counts_pending(status: Any) -> int:
    return sum(counts.pending for counts in status.sources.values())


def test_the_best_so_far_by_hand(eventful: mf.Campaign) -> None:
    """Each material's mean of what counts now, told by then."""
    course, best = eventful.course(), []
    # The start table measured x = 0.1, 0.5 and 0.9 in the target.
    known: dict[str, list[float]] = {"start": [0.6]}
    for _, row in course.iterrows():
        if row["source"] == "trusted" and pd.notna(row["value"]):
            known.setdefault(row["candidate"], []).append(row["value"])
        best.append(max(float(np.mean(values)) for values in known.values()))
    np.testing.assert_allclose(course["best"], best)


def test_a_correction_stands_where_the_value_was_paid_for(eventful: mf.Campaign) -> None:
    course = eventful.course()
    mine = course[(course["candidate"] == '"m3"') & (course["source"] == "trusted")]
    assert mine["state"].tolist()[-2:] == ["replaced", "told"]
    assert mine["value"].iloc[-1] == 1.5
    assert np.isnan(mine["value"].iloc[-2])
    assert mine["why"].iloc[-1] == "wrong unit"
    assert course.loc[course["state"] == "failed", "why"].tolist() == ["broke"]


def test_what_was_expected_is_what_the_model_of_the_round_says(eventful: mf.Campaign) -> None:
    course = eventful.course(level=0.8)
    asked = course[course["round"].notna()]
    assert len(asked) > 5
    for number, rows in asked.groupby("round"):
        labels = rows["candidate"].str.strip('"')
        said = eventful.model(int(number)).predict(eventful.pool.loc[labels], level=0.8)
        np.testing.assert_allclose(rows[list(said.columns)], said, rtol=1e-6)
    judged = course[course["inside"].notna()]
    assert (judged["source"] == "trusted").all()
    assert (judged["inside"].astype(bool) == judged["value"].between(judged["lower"], judged["upper"])).all()
    unasked = course[course["round"].isna() & (course["state"] == "told")]
    assert len(unasked) == 1
    assert unasked["inside"].isna().all()


def test_reasons_and_scores_are_those_of_the_ask(eventful: mf.Campaign) -> None:
    course, history = eventful.course(), eventful.history()
    asks = history[history["kind"] == "asked"].set_index(["candidate", "source", "round"])
    for _, row in course[course["round"].notna()].iterrows():
        ask = asks.loc[(row["candidate"], row["source"], row["round"])]
        assert (row["reason"], row["score"], row["cost"]) == (ask["reason"], ask["score"], ask["cost"])


def test_the_lowest_is_the_best_where_small_values_are_wanted(begin: Callable, tmp_path: Any) -> None:
    campaign = begin(tmp_path / "gap.db", goal="min")
    campaign.tell(pair(campaign, "m5", y=-3.0))
    assert campaign.course()["best"].tolist() == [0.2, -3.0]


def test_nothing_is_the_best_where_the_goal_is_to_learn(begin: Callable, tmp_path: Any) -> None:
    campaign = begin(tmp_path / "gap.db", goal="learn")
    campaign.tell(measure(campaign.ask(2)))
    assert campaign.course()["best"].isna().all()


def test_without_a_model_nothing_was_expected(begin: Callable, tmp_path: Any) -> None:
    campaign = begin(tmp_path / "gap.db", seen=None)
    assert campaign.course()["state"].tolist() == ["start"]
    campaign.tell(measure(campaign.ask(2)))
    course = campaign.course()
    assert course[["median", "best"]].isna().all(axis=None)
    assert course["cost"].tolist() == [0.0, 1.0, 1.0]


def test_a_level_that_a_model_cannot_promise_has_no_ends(begin: Callable, tmp_path: Any) -> None:
    x = np.linspace(0, 1, 14)
    seen = pd.concat([pd.DataFrame({"x": x, "source": name, "y": x**2}) for name in ("cheap", "trusted")])
    campaign = begin(tmp_path / "gap.db", seen=seen, recipe=mf.Conformal(mf.TargetOnly(mf.GP(steps=5)), folds=2))
    campaign.ask(1)
    assert campaign.course(0.8)[["lower", "upper"]].iloc[-1].notna().all()
    course = campaign.course(0.99)
    assert course[["lower", "upper"]].isna().all(axis=None)
    assert course["median"].notna().iloc[-1]


def test_calibration_by_hand(begin: Callable, tmp_path: Any) -> None:
    """Round by round, from what the models of the rounds say and what was told; a correction counts in its place."""
    campaign = begin(tmp_path / "gap.db")
    while len(todo := campaign.ask(3)):
        campaign.tell(measure(todo))
    campaign.correct(pair(campaign, "m4", y=5.0), "wrong unit")
    found, course, history = campaign.calibration(0.8), campaign.course(0.8), campaign.history()
    counts = (history["kind"] == "told") & (history["source"] == "trusted")
    assert counts.sum() == len(PEAK)
    told, held, rounds = 0, 0, 0
    for number, rows in history[counts].groupby("round"):
        said = campaign.model(int(number)).predict(campaign.pool.loc[rows["candidate"].str.strip('"')], level=0.8)
        y = rows["value"].astype(float).mask(rows["candidate"] == '"m4"', 5.0).to_numpy()
        inside = (said["lower"] <= y) & (y <= said["upper"])
        z = (y - said["mean"]) / said["std"]
        row = found.loc[int(number)]
        told, held, rounds = told + len(rows), held + int(inside.sum()), rounds + 1
        assert (row["told"], row["held"], row["all_told"], row["all_held"]) == (len(rows), inside.sum(), told, held)
        assert (row["error"], row["spread"]) == pytest.approx((z.mean(), np.sqrt((z**2).mean())), rel=1e-6)
        tails = [binom.ppf(tail, told, 0.8) / told for tail in (0.025, 0.975)]
        assert (row["share"], row["low"], row["high"]) == pytest.approx((held / told, *tails))
    assert rounds == len(found) > 1
    assert found["all_told"].iloc[-1] == course["inside"].notna().sum()


def test_what_was_never_predicted_has_no_calibration(begin: Callable, tmp_path: Any) -> None:
    campaign = begin(tmp_path / "gap.db", seen=None)
    assert campaign.calibration().empty
    campaign.tell(measure(campaign.ask(2)))
    assert campaign.calibration().empty
    assert list(campaign.calibration().columns) == list(judge_rounds(campaign.course(), 0.9).columns)


def test_honest_predictions_stay_in_the_band_and_others_do_not() -> None:
    """300 campaigns of 12 rounds of 4: what is promised of the band at one round, by simulation."""
    rng = np.random.default_rng(0)
    reach, rounds = norm.ppf(0.95), np.repeat(np.arange(1, 13), 4)

    def judged(size: float, shift: float = 0.0) -> pd.DataFrame:
        value = shift + size * rng.standard_normal(len(rounds))
        course = pd.DataFrame({"round": rounds, "value": value, "mean": 0.0, "std": 1.0, "inside": abs(value) <= reach})
        return judge_rounds(course, 0.9)

    honest = pd.concat([judged(1.0).assign(run=run) for run in range(300)])
    out = (honest["promise"] != "as").groupby(level=0).mean()
    # The binomial is discrete, so that chance leaves the band at most that often.
    assert (out <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / 300)).all()
    assert out.max() > 0.01
    assert honest["error"].mean() == pytest.approx(0, abs=4 / np.sqrt(300 * 48))
    assert (honest["spread"] ** 2).mean() == pytest.approx(1, abs=4 * np.sqrt(2 / (300 * 48)))
    assert {judged(2.0)["promise"].iloc[-1] for _ in range(20)} == {"less"}
    assert {judged(0.2)["promise"].iloc[-1] for _ in range(20)} == {"more"}
    assert np.mean([judged(1.0, shift=2.0)["error"].mean() for _ in range(20)]) == pytest.approx(2, abs=0.2)
