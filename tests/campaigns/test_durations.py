"""What measurements took is read off the tables that were told, and says what the next one will take."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import mfmat as mf
from mfmat.durations import summarise
from mfmat.errors import TableError

Begin = Callable[..., mf.Campaign]


def test_the_interval_holds_as_often_as_it_says_however_few() -> None:
    rng = np.random.default_rng(0)
    for n in (2, 5, 20):
        draws = np.exp(1.0 + 0.5 * rng.normal(size=(1000, n + 1)))
        fits = summarise({str(i): row[:-1] for i, row in enumerate(draws)})
        inside = (fits["lower"].to_numpy() < draws[:, -1]) & (draws[:, -1] < fits["upper"].to_numpy())
        assert abs(inside.mean() - 0.9) < 0.03


def test_median_and_mean_are_those_of_the_distribution() -> None:
    draws = np.exp(1.0 + 0.5 * np.random.default_rng(0).normal(size=20000))
    fit = summarise({"exp": draws}).loc["exp"]
    assert fit["median"] == pytest.approx(np.e, rel=0.02)
    assert fit["mean"] == pytest.approx(np.exp(1.125), rel=0.02)


def test_durations_are_taken_from_values_and_failures(campaign: mf.Campaign) -> None:
    todo = campaign.ask(3, budget=3.0).assign(duration=[2.0, np.nan, 8.0])
    campaign.tell(todo.iloc[:2].assign(y=0.5))
    campaign.fail(todo.iloc[2:], "burst")
    costs = campaign.costs()
    assert costs["n"].to_dict() == {"cheap": 2, "trusted": 0}
    assert costs.loc["cheap", "median"] == pytest.approx(4.0)
    assert costs.loc["trusted"].drop("n").isna().all()
    assert "duration" in campaign.seen()


def test_a_correction_replaces_the_duration_too(campaign: mf.Campaign) -> None:
    todo = campaign.ask().assign(y=0.5, duration=2.0)
    campaign.tell(todo)
    campaign.correct(todo.assign(y=0.4, duration=3.0))
    assert campaign.costs().loc["cheap", ["n", "median"]].tolist() == pytest.approx([1, 3.0])


def test_a_duration_that_is_none_is_refused(campaign: mf.Campaign) -> None:
    todo = campaign.ask()
    for wrong, says in ((0.0, "no time at all"), (-1.0, "no time at all"), ("long", "text where a number belongs")):
        with pytest.raises(TableError, match=f"column 'duration': {says}"):
            campaign.tell(todo.assign(y=0.5, duration=wrong))
    assert len(campaign.pending()) == 1


def test_a_pool_may_have_a_column_of_that_name(tmp_path: Path, begin: Begin, campaign: mf.Campaign) -> None:
    other = begin(tmp_path / "other.db", pool=campaign.pool.assign(duration="short"))
    other.tell(other.ask().assign(y=0.5))
    assert other.costs()["n"].sum() == 0
