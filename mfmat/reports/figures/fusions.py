"""What each source is worth: to every material, in all, and to the choice of a recipe."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np
import pandas as pd

from mfmat.errors import SchemaError
from mfmat.reports.figures.paper import MAIN, OFF, SINGLE, SOFT, axes, label, numbers
from mfmat.reports.wording import losses
from mfmat.surrogate import Surrogate

if TYPE_CHECKING:
    from matplotlib.axes import Axes

PALE = "#8fbfe0"
GOLDEN = 0.618
"""Multiples of it, less their whole parts, lie evenly and form no pattern."""


def source_contribution(
    explained: pd.DataFrame,
    ax: Axes | None = None,
    *,
    of: Literal["reduction", "shift"] = "reduction",
    unit: str = "",
    width: float = SINGLE,
) -> Axes:
    """What each source does to the prediction of every material: a dot each, and a line at the median.

    Right of 0 a source takes doubt away (`reduction`) or raises the prediction (`shift`); left of it, it adds doubt,
    or lowers it.

    Args:
        explained: a table of `Surrogate.explain`.
        ax: where to draw; a new figure unless given.
        of: the share of the variance that a source takes away, or how far it moves the mean.
        unit: of the values, for the label of `shift`.
        width: of a new figure, in mm.

    Raises:
        SchemaError: a table of no sources or rows, or with a cell that is no number.
        MissingExtraError: matplotlib is not installed.

    >>> import matplotlib; matplotlib.use("agg")
    >>> table = pd.DataFrame({"reduction_pbe": [0.5, 0.7], "reduction_all": [0.6, 0.8]})
    >>> [text.get_text() for text in source_contribution(table).get_yticklabels()]
    ['pbe', 'all']
    """
    names = [name for name in explained.columns if str(name).startswith(f"{of}_")]
    asked = {"what": "explained", "expected": "a table of Surrogate.explain", "fix": "surrogate.explain(table)"}
    columns = numbers(explained, names or [f"{of}_ and a source"], **asked)
    ax = axes(ax, width, 18 + 12 * len(names))
    spots = 0.5 * (GOLDEN * np.arange(len(explained)) % 1 - 0.5)
    ax.axvline(0, color=SOFT, linewidth=1, linestyle=(0, (4, 3)), zorder=2)
    for rank, column in enumerate(columns):
        tint = SOFT if names[rank] == f"{of}_all" else MAIN
        ax.scatter(column, rank + spots, s=9, color=tint, alpha=0.5, linewidth=0, zorder=3)
        ax.vlines(np.median(column), rank - 0.36, rank + 0.36, color=tint, linewidth=2.2, zorder=4)
    ax.set_yticks(range(len(names)), [name.removeprefix(f"{of}_") for name in names])
    ax.set(ylim=(len(names) - 0.4, -0.6))
    if of == "reduction":
        ax.set(xlabel="share of the variance taken away")
        ax.xaxis.set_major_formatter(lambda value, _: f"{value:.0%}")
    else:
        ax.set(xlabel=label("shift of the prediction", unit))
    return _rows(ax)


def source_gains(diagnosed: pd.DataFrame, ax: Axes | None = None, *, width: float = SINGLE) -> Axes:
    """The share of the held-out error that each source takes away, with its error bar; rings are sources to drop.

    Args:
        diagnosed: a table of `diagnose`; sources without rows, which have no gain, are left out.
        ax: where to draw; a new figure unless given.
        width: of a new figure, in mm.

    Raises:
        SchemaError: a table without the needed columns, or without a source that has a gain.
        MissingExtraError: matplotlib is not installed.

    >>> import matplotlib; matplotlib.use("agg")
    >>> bar = {"gain": [0.4], "gain_lower": [0.3], "gain_upper": [0.5], "verdict": ["use"]}
    >>> source_gains(pd.DataFrame(bar, index=["pbe"])).get_yticklabels()[0].get_text()
    'pbe: use'
    """
    asked = {"what": "diagnosed", "expected": "a table of mf.diagnose", "fix": "mf.diagnose(table, schema)"}
    numbers(diagnosed.iloc[:0] if "verdict" not in diagnosed else diagnosed.assign(verdict=0), ["verdict"], **asked)
    known = diagnosed[diagnosed["gain"].notna()] if "gain" in diagnosed else diagnosed
    gain, lower, upper = numbers(known, ("gain", "gain_lower", "gain_upper"), **asked)
    ax = axes(ax, width, 18 + 9 * len(known))
    rank, drop = np.arange(len(known)), (known["verdict"] == "drop").to_numpy()
    ax.axvline(0, color=SOFT, linewidth=1, linestyle=(0, (4, 3)), zorder=2)
    for rows, tint, fill in ((~drop, MAIN, MAIN), (drop, OFF, "white")):
        ax.hlines(rank[rows], lower[rows], upper[rows], color=tint, alpha=0.5, linewidth=1.5, zorder=3)
        ax.scatter(gain[rows], rank[rows], s=26, facecolor=fill, edgecolor=tint, linewidth=1.2, zorder=4)
    ax.set_yticks(rank, [f"{name}: {verdict}" for name, verdict in known["verdict"].items()])
    ax.set(ylim=(len(rank) - 0.4, -0.6), xlabel="share of the held-out error (CRPS) taken away")
    ax.xaxis.set_major_formatter(lambda value, _: f"{value:.0%}")
    return _rows(ax)


def sources(surrogate: Surrogate, ax: Axes | None = None, *, width: float = SINGLE) -> Axes:
    """The held-out error of every fusion that `Auto` tried; the chosen one stands on top.

    Args:
        surrogate: fitted with `Auto`.
        ax: where to draw; a new figure unless given.
        width: of a new figure, in mm.

    Raises:
        SchemaError: a surrogate that was not chosen among several.
        MissingExtraError: matplotlib is not installed.
    """
    tried = surrogate.card["compared"]
    if not tried:
        raise SchemaError(
            "a surrogate whose recipe compared nothing",
            expected="one fitted with Auto, with at least 10 target compounds",
            fix="mf.fit(table, schema)",
        )
    ax = axes(ax, width, 18 + 8 * len(tried))
    loss, values = losses(tried)
    shades = [MAIN] + [PALE] * (len(tried) - 1)
    bars = ax.barh([row["candidate"] for row in tried], values, color=shades, height=0.62)
    ax.bar_label(bars, [f"{value:.3g}" for value in values], padding=3, fontsize="small")
    ax.invert_yaxis()
    said = label(f"held-out {loss}", surrogate.schema.unit if loss == "CRPS" else "")
    ax.set(xlabel=said, xlim=(0, 1.2 * max(values)))
    return _rows(ax)


def _rows(ax: Axes) -> Axes:
    """The axes, its rows told apart by their names alone."""
    ax.grid(visible=False, axis="y")
    ax.tick_params(axis="y", length=0)
    return ax
