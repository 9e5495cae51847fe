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

from mfmat.errors import SchemaError
from mfmat.metrics import calibration_curve
from mfmat.reports.evidence import band, check
from mfmat.reports.extra import require
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
    if "pit" not in predicted.columns or predicted.empty:
        raise SchemaError(
            "predicted without pit or rows", expected="a table of cross_validate", fix="cross_validate(...)"
        )
    ax = _axes(ax)
    pit = torch.tensor(predicted["pit"].tolist(), dtype=torch.double)
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


def _axes(ax: Axes | None, size: tuple[float, float] = (3.4, 3.4)) -> Axes:
    if ax is None:
        plt: Any = require("matplotlib.pyplot", "a figure")
        ax = plt.subplots(figsize=size, layout="constrained")[1]
    ax.spines[["top", "right"]].set_visible(False)
    ax.grid(visible=True, color="#e3e6ea", linewidth=0.8)
    ax.set_axisbelow(True)
    return ax


def _label(word: str, unit: str) -> str:
    return f"{word} ({unit})" if unit else word
