"""The learning curve: how many rows of the target the cheap sources save."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from expert_table.cell import FOLDS
from expert_table.run import Row

FUSED, ALONE = "Auto", "TargetOnly Hurdle"
SCORES = ("mae", "crps")


def learning(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """A line for each number of target rows at which both were measured with all cheap rows, on the folds of both."""
    cells = {
        (row["name"], row["rows"], row["fold"]): row
        for row in rows
        if row["status"] == "finished" and row["cheap"] is None and row["name"] in (FUSED, ALONE)
    }
    both = sorted({key[1:] for key in cells if all((name, *key[1:]) in cells for name in (FUSED, ALONE))}, key=str)
    curves: dict[int, dict[str, Any]] = {}
    for size in {size for size, _ in both}:
        own = {name: [cells[name, size, fold] for at, fold in both if at == size] for name in (FUSED, ALONE)}
        n = size or int(np.mean([(FOLDS - 1) * row["rows_test"] for row in own[FUSED]]))
        means = {f"{what} {name}": float(np.mean([row[what] for row in own[name]])) for what in SCORES for name in own}
        curves[n] = {"rows of the target": n, "folds": len(own[FUSED]), **means}
    lines = [curves[n] for n in sorted(curves)]
    return [line | {"the target alone needs": needed(line[f"mae {FUSED}"], lines)} for line in lines]


def needed(error: float, lines: Sequence[dict[str, Any]]) -> str:
    """Rows of the target at which it alone has this error, between those measured (both on logarithmic scales)."""
    sizes = np.log([line["rows of the target"] for line in lines])
    errors = np.minimum.accumulate(np.log([line[f"mae {ALONE}"] for line in lines]))
    if np.log(error) < errors[-1]:
        return f"more than {lines[-1]['rows of the target']}"
    return f"{np.exp(np.interp(-np.log(error), -errors, sizes)):.0f}"
