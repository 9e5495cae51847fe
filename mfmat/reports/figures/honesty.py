"""Whether stated uncertainty is right: at every level, in every part, where it is large, and in every group."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import torch

from mfmat.metrics import calibration_curve
from mfmat.metrics.calibration import band
from mfmat.reports.evidence import hold
from mfmat.reports.figures.paper import MAIN, OFF, SINGLE, SOFT, axes, label, name_rows, numbers

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def calibration(
    predicted: pd.DataFrame,
    ax: Axes | None = None,
    *,
    label: str = "",
    colour: str = MAIN,
    chance: bool = True,
    width: float = SINGLE,
) -> Axes:
    """Nominal levels against the share of intervals that held, with the band of chance (95%) around the diagonal.

    Args:
        predicted: a table of `cross_validate`.
        ax: where to draw, also over another curve; a new figure unless given.
        label: for a legend.
        colour: of the curve.
        chance: whether to draw the band.
        width: of a new figure, in mm.

    Raises:
        SchemaError: a table without the column `pit` or rows, or with a cell that is no number.
        MissingExtraError: matplotlib is not installed.

    >>> import matplotlib; matplotlib.use("agg")
    >>> calibration(pd.DataFrame({"pit": [0.1, 0.5, 0.7]})).get_xlim()
    (np.float64(0.0), np.float64(1.0))
    """
    pit = torch.tensor(numbers(predicted, ["pit"])[0].tolist(), dtype=torch.double)
    ax = axes(ax, width)
    levels, observed = (each.numpy() for each in calibration_curve(pit))
    if chance:
        ax.fill_between(levels, *band(len(pit), levels), color=SOFT, alpha=0.2, linewidth=0, zorder=1)
    ax.plot([0, 1], [0, 1], color=SOFT, linewidth=1, linestyle=(0, (4, 3)), zorder=2)
    ax.plot(levels, observed, color=colour, linewidth=1.8, label=label or None, zorder=3)
    ax.set(xlim=(0, 1), ylim=(0, 1), aspect="equal", xlabel="level of the interval", ylabel="share that held")
    for axis in (ax.xaxis, ax.yaxis):
        axis.set_major_formatter(lambda value, _: f"{value:.0%}")
    return ax


def pit_histogram(
    predicted: pd.DataFrame, ax: Axes | None = None, *, bins: int = 10, colour: str = MAIN, width: float = SINGLE
) -> Axes:
    """How often measured values fell into each part of what was predicted, with the band of chance (95%).

    Flat where predictions are right; a hump says that they are too wide, a hollow too narrow, a slope too high or low.

    Args:
        predicted: a table of `cross_validate`.
        ax: where to draw; a new figure unless given.
        bins: parts of equal probability.
        colour: of the bars.
        width: of a new figure, in mm.

    Raises:
        SchemaError: a table without the column `pit` or rows, or with a cell that is no number.
        MissingExtraError: matplotlib is not installed.

    >>> import matplotlib; matplotlib.use("agg")
    >>> pit_histogram(pd.DataFrame({"pit": [0.1, 0.5, 0.7]}), bins=5).get_ylabel()
    'share of values'
    """
    pit = numbers(predicted, ["pit"])[0]
    ax = axes(ax, width, 0.76 * width)
    low, high = band(len(pit), np.array([1 / bins]))
    ax.axhspan(low[0], high[0], color=SOFT, alpha=0.2, linewidth=0, zorder=1)
    ax.axhline(1 / bins, color="black", linewidth=1, linestyle=(0, (4, 3)), zorder=4)
    for edge in (low[0], high[0]):
        ax.axhline(edge, color="black", linewidth=0.8, linestyle=(0, (1, 2)), zorder=4)
    ax.hist(pit, bins=bins, range=(0, 1), weights=np.full(len(pit), 1 / len(pit)), color=colour, rwidth=0.92, zorder=3)
    ax.set(xlim=(0, 1), xlabel="predicted probability of less", ylabel="share of values")
    ax.yaxis.set_major_formatter(lambda value, _: f"{value:.0%}")
    ax.grid(visible=False, axis="x")
    return ax


def spread_against_error(
    predicted: pd.DataFrame,
    ax: Axes | None = None,
    *,
    bins: int = 10,
    unit: str = "",
    colour: str = MAIN,
    width: float = SINGLE,
) -> Axes:
    """Predicted spread against the errors seen where it was predicted; on the diagonal it is right.

    Rows are put in bins of (nearly) equal size by their predicted standard deviation; each point is a bin's root mean
    predicted variance and root mean squared error of the mean, with two standard errors of the latter. The mean
    distance from the diagonal in units of the spread is `metrics.ence`.

    Args:
        predicted: a table of `cross_validate`.
        ax: where to draw; a new figure unless given.
        bins: at most; each has five rows at least.
        unit: of the values, for the labels.
        colour: of the points.
        width: of a new figure, in mm.

    Raises:
        SchemaError: a table without the needed columns or rows, or with a cell that is no number.
        MissingExtraError: matplotlib is not installed.

    Levi et al. 2022, doi:10.3390/s22155540.

    >>> import matplotlib; matplotlib.use("agg")
    >>> table = pd.DataFrame({"y": np.arange(20.0), "mean": np.arange(20.0) + 1, "std": 1.0})
    >>> spread_against_error(table, bins=2).get_xlabel()
    'predicted spread'
    """
    y, mean, std = numbers(predicted, ("y", "mean", "std"))
    ax = axes(ax, width)
    parts = np.array_split(np.argsort(std, kind="stable"), max(min(bins, len(y) // 5), 1))
    spread = np.array([np.sqrt(np.mean(std[part] ** 2)) for part in parts])
    seen = np.array([np.sqrt(np.mean((y - mean)[part] ** 2)) for part in parts])
    # The variance of a mean square is that of the squares over n; the root halves its relative error.
    error = np.array([np.std((y - mean)[part] ** 2) / np.sqrt(len(part)) for part in parts])
    error = np.divide(error, 2 * seen, out=np.zeros_like(seen), where=seen > 0)
    ax.errorbar(
        spread, seen, np.minimum(2 * error, seen), fmt="o", color=colour, markersize=4, linewidth=1, alpha=0.9, zorder=3
    )
    most = 1.08 * max(spread.max(), (seen + 2 * error).max()) or 1.0
    ax.plot([0, most], [0, most], color=SOFT, linewidth=1, linestyle=(0, (4, 3)), zorder=2)
    ax.set(xlim=(0, most), ylim=(0, most), aspect="equal")
    ax.set(xlabel=label("predicted spread", unit), ylabel=label("error seen", unit))
    ax.locator_params(nbins=6)
    return ax


def coverage_by_group(
    predicted: pd.DataFrame,
    by: Sequence[object],
    ax: Axes | None = None,
    *,
    level: float = 0.9,
    colour: str = MAIN,
    width: float = SINGLE,
) -> Axes:
    """The share of values inside their intervals in each group, with a 95% interval of it; rings are off the level.

    Args:
        predicted: a table of `cross_validate`.
        by: the group of each row, such as the anion of each compound.
        ax: where to draw; a new figure unless given.
        level: of the intervals.
        colour: of groups that are not off.
        width: of a new figure, in mm.

    Raises:
        SchemaError: a table without the needed columns or rows, another number of groups, or a cell that is no number.
        MissingExtraError: matplotlib is not installed.

    Clopper & Pearson 1934, doi:10.1093/biomet/26.4.404, for the intervals.

    >>> import matplotlib; matplotlib.use("agg")
    >>> table = pd.DataFrame({"y": [1.0, 2.0], "median": 1.5, "lower": 0.0, "upper": 1.5})
    >>> [text.get_text() for text in coverage_by_group(table, ["oxide", "halide"]).get_yticklabels()]
    ['halide (1)', 'oxide (1)']
    """
    y, lower, upper = numbers(predicted, ("y", "lower", "upper"))
    named = name_rows(predicted, by, "groups")
    table = hold(pd.Series((lower <= y) & (y <= upper)), named)
    held, n, low, high = (table[name].to_numpy() for name in ("held", "size", "low", "high"))
    off, rank = (low > level) | (high < level), np.arange(len(table))
    ax = axes(ax, width, 20 + 7 * len(table))
    ax.axvline(level, color=SOFT, linewidth=1, linestyle=(0, (4, 3)), zorder=2)
    for rows, tint, fill in ((~off, colour, colour), (off, OFF, "white")):
        ax.hlines(rank[rows], low[rows], high[rows], color=tint, alpha=0.5, linewidth=1.5, zorder=3)
        ax.scatter((held / n)[rows], rank[rows], s=22, facecolor=fill, edgecolor=tint, linewidth=1.2, zorder=4)
    ax.set_yticks(rank, [f"{name} ({size})" for name, size in zip(table.index, n, strict=True)])
    ax.set(xlim=(-0.02, 1.02), ylim=(-0.6, len(rank) - 0.4), xlabel=f"share inside {level:.0%} intervals")
    ax.xaxis.set_major_formatter(lambda value, _: f"{value:.0%}")
    ax.grid(visible=False, axis="y")
    ax.tick_params(axis="y", length=0)
    return ax
