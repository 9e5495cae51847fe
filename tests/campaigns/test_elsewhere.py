"""A campaign whose pool is scored in other processes asks for the same pairs."""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterator
from concurrent.futures import Executor, ProcessPoolExecutor
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from mfmat import shards
from mfmat.errors import SchemaError

POOL = pd.DataFrame({"x": np.linspace(0, 1, 90)})


@pytest.fixture(scope="module")
def executor() -> Iterator[Executor]:
    with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("spawn")) as pool:
        yield pool


@pytest.mark.parametrize("prices", ["declared", "learned"])
@pytest.mark.parametrize("goal", ["max", "learn"])
def test_the_same_pairs(
    prices: str, goal: str, tmp_path: Path, begin, executor: Executor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shards, "ROWS", 40)
    seen = pd.DataFrame({"x": [0.0, 0.3, 0.6, 1.0, 0.1, 0.5, 0.9], "source": ["cheap"] * 4 + ["trusted"] * 3})
    seen = seen.assign(y=[0.1, 0.5, 0.7, 0.3, 0.2, 0.6, 0.5], duration=[2.0, 3.0, 2.5, 2.2, 9.0, 11.0, 10.0])
    options = {"pool": POOL, "seen": seen, "goal": goal, "prices": prices, "budget": 60}
    here, there = (begin(tmp_path / f"{name}.db", **options) for name in ("here", "there"))
    for n in (3, 2):
        asked = here.ask(n)
        pd.testing.assert_frame_equal(there.ask(n, executor=executor), asked)
        for campaign in (here, there):
            campaign.tell(asked.assign(y=0.4))
    assert there.status() == here.status()


def test_what_needs_the_whole_pool_says_so(tmp_path: Path, begin, executor: Executor) -> None:
    campaign = begin(tmp_path / "gap.db", temperature=0.5)
    with pytest.raises(SchemaError, match=r"temperature=0\.5 for a pool in chunks"):
        campaign.ask(executor=executor)
    assert campaign.history().empty
