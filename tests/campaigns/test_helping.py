"""A campaign says when a source has stopped helping, and what each is worth by what it measured."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import mfmat as mf
from mfmat import asking, checkup

SCHEMA = mf.Schema(mf.Columns("x"), value="y", source="source", costs={"cheap": 1, "trusted": 10})
POOL = pd.DataFrame({"x": np.linspace(0.01, 0.99, 12)})


def make(path: Path, *, useful: bool) -> mf.Campaign:
    x, rng = np.linspace(0, 1, 16), np.random.default_rng(0)
    trusted = np.sin(6 * x)
    cheap = trusted + 0.01 * x if useful else rng.normal(size=len(x))
    values = {"cheap": cheap, "trusted": trusted}
    seen = pd.concat([pd.DataFrame({"x": x, "source": name, "y": y}) for name, y in values.items()])
    recipe = mf.Difference([mf.GP(steps=20)]) if useful else mf.TargetOnly(mf.GP(steps=20))
    return mf.Campaign.create(path / "gap.db", SCHEMA, recipe=recipe, pool=POOL, seen=seen, goal="learn")


def test_a_source_that_tells_nothing_is_named(tmp_path: Path) -> None:
    campaign = make(tmp_path, useful=False)
    assert campaign.ask(2)["source"].tolist() == ["trusted"] * 2
    useless, verdict = campaign.status().note.split("; ", 1)
    assert useless == "no pair left of cheap explains even 1% of what is uncertain about trusted there: see diagnose()"
    row = campaign.diagnose().loc["cheap"]
    ends = f"{row['gain_lower']:.0%} to {row['gain_upper']:.0%}"
    assert verdict == f"cheap does not help (gain {row['gain']:.0%}, {ends}; diagnose() says more)"
    campaign.tell(POOL.assign(source="cheap", y=0.1))
    campaign.ask()
    assert campaign.status().note == verdict


def test_a_source_that_tells_is_not(tmp_path: Path) -> None:
    campaign = make(tmp_path, useful=True)
    campaign.ask(2)
    assert campaign.status().note == ""


def test_a_diagnosis_is_that_of_what_is_seen(tmp_path: Path) -> None:
    campaign = make(tmp_path, useful=False)
    pd.testing.assert_frame_equal(campaign.diagnose(), mf.diagnose(campaign.seen(), SCHEMA))
    assert campaign.diagnose()["verdict"].tolist() == ["drop"]


def test_what_helps_is_asked_again_as_the_target_gets_values(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    checked: list[int] = []

    def check(seen: pd.DataFrame, *_: object) -> str:
        checked.append(int((seen["source"] == "trusted").sum()))
        return "a verdict" if len(checked) == 1 else ""

    monkeypatch.setattr(asking, "check_up", check)
    seen = pd.DataFrame({"x": np.linspace(0, 1, 8), "source": "trusted", "y": 0.0})
    campaign = mf.Campaign.create(tmp_path / "gap.db", SCHEMA, recipe=mf.GP(steps=2), pool=POOL, seen=seen)
    notes = []
    for i in range(9):
        campaign.ask()
        notes.append("a verdict" in campaign.status().note)
        campaign.tell(POOL.iloc[[i]].assign(source="trusted", y=0.1 * i))
    assert checked == [10, 15]
    assert notes == [False, False, *[True] * 5, False, False]


def test_a_source_that_helps_here_only_is_said_so(monkeypatch: pytest.MonkeyPatch) -> None:
    verdicts = {"verdict": ["use here", "use", "drop", "drop"], "where": ["oxides", "everywhere", "", ""]}
    gains = {
        "gain": [0.1, 0.3, np.nan, 0.6],
        "gain_lower": [-0.1, 0.2, np.nan, -0.5],
        "gain_upper": [0.3, 0.4, np.nan, 0.8],
    }
    found = pd.DataFrame({**verdicts, **gains}, index=["pbe", "hse", "scan", "lda"])
    monkeypatch.setattr(checkup, "diagnose", lambda *_, **__: found)
    seen = pd.DataFrame({"x": np.linspace(0, 1, 12), "source": "trusted", "y": np.arange(12.0)})
    assert checkup.check_up(seen, SCHEMA) == "pbe helps only with oxides (gain 10%, -10% to 30%; diagnose() says more)"
    assert checkup.check_up(seen[:9], SCHEMA) == ""
