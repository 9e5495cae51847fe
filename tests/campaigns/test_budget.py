"""Whatever is asked, told, failed and withdrawn in whatever order, the books are right."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import mfmat as mf

SCHEMA = mf.Schema(mf.Columns("x"), value="y", source="source", costs={"cheap": 0.1, "trusted": 0.7})
POOL = pd.DataFrame({"x": [0.1, 0.3, 0.5, 0.7]})
STEP = st.tuples(st.sampled_from(["ask", "tell", "fail", "withdraw", "again"]), st.integers(1, 3))


@pytest.mark.filterwarnings("ignore::mfmat.surrogate.FewRowsWarning")
@settings(max_examples=8)
@given(steps=st.lists(STEP, min_size=3, max_size=7), budget=st.sampled_from([0.0, 0.3, 1.7, 50.0]))
def test_the_books_are_right(steps: list[tuple[str, int]], budget: float) -> None:
    with tempfile.TemporaryDirectory() as folder:
        campaign = mf.Campaign.create(
            Path(folder) / "gap.db", SCHEMA, recipe=mf.GP(steps=2), pool=POOL, budget=budget, goal="learn"
        )
        states: dict[tuple[float, str], str] = {}
        filled = pd.DataFrame()
        for step, n in [*steps, ("ask", 9)]:
            if step == "ask":
                asked = keys(campaign.ask(n))
                assert not {pair for pair in asked if states.get(pair, "open") != "open"}
                states |= dict.fromkeys(asked, "pending")
            elif step == "again" and len(filled):
                assert campaign.tell(filled).recorded == 0
            elif len(rows := campaign.pending().iloc[:n]):
                if step == "tell":
                    filled = rows.assign(y=rows["x"] * 2)
                    campaign.tell(filled)
                elif step in ("fail", "withdraw"):
                    getattr(campaign, step)(rows)
                states |= dict.fromkeys(keys(rows), {"withdraw": "open", "again": "pending"}.get(step, step))
            check(campaign, states, budget)
        check(mf.Campaign.open(Path(folder) / "gap.db"), states, budget)


def keys(table: pd.DataFrame) -> list[tuple[float, str]]:
    return list(zip(table["x"], table["source"], strict=True))


def check(campaign: mf.Campaign, states: dict[tuple[float, str], str], budget: float) -> None:
    """What the campaign says agrees with a simple account of what was done."""
    status = campaign.status()
    spent = sum(SCHEMA.prices[source] for (_, source), state in states.items() if state != "open")
    assert status.spent == pytest.approx(spent)
    assert status.spent <= budget * (1 + 1e-9)
    assert set(keys(campaign.pending())) == {pair for pair, state in states.items() if state == "pending"}
    assert set(keys(campaign.seen())) == {pair for pair, state in states.items() if state == "tell"}
    for source, counts in status.sources.items():
        mine = [state for (_, name), state in states.items() if name == source]
        assert (counts.told, counts.failed) == (mine.count("tell"), mine.count("fail"))
        assert counts.asked == len(mine) - mine.count("open")
