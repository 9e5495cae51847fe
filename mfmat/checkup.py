"""Whether the cheap sources of a campaign still help, asked again as its target gets values."""

from __future__ import annotations

import logging
import math
import warnings
from typing import Any

import pandas as pd

from mfmat.diagnosis import DROP, FEWEST, HERE, diagnose
from mfmat.errors import MfmatWarning
from mfmat.schema import Schema

LOGGER = logging.getLogger("mfmat")
FACTOR = 1.5
"""Target compounds, in multiples of those at the last check-up, after which there is another."""
LIMIT = 1000
"""Rows of a source that a check-up fits at most: it has to be quick."""


def is_due(before: int, now: int) -> bool:
    """Whether target compounds have passed one of 10, 15, 22, 33, ... since the model before.

    >>> is_due(0, 9), is_due(0, 10), is_due(10, 14), is_due(10, 15), is_due(40, 200)
    (False, True, False, True, True)
    """
    return _step(now) > _step(before)


def check_up(seen: pd.DataFrame, schema: Schema, seed: int = 0) -> str:
    """A sentence for each cheap source that does not help, or only somewhere (`diagnose`); empty where there is none.

    A gain whose error bar reaches below 0 is no warning: whether that source helps cannot be told yet. Nor can it with
    fewer than 10 target compounds of which a value is known, as nothing can be held out.

    >>> import numpy as np, mfmat as mf
    >>> x, rng = np.linspace(0, 1, 24), np.random.default_rng(0)
    >>> noise = pd.DataFrame({"x": x, "y": rng.normal(size=24), "source": "cheap"})
    >>> exact = pd.DataFrame({"x": x, "y": np.sin(6 * x), "source": "exact"})
    >>> schema = mf.Schema(mf.Columns("x"), value="y", source="source", costs={"cheap": 1, "exact": 10})
    >>> check_up(pd.concat([noise, exact]), schema).split(" (")[0]
    'cheap does not help'
    """
    if len(schema.sources) < 2 or schema.settle(seen).data(seen).compounds() < FEWEST:
        return ""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", MfmatWarning)
        found = diagnose(seen, schema, limit=LIMIT, seed=seed)
    judged = found[found["gain"].notna()]
    LOGGER.info("check-up: %s", ", ".join(f"{name}: {row['verdict']}" for name, row in judged.iterrows()))
    useless = (judged["verdict"] == DROP) & (judged["gain"] <= 0)
    said = [_say(str(name), row) for name, row in judged[useless | (judged["verdict"] == HERE)].iterrows()]
    return "; ".join(said)


def _step(compounds: int) -> int:
    """How many of the check-ups are behind so many compounds."""
    return math.floor(math.log(compounds / FEWEST, FACTOR) + 1e-9) + 1 if compounds >= FEWEST else 0


def _say(name: str, row: Any) -> str:
    where = f"helps only with {row['where']}" if row["verdict"] == HERE else "does not help"
    ends = " to ".join(f"{row[end]:.0%}" for end in ("gain_lower", "gain_upper"))
    return f"{name} {where} (gain {row['gain']:.0%}, {ends}; diagnose() says more)"
