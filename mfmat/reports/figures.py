"""Figures for papers and notebooks, drawn by matplotlib: one function each, which returns its Axes.

All take the tables that this package makes, and an optional `ax`. Colours can be told apart by
colour-blind readers, and differ in shape or shade too. Without an `ax` the figure is as wide as a column of print.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from mfmat.errors import SchemaError
from mfmat.extras import require
from mfmat.metrics import calibration_curve
from mfmat.reports.evidence import band, check
from mfmat.reports.wording import losses
from mfmat.surrogate import Surrogate
from mfmat.validation import accuracy

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MAIN, OFF, SOFT = "#0b6bb0", "#c2410c", "#6b7480"
NAMED = 40
"""Candidates that have room for their names."""


def parity(predicted: pd.DataFrame, ax: Axes | None = None, *, unit: str = "", colour: str = MAIN) -> Axes:
    """Measured against predicted values with intervals; rings are values outside theirs.

    Args:
        predicted: a table of `cross_validate`.
        ax: where to draw; a new figure unless given.
        unit: of the values, for the labels.
        colour: of points inside their intervals.

    Raises:
        SchemaError: a table without the needed columns or rows.
        MissingExtraError: matplotlib is not installed.

    >>> table = pd.DataFrame({"y": [1.0, 2.0], "median": [1.1, 1.8], "mean": 1.0, "lower": 0.0, "upper": 3.0})
    >>> import matplotlib; matplotlib.use("agg")
    >>> parity(table, unit="eV").get_ylabel()
    'predicted (eV)'
    """
    check(predicted, what="predicted")
    ax = _axes(ax)
    y, median = (predicted[name].to_numpy(dtype=float) for name in ("y", "median"))
    lower, upper = (predicted[name].to_numpy(dtype=float) for name in ("lower", "upper"))
    inside = (lower <= y) & (y <= upper)
    for rows, tint in ((inside, colour), (~inside, OFF)):
        ax.vlines(y[rows], lower[rows], upper[rows], color=tint, alpha=0.4, linewidth=1, zorder=2)
    ax.scatter(y[inside], median[inside], s=16, color=colour, edgecolor="white", linewidth=0.4, zorder=3)
    ax.scatter(y[~inside], median[~inside], s=16, facecolor="white", edgecolor=OFF, linewidth=1.2, zorder=4)
    values = np.concatenate([y, median])
    room = 0.05 * (values.max() - values.min()) or 1.0
    limits = (values.min() - room, values.max() + room)
    ax.plot(limits, limits, color=SOFT, linewidth=1, linestyle=(0, (4, 3)), zorder=1)
    ax.set(xlim=limits, ylim=limits, aspect="equal", xlabel=_label("measured", unit), ylabel=_label("predicted", unit))
    ax.locator_params(nbins=6)
    scores = accuracy(predicted)
    said = f"MAE {scores['mae']:.3g} {unit}".strip() + f"\n{scores['coverage']:.0%} inside"
    ax.text(0.05, 0.95, said, transform=ax.transAxes, va="top", fontsize="small")
    return ax


def calibration(
    predicted: pd.DataFrame, ax: Axes | None = None, *, label: str = "", colour: str = MAIN, chance: bool = True
) -> Axes:
    """Nominal levels against the share of intervals that held, with the band of chance (95%) around the diagonal.

    Args:
        predicted: a table of `cross_validate`.
        ax: where to draw, also over another curve; a new figure unless given.
        label: for a legend.
        colour: of the curve.
        chance: whether to draw the band.

    Raises:
        SchemaError: a table without the column `pit` or rows.
        MissingExtraError: matplotlib is not installed.

    >>> import matplotlib; matplotlib.use("agg")
    >>> calibration(pd.DataFrame({"pit": [0.1, 0.5, 0.7]})).get_xlim()
    (np.float64(0.0), np.float64(1.0))
    """
    pit = torch.tensor(_pit(predicted))
    ax = _axes(ax)
    levels, observed = (each.numpy() for each in calibration_curve(pit))
    if chance:
        ax.fill_between(levels, *band(len(pit), levels), color=SOFT, alpha=0.2, linewidth=0, zorder=1)
    ax.plot([0, 1], [0, 1], color=SOFT, linewidth=1, linestyle=(0, (4, 3)), zorder=2)
    ax.plot(levels, observed, color=colour, linewidth=1.8, label=label or None, zorder=3)
    ax.set(xlim=(0, 1), ylim=(0, 1), aspect="equal", xlabel="level of the interval", ylabel="share that held")
    for axis in (ax.xaxis, ax.yaxis):
        axis.set_major_formatter(lambda value, _: f"{value:.0%}")
    return ax


def intervals(
    predicted: pd.DataFrame, ax: Axes | None = None, *, names: Sequence[str] | None = None, unit: str = ""
) -> Axes:
    """Predictions from the highest to the lowest with their intervals.

    Args:
        predicted: a table of `Surrogate.predict`.
        ax: where to draw; a new figure unless given.
        names: of the rows, written under up to 40 of them; the index unless given.
        unit: of the values, for the labels.

    Raises:
        SchemaError: a table without the needed columns or rows, or another number of names.
        MissingExtraError: matplotlib is not installed.

    >>> import matplotlib; matplotlib.use("agg")
    >>> table = pd.DataFrame({"median": [1.0, 2.0], "lower": [0.0, 1.0], "upper": [2.0, 3.0]}, index=["Si", "GaN"])
    >>> [text.get_text() for text in intervals(table).get_xticklabels()]
    ['GaN', 'Si']
    """
    names = [str(name) for name in predicted.index] if names is None else list(names)
    missing = [name for name in ("median", "lower", "upper") if name not in predicted.columns]
    if missing or predicted.empty or len(names) != len(predicted):
        came = (
            f"predicted without {', '.join(missing) or 'rows'}" if missing or predicted.empty else f"{len(names)} names"
        )
        raise SchemaError(
            came, expected="a table of Surrogate.predict, and a name a row", fix="surrogate.predict(pool)"
        )
    ax = _axes(ax, (6.8, 2.6))
    order = np.argsort(-predicted["median"].to_numpy(dtype=float), kind="stable")
    shown, rank = predicted.iloc[order], np.arange(len(predicted))
    ax.vlines(rank, shown["lower"], shown["upper"], color=MAIN, alpha=0.45, linewidth=1.5)
    ax.scatter(rank, shown["median"], s=16 if len(rank) <= 200 else 4, color=MAIN, zorder=3)
    ax.set(xlim=(-0.8, len(rank) - 0.2), ylabel=_label("predicted", unit))
    ax.grid(visible=False, axis="x")
    if len(rank) <= NAMED:
        ax.set_xticks(rank, [names[i] for i in order], rotation=60, ha="right", rotation_mode="anchor")
    else:
        ax.set(xticks=[], xlabel=f"{len(rank)} candidates, highest first")
    return ax


def pit_histogram(predicted: pd.DataFrame, ax: Axes | None = None, *, bins: int = 10, colour: str = MAIN) -> Axes:
    """How often measured values fell into each part of what was predicted, with the band of chance (95%).

    Flat where predictions are right; a hump says that they are too wide, a hollow too narrow, a slope too high or low.

    Args:
        predicted: a table of `cross_validate`.
        ax: where to draw; a new figure unless given.
        bins: parts of equal probability.
        colour: of the bars.

    Raises:
        SchemaError: a table without the column `pit` or rows.
        MissingExtraError: matplotlib is not installed.

    >>> import matplotlib; matplotlib.use("agg")
    >>> pit_histogram(pd.DataFrame({"pit": [0.1, 0.5, 0.7]}), bins=5).get_ylabel()
    'share of values'
    """
    pit = _pit(predicted)
    ax = _axes(ax, (3.4, 2.6))
    low, high = band(len(pit), np.array([1 / bins]))
    ax.axhspan(low[0], high[0], color=SOFT, alpha=0.3, linewidth=0, zorder=4)
    ax.axhline(1 / bins, color=SOFT, linewidth=1, linestyle=(0, (4, 3)), zorder=4)
    ax.hist(pit, bins=bins, range=(0, 1), weights=np.full(len(pit), 1 / len(pit)), color=colour, rwidth=0.92, zorder=3)
    ax.set(xlim=(0, 1), xlabel="predicted probability of less", ylabel="share of values")
    ax.yaxis.set_major_formatter(lambda value, _: f"{value:.0%}")
    ax.grid(visible=False, axis="x")
    return ax


def spread_against_error(
    predicted: pd.DataFrame, ax: Axes | None = None, *, bins: int = 10, unit: str = "", colour: str = MAIN
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

    Raises:
        SchemaError: a table without the needed columns or rows.
        MissingExtraError: matplotlib is not installed.

    Levi et al. 2022, doi:10.3390/s22155540.

    >>> import matplotlib; matplotlib.use("agg")
    >>> table = pd.DataFrame({"y": np.arange(20.0), "mean": np.arange(20.0) + 1, "std": 1.0})
    >>> spread_against_error(table, bins=2).get_xlabel()
    'predicted spread'
    """
    missing = [name for name in ("y", "mean", "std") if name not in predicted.columns]
    if missing or predicted.empty:
        raise SchemaError(
            f"predicted without {', '.join(missing) or 'rows'}",
            expected="a table of cross_validate",
            fix="cross_validate(...)",
        )
    ax = _axes(ax)
    y, mean, std = (predicted[name].to_numpy(dtype=float) for name in ("y", "mean", "std"))
    parts = np.array_split(np.argsort(std, kind="stable"), max(min(bins, len(y) // 5), 1))
    spread = np.array([np.sqrt(np.mean(std[part] ** 2)) for part in parts])
    seen = np.array([np.sqrt(np.mean((y - mean)[part] ** 2)) for part in parts])
    # The variance of a mean square is that of the squares over n; the root halves its relative error.
    error = np.array([np.std((y - mean)[part] ** 2) / np.sqrt(len(part)) for part in parts]) / (2 * seen)
    ax.errorbar(
        spread, seen, np.minimum(2 * error, seen), fmt="o", color=colour, markersize=4, linewidth=1, alpha=0.9, zorder=3
    )
    most = 1.08 * max(spread.max(), (seen + 2 * error).max())
    ax.plot([0, most], [0, most], color=SOFT, linewidth=1, linestyle=(0, (4, 3)), zorder=2)
    ax.set(xlim=(0, most), ylim=(0, most), aspect="equal")
    ax.set(xlabel=_label("predicted spread", unit), ylabel=_label("error seen", unit))
    ax.locator_params(nbins=6)
    return ax


def coverage_by_group(
    predicted: pd.DataFrame, by: Sequence[object], ax: Axes | None = None, *, level: float = 0.9, colour: str = MAIN
) -> Axes:
    """The share of values inside their intervals in each group, with a 95% interval of it; rings are off the level.

    Args:
        predicted: a table of `cross_validate`.
        by: the group of each row, such as the anion of each compound.
        ax: where to draw; a new figure unless given.
        level: of the intervals.
        colour: of groups that are not off.

    Raises:
        SchemaError: a table without the needed columns or rows, or another number of groups.
        MissingExtraError: matplotlib is not installed.

    Clopper & Pearson 1934, doi:10.1093/biomet/26.4.404, for the intervals.

    >>> import matplotlib; matplotlib.use("agg")
    >>> table = pd.DataFrame({"y": [1.0, 2.0], "median": 1.5, "lower": 0.0, "upper": 1.5})
    >>> [text.get_text() for text in coverage_by_group(table, ["oxide", "halide"]).get_yticklabels()]
    ['halide (1)', 'oxide (1)']
    """
    missing = [name for name in ("y", "lower", "upper") if name not in predicted.columns]
    if missing or predicted.empty or len(by) != len(predicted):
        came = (
            f"predicted without {', '.join(missing) or 'rows'}" if missing or predicted.empty else f"{len(by)} groups"
        )
        raise SchemaError(came, expected="a table of cross_validate, and a group a row", fix="cross_validate(...)")
    from scipy.special import betaincinv

    inside = predicted["y"].between(predicted["lower"], predicted["upper"])
    table = inside.groupby([str(each) for each in by]).agg(["sum", "size"]).sort_values("size")
    held, n = table["sum"].to_numpy(), table["size"].to_numpy()
    low = np.where(held > 0, betaincinv(np.maximum(held, 1), n - held + 1, 0.025), 0.0)
    high = np.where(held < n, betaincinv(held + 1, np.maximum(n - held, 1), 0.975), 1.0)
    off, rank = (low > level) | (high < level), np.arange(len(table))
    ax = _axes(ax, (3.4, 0.8 + 0.28 * len(table)))
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


def sources(surrogate: Surrogate, ax: Axes | None = None) -> Axes:
    """The held-out error of every fusion that `Auto` tried; the chosen one stands on top.

    Args:
        surrogate: fitted with `Auto`.
        ax: where to draw; a new figure unless given.

    Raises:
        SchemaError: a surrogate that was not chosen among several.
        MissingExtraError: matplotlib is not installed.
    """
    rows = surrogate.card["compared"]
    if not rows:
        raise SchemaError(
            "a surrogate whose recipe compared nothing",
            expected="one fitted with Auto, with at least 10 target compounds",
            fix="mf.fit(table, schema)",
        )
    ax = _axes(ax, (4.6, 0.7 + 0.32 * len(rows)))
    loss, values = losses(rows)
    bars = ax.barh(
        [row["candidate"] for row in rows], values, color=[MAIN] + ["#8fbfe0"] * (len(rows) - 1), height=0.62
    )
    ax.bar_label(bars, [f"{value:.3g}" for value in values], padding=3, fontsize="small")
    ax.invert_yaxis()
    ax.set(
        xlabel=_label(f"held-out {loss}", surrogate.schema.unit if loss == "CRPS" else ""), xlim=(0, 1.2 * max(values))
    )
    ax.grid(visible=False, axis="y")
    ax.tick_params(axis="y", length=0)
    return ax


def _pit(predicted: pd.DataFrame) -> NDArray[np.float64]:
    if "pit" not in predicted.columns or predicted.empty:
        raise SchemaError(
            "predicted without pit or rows", expected="a table of cross_validate", fix="cross_validate(...)"
        )
    return predicted["pit"].to_numpy(dtype=np.float64, copy=True)


def _axes(ax: Axes | None, size: tuple[float, float] = (3.4, 3.4)) -> Axes:
    if ax is None:
        plt: Any = require("matplotlib.pyplot", "a figure", "report")
        ax = plt.subplots(figsize=size, layout="constrained")[1]
    ax.spines[["top", "right"]].set_visible(False)
    ax.grid(visible=True, color="#e3e6ea", linewidth=0.8)
    ax.set_axisbelow(True)
    return ax


def _label(word: str, unit: str) -> str:
    return f"{word} ({unit})" if unit else word
