"""The tables of a backtest's page."""

from __future__ import annotations

import math
from collections.abc import Mapping

import pandas as pd

from mfmat.outcomes import BASELINES, Backtest
from mfmat.reports.backtest_words import records
from mfmat.reports.drawings import interval_cell
from mfmat.reports.tables import LISTED, Cell, Table, numbers, texts
from mfmat.reports.wording import decimals, money, percent, short

QUARTERS = ("first quarter", "second", "third", "last")
"""Of a policy's asked values."""


def policies(summary: pd.DataFrame, what: str) -> Table:
    """Each policy: how often it found what it looked for, for how much, and how long it thought."""
    rows = list(records(summary).values())
    columns = {"policy": texts([str(name) for name in summary.index])}
    if what == "cost":
        columns["runs that found it"] = [Cell(percent(row["reached"]), row["reached"]) for row in rows]
    columns |= {
        f"median {what}": [_amount(row["median"], what) for row in rows],
        "lower quartile": [_amount(row["lower_quartile"], what) for row in rows],
        "upper quartile": [_amount(row["upper_quartile"], what) for row in rows],
        f"mean {what}": [_amount(row["mean"], what) for row in rows],
    }
    columns["seconds an ask"] = [_seconds(value) for value in summary["seconds"]]
    return Table("policies-table", "The policies", columns, len(summary))


def calibration(result: Backtest, found: pd.DataFrame, counts: Mapping[str, int]) -> Table:
    """How often its intervals held, early to late."""
    names = [str(name) for name in found.index]
    inside = (
        result.steps.dropna(subset=["median"])
        .groupby("policy")["inside"]
        .apply(lambda rows: float(rows.astype(float).mean()))
    )
    columns = {
        "policy": texts(names),
        "predicted values": numbers([float(counts[name]) for name in names], 0),
        "90% intervals held": [_share(inside.get(name, math.nan)) for name in names],
    }
    columns |= {
        title: [_share(value) for value in found[part]] for title, part in zip(QUARTERS, found.columns, strict=True)
    }
    return Table("calibration-table", "Intervals from early to late", columns, len(names))


def runs(result: Backtest, outcome: pd.DataFrame | None) -> Table:
    """Each run: what it measured, paid and found."""
    grouped = result.steps.groupby(["seed", "policy"], sort=True)
    last = grouped.last()
    shown = last.iloc[:LISTED]
    columns = {
        "seed": [Cell(str(seed), float(seed)) for seed, _ in shown.index],
        "policy": texts([policy for _, policy in shown.index]),
        "measurements": numbers([float(n) for n in grouped.size().iloc[:LISTED]], 0),
        "paid": [_amount(value, "cost") for value in shown["total_cost"]],
    }
    if outcome is not None:
        columns["paid until found"] = [_amount(outcome.loc[seed, policy], "cost") for seed, policy in shown.index]
        columns["best value"] = numbers(shown["best"].tolist())
        columns["regret"] = numbers(shown["regret"].tolist())
        columns["of the best 5%"] = [_share(value) for value in shown["top"]]
    else:
        for name in ("mae", "crps", "coverage"):
            columns[f"{name} at the end"] = numbers(shown[name].tolist())
    return Table("runs-table", "Every run", columns, len(last), ("policy",))


def differences(summary: pd.DataFrame) -> Table:
    """How far the mean of each policy is from that of each baseline, paired by start; drawn with 0 marked."""
    rows = records(summary)
    pairs = [(name, base) for base in BASELINES if base in rows for name in rows if name != base]
    ends = [
        (row[f"to_{base}"], row[f"to_{base}_lower"], row[f"to_{base}_upper"]) for n, base in pairs for row in [rows[n]]
    ]
    every = [value for each in ends for value in each]
    places, limits = decimals(map(abs, every)), (min(0.0, *every), max(0.0, *every))
    lower, upper = (numbers([each[k] for each in ends], places) for k in (1, 2))
    columns = {
        "policy": texts([name for name, _ in pairs]),
        "against": texts([base for _, base in pairs]),
        "difference": numbers([mean for mean, _, _ in ends], places),
        "lower": lower,
        "upper": upper,
        "drawn": [Cell(drawing=interval_cell((mean, low, high), limits, mark=0.0)) for mean, low, high in ends],
        "so it is": texts(["better" if high < 0 else "worse" if low > 0 else "within noise" for _, low, high in ends]),
    }
    return Table("differences-table", "Mean differences over the same starts, with 95% intervals", columns, len(pairs))


def _amount(value: float, what: str) -> Cell:
    if not math.isfinite(value):
        return Cell("never")
    return Cell(money(float(f"{value:.4g}")) if what == "cost" else short(value), float(value))


def _share(value: float) -> Cell:
    return Cell("–") if math.isnan(value) else Cell(percent(value), float(value))


def _seconds(value: float) -> Cell:
    return Cell("–") if math.isnan(value) else Cell(short(value, 2), float(value))
