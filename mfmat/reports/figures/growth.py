"""What more measurements bring: the held-out error against the number of compounds learned from."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from mfmat.errors import SchemaError
from mfmat.reports.figures.paper import DASHES, MARKS, SERIES, SINGLE, axes, label, name_above, numbers, plain_log

if TYPE_CHECKING:
    from matplotlib.axes import Axes

WORDS = {"mae": "mean absolute error", "rmse": "root mean squared error", "width": "mean width of the intervals"}
WIDE = 4.0
"""Ratio of the largest to the smallest error from which they stand on a logarithmic axis."""


def learning_curve(
    scores: pd.DataFrame,
    ax: Axes | None = None,
    *,
    score: str = "mae",
    by: str | None = None,
    unit: str = "",
    width: float = SINGLE,
) -> Axes:
    """The mean error against the number of rows learned from, one line a recipe, with two standard errors.

    Args:
        scores: a table of `mfmat.validation.learning_curve`, or any with `rows` and a score in each row; where a size
            has several rows (folds, seeds), their mean is drawn, and twice its standard error.
        ax: where to draw; a new figure unless given.
        score: the column that is drawn.
        by: a column that names the lines; one line unless given.
        unit: of the score, for the label.
        width: of a new figure, in mm.

    Raises:
        SchemaError: a table without the needed columns or rows, or with a cell that is no number.
        MissingExtraError: matplotlib is not installed.

    >>> import matplotlib; matplotlib.use("agg")
    >>> scores = pd.DataFrame({"rows": [10, 10, 20, 20], "mae": [0.5, 0.7, 0.3, 0.5]})
    >>> learning_curve(scores).lines[0].get_ydata().round(2).tolist()
    [0.6, 0.4]
    """
    asked = {"what": "scores", "expected": "a row for each size and fold", "fix": "validation.learning_curve(...)"}
    n, values = numbers(scores, ("rows", score), **asked)
    names = [""] * len(n) if by is None else _lines(scores, by)
    ax = axes(ax, width, 0.8 * width)
    found = pd.DataFrame({"rows": n, "score": values}).groupby([names, "rows"], sort=False)["score"]
    table = found.agg(["mean", "sem"]).sort_index(level="rows")
    for place, name in enumerate(dict.fromkeys(names)):
        line = table.loc[name]
        style: dict[str, Any] = {
            "color": SERIES[place % len(SERIES)],
            "marker": MARKS[place % len(MARKS)],
            "markersize": 4,
        }
        ends = 2 * line["sem"].fillna(0.0).to_numpy()
        mean = line["mean"].to_numpy(dtype=float)
        drawn = ax.errorbar(line.index, mean, ends, label=name or None, linewidth=1.4, **style)
        drawn[0].set_linestyle(DASHES[place % len(DASHES)])
    log = bool((values > 0).all()) and table["mean"].max() > WIDE * table["mean"].min()
    ax.set(
        xscale="log",
        yscale="log" if log else "linear",
        xlabel="rows learned from",
        ylabel=label(WORDS.get(score, score), unit),
    )
    if log:
        plain_log(ax.yaxis)
    ticks = np.unique(n)
    ax.set_xticks(ticks, [f"{size:,.0f}" for size in ticks])
    ax.minorticks_off()
    if by is not None:
        name_above(ax)
    return ax


def _lines(scores: pd.DataFrame, by: str) -> list[str]:
    if by not in scores.columns:
        raise SchemaError(f"by={by!r}", expected="a column of the scores", fix="name one, or leave it out")
    return [str(name) for name in scores[by]]
