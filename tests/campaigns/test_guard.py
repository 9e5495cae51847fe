"""A cheap source that is of no use does not keep the target from being asked; a useful one is hardly hindered."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import mfmat as mf
from mfmat import policies
from mfmat.guard import find_turn
from mfmat.outcomes import Backtest
from mfmat.policies import Ask

Begin = Callable[..., mf.Campaign]
FOOLED = Ask(mf.Pooled(mf.BayesianLinear()), name="fooled")
CHAIN = Ask(mf.Difference([mf.GP(steps=20)]), name="chain")


def known(*, useful: bool) -> tuple[pd.DataFrame, mf.Schema]:
    x = np.linspace(0, 1, 40)
    noise = np.random.default_rng(0).normal(size=len(x))
    target = np.sin(9 * x) * x
    values = {"cheap": 0.8 * target + 0.1 * x if useful else noise, "trusted": target}
    table = pd.concat([pd.DataFrame({"x": x, "source": name, "y": y}) for name, y in values.items()])
    return table, mf.Schema(mf.Columns("x"), value="y", source="source", costs={"cheap": 1, "trusted": 4})


def unguarded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(policies, "find_turn", lambda *_: "")


def longest(result: Backtest, policy: str) -> int:
    """The most values of the cheap source in a row that any run asked for."""
    mine = result.steps[(result.steps["policy"] == policy) & (result.steps["step"] > 0)]
    cheap = mine["source"] == "cheap"
    runs = cheap.groupby([mine["seed"], (~cheap).cumsum()]).sum()
    return int(runs.max())


def test_a_useless_source_does_not_starve_the_target(monkeypatch: pytest.MonkeyPatch) -> None:
    options = {"seeds": 1, "start": 2, "stop": "budget", "budget": 42, "goal": "learn"}
    assert longest(mf.backtest(*known(useful=False), FOOLED, **options), "fooled") == 9
    unguarded(monkeypatch)
    assert longest(mf.backtest(*known(useful=False), FOOLED, **options), "fooled") > 20


def test_a_useful_source_is_hardly_hindered(monkeypatch: pytest.MonkeyPatch) -> None:
    def price() -> float:
        steps = mf.backtest(*known(useful=True), CHAIN, seeds=2, start=2).steps
        return float(steps[steps["policy"] == "chain"].groupby("seed")["total_cost"].max().mean())

    guarded = price()
    unguarded(monkeypatch)
    assert guarded <= 1.2 * price()


def test_a_campaign_says_that_it_is_the_targets_turn(tmp_path: Path, begin: Begin) -> None:
    campaign = begin(tmp_path / "gap.db", recipe=mf.Pooled(mf.BayesianLinear()), goal="learn")
    others = pd.DataFrame({"x": np.linspace(0.01, 0.99, 21), "source": "cheap", "y": 0.1})
    campaign.tell(others.iloc[:20])
    assert campaign.ask()["source"].tolist() == ["cheap"]
    campaign.withdraw(campaign.pending())
    campaign.tell(others)
    todo = campaign.ask(2)
    assert todo["source"].tolist() == ["trusted", "cheap"]
    assert (
        todo["reason"].iloc[0].startswith("trusted's turn: 21 of cheap for 21 since its last value; trusted predicted")
    )
    assert campaign.ask()["source"].tolist() == ["cheap"]


def test_a_target_that_cannot_be_asked_has_no_turn(tmp_path: Path, begin: Begin) -> None:
    campaign = begin(tmp_path / "gap.db", recipe=mf.Pooled(mf.BayesianLinear()), goal="learn")
    campaign.tell(pd.DataFrame({"x": np.linspace(0.01, 0.99, 21), "source": "cheap", "y": 0.1}))
    short = campaign.ask(1, budget=5.0)
    assert short["source"].tolist() == ["cheap"]
    assert "turn" not in short["reason"].iloc[0]


def test_few_values_and_little_money_are_no_reason() -> None:
    assert not find_turn([("cheap", 100.0)] * 4, "exp", 1)
    assert not find_turn([("cheap", 1.0)] * 20, "exp", 10)
    assert find_turn([("a", 1.0)] * 20 + [("b", 1.0)], "exp", 10) == (
        "exp's turn: 20 of a and 1 of b for 21 since its last value"
    )
    assert not find_turn([("exp", 1.0)] * 20, "exp", 1)
    assert not find_turn([("free", 0.0)] * 19, "exp", 10)
    assert find_turn([("free", 0.0)] * 20, "exp", 10) == "exp's turn: 20 of free for 0 since its last value"
