"""A backtest in plain words."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd

from mfmat.metrics.calibration import band
from mfmat.outcomes import BASELINES, Backtest
from mfmat.reports.verdict import Tile
from mfmat.reports.wording import listed, money, percent, short

FEW = 20
"""Starts below which intervals over them are rough."""


def sentences(result: Backtest) -> list[str]:
    """What was replayed, and which policy to use."""
    terms, runs = result.terms, result.steps["seed"].nunique()
    aim = {"max": "the highest value", "min": "the lowest value", "learn": "the target's values"}[terms["goal"]]
    end = {
        "best": "until the best material had been measured",
        "budget": "until nothing could be paid any more",
    }.get(terms["stop"]) or f"until {percent(terms['stop'])} of the best 5% had been measured"
    most = "" if terms["budget"] is None else f", for at most {money(terms['budget'])}"
    verb = "learn" if terms["goal"] == "learn" else "find"
    what = (
        f"To {verb} {aim} of a table of known ones, {len(result.policies)} policies ({listed(result.policies)}) were "
        f"replayed from the same {runs} start{'s' * (runs != 1)} {end}{most}."
    )
    return [what, re.sub(r"(?<!\w)-(?=\d)", "−", result.verdict())]


def tiles(summary: pd.DataFrame, what: str) -> list[Tile]:
    """What the policy of the lowest mean paid and found."""
    name, rows = str(summary["mean"].idxmin()), records(summary)
    row = rows[name]
    size = money(float(f"{row['mean']:.4g}")) if what == "cost" else short(row["mean"])
    made = [Tile("mean", row["mean"], size, f"mean {what} of {name}")]
    for baseline in BASELINES:
        other = rows[baseline]["mean"] if baseline in rows and baseline != name else 0.0
        if other > 0:
            share = row["mean"] / other - 1
            word = "less" if share < 0 else "more"
            made.append(
                Tile(baseline, share, f"{percent(round(abs(share), 2))} {word}", f"mean {what} than {baseline}")
            )
    if what == "cost":
        made.append(Tile("reached", row["reached"], percent(row["reached"]), "of its runs found it"))
    if not math.isnan(row["seconds"]):
        made.append(Tile("seconds", row["seconds"], f"{short(row['seconds'], 2)} s", "an ask (median)"))
    return made


def doubts(result: Backtest, summary: pd.DataFrame, counts: dict[str, int]) -> Iterator[str]:
    """Where not to trust it."""
    runs = int(summary["runs"].iloc[0])
    if runs < FEW:
        yield f"{runs} starts are few: intervals over them are rough, seeds=20 or more is better."
    yield (
        "A replay can ask only what the table has a value of. A search among more candidates is longer, and a source "
        "that was measured only where it looked promising seems better than it is."
    )
    if len(summary) > len(BASELINES) + 1:
        yield f"The best of {len(summary)} policies on one table looks better than it will be on the next."
    cut = [name for name, row in records(summary).items() if row["reached"] < 1]
    if cut:
        yield (
            f"Runs of {listed(cut)} ended before they found it: they count with the whole budget, so their means are "
            "lower bounds."
        )
    yield from _calibration(result, counts)


def records(summary: pd.DataFrame) -> dict[str, dict[Any, float]]:
    """The rows of a summary by policy."""
    return {str(name): row for name, row in summary.astype(float).to_dict("index").items()}


def _calibration(result: Backtest, counts: dict[str, int]) -> Iterator[str]:
    asked = result.steps.dropna(subset=["median"])
    for policy, mine in asked.groupby("policy", sort=False):
        held, n = int(mine["inside"].astype(bool).sum()), counts[str(policy)]
        low, high = (float(end[0]) for end in band(n, np.array([0.9])))
        if not low <= held / n <= high:
            word = "less" if held / n < low else "more"
            said = f"The 90% intervals of {policy} held {percent(held / n)} of {n} asked values"
            yield f"{said}: {word} often than promised."
