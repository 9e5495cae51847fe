"""Pairs that are drawn are recorded with the probability that they were drawn with."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import mfmat as mf
from mfmat.acquisitions import NoisyImprovement, Thompson, UpperConfidence
from mfmat.errors import SchemaError

Begin = Callable[..., mf.Campaign]


def test_what_was_drawn_has_its_probability(tmp_path: Path, begin: Begin) -> None:
    campaign = begin(tmp_path / "gap.db", temperature=1.0)
    todo = campaign.ask(3)
    recorded = campaign.history()["probability"].tolist()
    assert all(0 < chance < 1 for chance in recorded)
    # Told in another order, along with a material that a person chose.
    campaign.tell(todo.iloc[[2, 0]].assign(y=0.5))
    campaign.tell(campaign.seen().iloc[:1].assign(x=0.123))
    chances = mf.Campaign.open(tmp_path / "gap.db").probabilities()
    assert chances.index.equals(campaign.seen().index)
    assert np.isnan(chances[:7]).all()
    assert chances[7:9].tolist() == [recorded[2], recorded[0]]
    assert np.isnan(chances.iloc[9])


def test_a_corrected_value_was_chosen_as_before(tmp_path: Path, begin: Begin) -> None:
    campaign = begin(tmp_path / "gap.db", temperature=1.0)
    todo = campaign.ask()
    campaign.tell(todo.assign(y=0.5))
    before = campaign.probabilities().iloc[-1]
    campaign.correct(todo.assign(y=0.4))
    assert campaign.probabilities().iloc[-1] == before


def test_the_best_pair_is_certain_and_a_spread_start_no_choice_of_a_model(tmp_path: Path, begin: Begin) -> None:
    campaign = begin(tmp_path / "gap.db", seen=None)
    campaign.tell(campaign.ask(2).assign(y=0.5))
    assert campaign.probabilities().isna().all()
    certain = begin(tmp_path / "certain.db")
    certain.tell(certain.ask().assign(y=0.5))
    assert certain.probabilities().iloc[-1] == 1.0


def test_what_was_measured_is_remembered_with_a_model_that_was_kept(tmp_path: Path, begin: Begin) -> None:
    begin(tmp_path / "gap.db", acquisition=NoisyImprovement()).ask(1)
    # The second ask takes the model of the first from the journal, which keeps no rows.
    asked = mf.Campaign.open(tmp_path / "gap.db").ask(1)
    assert "best noise-free value" in asked["reason"].iloc[0]


def test_an_acquisition_is_kept_and_asked(tmp_path: Path, begin: Begin) -> None:
    begin(tmp_path / "gap.db", acquisition=UpperConfidence(), temperature=0.5)
    campaign = mf.Campaign.open(tmp_path / "gap.db")
    assert (campaign.acquisition, campaign.temperature) == (UpperConfidence(), 0.5)
    assert len(campaign.ask()) == 1
    assert "bound of the pool" in campaign.pending()["reason"].iloc[0]


def test_a_database_of_before_has_neither(tmp_path: Path, begin: Begin) -> None:
    begin(tmp_path / "gap.db")
    with sqlite3.connect(tmp_path / "gap.db") as database:
        facts = json.loads(database.execute("SELECT facts FROM campaign").fetchone()[0])
        kept = {name: facts[name] for name in ("schema", "recipe", "budget", "goal", "seed")}
        database.execute("UPDATE campaign SET facts = ?", (json.dumps(kept),))
    campaign = mf.Campaign.open(tmp_path / "gap.db")
    assert (campaign.acquisition, campaign.temperature) == (None, 0.0)


def test_settings_that_contradict_each_other_are_refused(tmp_path: Path, begin: Begin) -> None:
    for options in ({"temperature": -1.0}, {"goal": "min", "acquisition": Thompson()}):
        with pytest.raises(SchemaError):
            begin(tmp_path / "gap.db", **options)
