"""A campaign says when a source has stopped helping, and what each is worth by what it measured."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

import mfmat as mf

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
    expected = "no pair left of cheap explains even 1% of what is uncertain about trusted there: see diagnose()"
    assert campaign.status().note == expected
    campaign.tell(POOL.assign(source="cheap", y=0.1))
    campaign.ask()
    assert campaign.status().note == ""


def test_a_source_that_tells_is_not(tmp_path: Path) -> None:
    campaign = make(tmp_path, useful=True)
    campaign.ask(2)
    assert campaign.status().note == ""


def test_a_diagnosis_is_that_of_what_is_seen(tmp_path: Path) -> None:
    campaign = make(tmp_path, useful=False)
    pd.testing.assert_frame_equal(campaign.diagnose(), mf.diagnose(campaign.seen(), SCHEMA))
    assert campaign.diagnose()["verdict"].tolist() == ["drop"]
