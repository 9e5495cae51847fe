"""What all draws together say."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from record import record

OURS, PLAIN = "Shotgun", "direct"
Row = dict[str, Any]
CLEAR = 2.0
"""Standard errors of a paired difference beyond which it is taken for one."""


def write(rows: Sequence[Row], maps: dict[str, Any], picture: str | None) -> None:
    """Tables of the transfer, of the extrapolation, and the verdict."""
    frame = pd.DataFrame(rows)
    inside, top = frame[~frame["top"]], frame[frame["top"]]
    cells = [_cell(*each) for each in inside.groupby(["data", "rows"], sort=False)]
    tables: dict[str, Any] = {"Transfer": cells, "All draws": _pooled(inside)}
    if len(top):
        tables["The top, learned from below"] = [_cell(*each) for each in top.groupby(["data", "rows"], sort=False)]
    record(
        "shotgun",
        tables | maps,
        says=_say(cells, inside, top),
        packages=["scikit-learn"],
        picture=picture,
        command="python benchmarks/shotgun.py",
    )


def _cell(key: tuple[str, int], rows: pd.DataFrame) -> Row:
    """One property and number of rows: errors as multiples of the direct model's, paired over draws."""
    errors = rows.pivot_table(index="draw", columns="learner", values="mae")
    line: Row = {"data": key[0], "rows": int(key[1]), "draws": len(errors), "mae direct": errors[PLAIN].mean()}
    for name in errors.columns.drop(PLAIN):
        ratio = (errors[name] / errors[PLAIN]).dropna()
        line[f"mae / direct, {name}"] = {
            "mean": float(ratio.mean()),
            "spread": float(ratio.sem()) if len(ratio) > 1 else 0.0,
        }
    ours = rows[rows["learner"] == OURS]
    return line | {"coverage": float(ours["coverage"].mean())}


def _pooled(rows: pd.DataFrame) -> list[Row]:
    """Every learner over all draws of all properties."""
    lines = []
    for name, own in rows.groupby("learner", sort=False):
        plain = rows[rows["learner"] == PLAIN].set_index(["data", "rows", "draw"])
        paired = own.set_index(["data", "rows", "draw"])
        ratio = (paired["mae"] / plain["mae"]).dropna()
        line = {"learner": name, "draws": len(own), "mae / direct, geometric mean": float(np.exp(np.log(ratio).mean()))}
        line |= {"nll - direct, median": float((paired["nll"] - plain["nll"]).median())}
        line |= {what: float(own[what].mean()) for what in ("coverage", "fit_s")}
        lines.append(line)
    return lines


def _say(cells: Sequence[Row], inside: pd.DataFrame, top: pd.DataFrame) -> str:
    ratios = [cell[f"mae / direct, {OURS}"] for cell in cells]
    lower = sum(ratio["mean"] < 1 for ratio in ratios)
    worse = sum(ratio["mean"] - CLEAR * ratio["spread"] > 1 for ratio in ratios)
    ours = inside[inside["learner"] == OURS]
    held = [cell["coverage"] for cell in cells]
    said = (
        f"Shotgun errs less than the direct model, the same process without the library, in {lower} of {len(cells)} "
        f"cells of a property and a number of rows, and clearly more (by {CLEAR:g} standard errors over draws) in "
        f"{worse}; its 90% intervals hold {ours['coverage'].mean():.3f} of all test values ({min(held):.2f} to "
        f"{max(held):.2f} in a cell). Ratios are means over draws, ± their standard error. No entry of a target's own "
        "quantity takes part, but where a column says so. Inputs of all: XenonPy's 290 descriptors and a table's own "
        "further columns."
    )
    if len(top):
        ratio = top.pivot_table(index=["data", "rows", "draw"], columns="learner", values="mae")
        better = float((ratio[OURS] < ratio[PLAIN]).mean())
        said += f" Of the top fifth, learned from the rows below it, Shotgun errs less in {better:.0%} of the draws."
    return said
