"""Predictions as points with their intervals: against what was measured, and one beside the other."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mfmat.reports.figures.paper import DOUBLE, MAIN, OFF, SINGLE, SOFT, axes, label, name_rows, numbers
from mfmat.validation import accuracy

if TYPE_CHECKING:
    from matplotlib.axes import Axes

NAMED = 40
"""Candidates that have room for their names."""
MANY = 200
"""Points from which they are drawn small."""


def parity(
    predicted: pd.DataFrame, ax: Axes | None = None, *, unit: str = "", colour: str = MAIN, width: float = SINGLE
) -> Axes:
    """Measured against predicted values with intervals; rings are values outside theirs.

    Args:
        predicted: a table of `cross_validate`.
        ax: where to draw; a new figure unless given.
        unit: of the values, for the labels.
        colour: of points inside their intervals.
        width: of a new figure, in mm.

    Raises:
        SchemaError: a table without the needed columns or rows, or with a cell that is no number.
        MissingExtraError: matplotlib is not installed.

    >>> table = pd.DataFrame({"y": [1.0, 2.0], "median": [1.1, 1.8], "mean": 1.0, "lower": 0.0, "upper": 3.0})
    >>> import matplotlib; matplotlib.use("agg")
    >>> parity(table, unit="eV").get_ylabel()
    'predicted (eV)'
    """
    y, median, _, lower, upper = numbers(predicted, ("y", "median", "mean", "lower", "upper"))
    ax = axes(ax, width)
    values, inside = np.concatenate([y, median]), (lower <= y) & (y <= upper)
    room = 0.05 * (values.max() - values.min()) or 1.0
    limits = (values.min() - room, values.max() + room)
    for rows, tint in ((inside, colour), (~inside, OFF)):
        low, high = (_within(end[rows], limits) for end in (lower, upper))
        ax.vlines(y[rows], low, high, color=tint, alpha=0.4, linewidth=1, zorder=2)
    size = 16 if len(y) <= MANY else 6
    ax.scatter(y[inside], median[inside], s=size, color=colour, edgecolor="white", linewidth=0.4, zorder=3)
    ax.scatter(y[~inside], median[~inside], s=size, facecolor="white", edgecolor=OFF, linewidth=size / 14, zorder=4)
    ax.plot(limits, limits, color=SOFT, linewidth=1, linestyle=(0, (4, 3)), zorder=1)
    ax.set(xlim=limits, ylim=limits, aspect="equal", xlabel=label("measured", unit), ylabel=label("predicted", unit))
    ax.locator_params(nbins=6)
    scores = accuracy(predicted)
    said = f"MAE {scores['mae']:.3g} {unit}".strip() + f"\n{scores['coverage']:.0%} inside"
    ax.text(0.05, 0.95, said, transform=ax.transAxes, va="top", fontsize="small")
    return ax


def intervals(
    predicted: pd.DataFrame,
    ax: Axes | None = None,
    *,
    names: Sequence[object] | None = None,
    unit: str = "",
    width: float = DOUBLE,
) -> Axes:
    """Predictions from the highest to the lowest with their intervals.

    Args:
        predicted: a table of `Surrogate.predict`.
        ax: where to draw; a new figure unless given.
        names: of the rows, written under up to 40 of them; the index unless given.
        unit: of the values, for the labels.
        width: of a new figure, in mm.

    Raises:
        SchemaError: a table without the needed columns or rows, another number of names, or a cell that is no number.
        MissingExtraError: matplotlib is not installed.

    >>> import matplotlib; matplotlib.use("agg")
    >>> table = pd.DataFrame({"median": [1.0, 2.0], "lower": [0.0, 1.0], "upper": [2.0, 3.0]}, index=["Si", "GaN"])
    >>> [text.get_text() for text in intervals(table).get_xticklabels()]
    ['GaN', 'Si']
    """
    asked = {"expected": "a table of Surrogate.predict", "fix": "surrogate.predict(pool)"}
    median, lower, upper = numbers(predicted, ("median", "lower", "upper"), **asked)
    called = name_rows(predicted, names)
    ax = axes(ax, width, 0.38 * width)
    order, rank = np.argsort(-median, kind="stable"), np.arange(len(median))
    finite = np.concatenate([each[np.isfinite(each)] for each in (median, lower, upper)])
    room = 0.05 * (finite.max() - finite.min()) or 1.0
    limits = (finite.min() - room, finite.max() + room)
    low, high = (_within(end[order], limits) for end in (lower, upper))
    ax.vlines(rank, low, high, color=MAIN, alpha=0.45, linewidth=1.5)
    ax.scatter(rank, median[order], s=16 if len(rank) <= MANY else 4, color=MAIN, zorder=3)
    ax.set(xlim=(-0.8, len(rank) - 0.2), ylim=limits, ylabel=label("predicted", unit))
    ax.grid(visible=False, axis="x")
    if len(rank) <= NAMED:
        ax.set_xticks(rank, [called[i] for i in order], rotation=60, ha="right", rotation_mode="anchor")
    else:
        ax.set(xticks=[], xlabel=f"{len(rank)} candidates, highest first")
    return ax


def _within(ends: NDArray[np.float64], limits: tuple[float, float]) -> NDArray[np.float64]:
    """Ends of intervals; one that has none reaches to the edge of the plot."""
    low, high = limits
    return np.where(ends == np.inf, high, np.where(ends == -np.inf, low, ends))
