"""Corrections of replicates, and of what was known from the start."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

import mfmat as mf
from mfmat.errors import TableError

Begin = Callable[..., mf.Campaign]


def pair(campaign: mf.Campaign, label: str, values: list[float], **cells: object) -> pd.DataFrame:
    """As many rows of one pair of the pool as there are values."""
    return campaign.pool.loc[[label] * len(values)].assign(source="trusted", y=values, **cells)


def values(campaign: mf.Campaign, label: str = "m3") -> list[float]:
    seen = campaign.seen()
    return seen.loc[seen.index == label, "y"].tolist()


# Replicates.


@pytest.fixture
def replicated(campaign: mf.Campaign) -> mf.Campaign:
    """A pair that was measured twice, by nobody's ask."""
    campaign.tell(pair(campaign, "m3", [200.0, 180.0]))
    return campaign


def test_replicates_are_corrected_together(replicated: mf.Campaign) -> None:
    right = pair(replicated, "m3", [0.2, 0.18])
    assert replicated.correct(right, "in meV") == 2
    assert values(replicated) == [0.2, 0.18]
    assert replicated.correct(right) == replicated.correct(right.iloc[::-1]) == 0
    assert values(replicated) == [0.2, 0.18]
    assert replicated.status().sources["trusted"].told == 2
    assert replicated.status().spent == 20
    assert replicated.history()["value"].tolist() == [200.0, 180.0, 0.2, 0.18]


def test_one_for_two_and_two_again(replicated: mf.Campaign) -> None:
    assert replicated.correct(pair(replicated, "m3", [0.2])) == 1
    assert values(replicated) == [0.2]
    assert replicated.correct(pair(replicated, "m3", [0.2, 0.2])) == 2
    assert values(replicated) == [0.2, 0.2]


def test_more_values_than_were_measured_are_refused(replicated: mf.Campaign) -> None:
    with pytest.raises(TableError, match="with more values than it was measured"):
        replicated.correct(pair(replicated, "m3", [0.2, 0.18, 0.19]))
    assert values(replicated) == [200.0, 180.0]


def test_each_replicate_stands_where_it_was_paid_for(replicated: mf.Campaign) -> None:
    replicated.correct(pair(replicated, "m3", [0.2, 0.9]))
    course = replicated.course()
    assert course["state"].tolist() == ["start", "told", "told"]
    assert course["value"].tolist()[1:] == [0.2, 0.9]
    assert course["best"].tolist() == pytest.approx([0.6, 0.6, 0.6])
    replicated.correct(pair(replicated, "m3", [0.9]))
    assert replicated.course()["state"].tolist() == ["start", "replaced", "told"]
    assert replicated.course()["best"].iloc[-1] == replicated.status().best == pytest.approx(0.9)


def test_each_replicate_pays_its_own_bill(tmp_path: Path, begin: Begin) -> None:
    campaign = begin(tmp_path / "gap.db", prices="learned")
    campaign.tell(pair(campaign, "m3", [0.2, 0.3], duration=[2.0, 4.0]))
    assert campaign.status().spent == pytest.approx(6.0)
    campaign.correct(pair(campaign, "m3", [0.25, 0.35], duration=[3.0, 5.0]))
    assert campaign.status().spent == pytest.approx(8.0)
    assert campaign.course()["cost"].tolist() == pytest.approx([0.0, 3.0, 5.0])
    campaign.correct(pair(campaign, "m3", [0.3], duration=[7.0]))
    assert campaign.status().spent == pytest.approx(10.0)


# The start.


def started(campaign: mf.Campaign, places: list[int], y: list[float]) -> pd.DataFrame:
    """Rows of the start table with other values."""
    return campaign.seen().iloc[places].assign(y=y)


def test_a_value_of_the_start_is_corrected(campaign: mf.Campaign) -> None:
    before = campaign.seen()
    wrong = started(campaign, [5], [0.06])
    assert campaign.correct(wrong, "typo") == 1
    after = campaign.seen()
    assert sorted(after["y"]) == sorted([*before["y"].drop(before.index[5]), 0.06])
    assert len(campaign.probabilities()) == len(after)
    assert campaign.status().best == pytest.approx(0.5)
    assert campaign.status().spent == 0
    assert campaign.status().sources["trusted"].told == 0
    course = campaign.course()
    assert course["state"].tolist() == ["start"]
    assert course["best"].tolist() == pytest.approx([0.5])
    assert campaign.correct(wrong) == 0
    assert campaign.correct(wrong.assign(y=0.07)) == 1
    assert len(campaign.seen()) == len(before)


def test_the_model_is_fitted_to_the_corrected_start(tmp_path: Path, begin: Begin) -> None:
    campaign = begin(tmp_path / "gap.db")
    campaign.correct(started(campaign, [4, 6], [5.2, 5.5]))
    campaign.ask()
    reopened = mf.Campaign.open(tmp_path / "gap.db")
    pd.testing.assert_frame_equal(reopened.seen(), campaign.seen())
    at = pd.DataFrame({"x": [0.1, 0.9]})
    assert (reopened.model().predict(at)["mean"] > 3).all()
    assert campaign.calibration().empty
    mf.report(campaign, tmp_path / "page.html")
    campaign.export(tmp_path / "kept")


def test_what_the_start_says_already_is_no_correction(campaign: mf.Campaign) -> None:
    assert campaign.correct(campaign.seen().iloc[[0, 5]]) == 0
    assert len(campaign.history()) == 0


def test_start_and_told_values_of_a_pair_are_corrected_together(
    tmp_path: Path, begin: Begin, campaign: mf.Campaign
) -> None:
    seen = pd.concat([campaign.seen(), pair(campaign, "m3", [1.0]).drop(columns="note")])
    both = begin(tmp_path / "both.db", seen=seen, budget=100)
    both.tell(pair(both, "m3", [2.0]))
    assert both.correct(pair(both, "m3", [0.1, 0.2])) == 2
    assert values(both) == [0.1, 0.2]
    assert both.status().sources["trusted"].told == 1
    assert both.course()["value"].tolist()[1:] == [0.2]
    with pytest.raises(TableError, match="more values"):
        both.correct(pair(both, "m3", [0.1, 0.2, 0.3]))


def test_a_pair_that_nobody_measured_is_refused_beside_one_of_the_start(campaign: mf.Campaign) -> None:
    table = pd.concat([started(campaign, [5], [0.06]), pair(campaign, "m3", [1.0])])
    with pytest.raises(TableError, match="that was never told"):
        campaign.correct(table)
    assert len(campaign.history()) == 0
