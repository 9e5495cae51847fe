"""Whether stated probabilities of classes are right, and how often one is right where one is sure."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from mfmat.errors import SchemaError
from mfmat.reports.evidence import hold
from mfmat.reports.figures.paper import MAIN, SINGLE, SOFT, axes, numbers

if TYPE_CHECKING:
    from matplotlib.axes import Axes

EXPECTED = "a table of cross_validate on labels"
LEFT_OUT = 0.05
"""Share of the rows, the surest, whose own share of right answers is too uncertain to be drawn."""


def reliability(
    predicted: pd.DataFrame,
    ax: Axes | None = None,
    *,
    of: str = "",
    bins: int = 10,
    label: str = "",
    colour: str = MAIN,
    marker: str = "o",
    width: float = SINGLE,
) -> Axes:
    """Stated probabilities of a class against how often it was there, with 95% intervals; on the diagonal they hold.

    Rows are put in bins of equal width by the stated probability; each point is a bin's mean and its share of rows.

    Args:
        predicted: a table of `cross_validate` on labels.
        ax: where to draw, also over other points; a new figure unless given.
        of: the class; unless given, the most probable one of each row.
        bins: their number; those without a row are left out.
        label: for a legend.
        colour: of the points.
        marker: of the points.
        width: of a new figure, in mm.

    Raises:
        SchemaError: a table without labels, the class or rows, or with a cell that is no number.
        MissingExtraError: matplotlib is not installed.

    Murphy & Winkler 1977, doi:10.2307/2346866; Guo et al. 2017, arXiv:1706.04599; Clopper & Pearson 1934,
    doi:10.1093/biomet/26.4.404, for the intervals.

    >>> import matplotlib; matplotlib.use("agg")
    >>> said = {"y": ["gap", "metal"], "label": "gap", "p_gap": [0.9, 0.6], "p_metal": [0.1, 0.4]}
    >>> reliability(pd.DataFrame(said), of="gap").get_xlabel()
    'stated probability of gap'
    """
    stated, held = _said(predicted, of)
    place = np.minimum((stated * bins).astype(int), bins - 1)
    mean = pd.Series(stated).groupby(place).mean()
    table = hold(pd.Series(held), place.tolist()).loc[mean.index]
    share = table["held"] / table["size"]
    ax = axes(ax, width)
    ax.plot([0, 1], [0, 1], color=SOFT, linewidth=1, linestyle=(0, (4, 3)), zorder=2)
    ends = [share - table["low"], table["high"] - share]
    ax.errorbar(mean, share, ends, fmt=marker, color=colour, label=label or None, markersize=4, linewidth=1, zorder=3)
    what = f"stated probability of {of}" if of else "stated probability of the label"
    ax.set(xlim=(0, 1), ylim=(-0.02, 1.02), aspect="equal", xlabel=what)
    ax.set_ylabel(f"share that is {of}" if of else "share that is right")
    return ax


def selective_accuracy(
    predicted: pd.DataFrame,
    ax: Axes | None = None,
    *,
    label: str = "",
    colour: str = MAIN,
    width: float = SINGLE,
) -> Axes:
    """How many labels are right if only the surest rows are decided, against the share of rows that are.

    The surest are those whose label has the highest probability; the curve begins at the surest twentieth.

    Args:
        predicted: a table of `cross_validate` on labels.
        ax: where to draw, also over another curve; a new figure unless given.
        label: for a legend.
        colour: of the curve.
        width: of a new figure, in mm.

    Raises:
        SchemaError: a table without labels or rows, or with a cell that is no number.
        MissingExtraError: matplotlib is not installed.

    El-Yaniv & Wiener 2010, Journal of Machine Learning Research 11, 1605-1641.

    >>> import matplotlib; matplotlib.use("agg")
    >>> said = {"y": ["gap", "metal"], "label": "gap", "p_gap": [0.9, 0.6], "p_metal": [0.1, 0.4]}
    >>> [float(x) for x in selective_accuracy(pd.DataFrame(said)).lines[0].get_ydata()]
    [1.0, 0.5]
    """
    stated, right = _said(predicted)
    surest = np.argsort(-stated, kind="stable")
    decided = np.arange(1, len(right) + 1)
    first = int(LEFT_OUT * len(right))
    ax = axes(ax, width)
    ax.plot(
        (decided / len(right))[first:],
        (np.cumsum(right[surest]) / decided)[first:],
        color=colour,
        linewidth=1.8,
        label=label or None,
    )
    ax.set(xlim=(0, 1), xlabel="share of rows decided, surest first", ylabel="share of labels that are right")
    for axis in (ax.xaxis, ax.yaxis):
        axis.set_major_formatter(lambda value, _: f"{value:.0%}")
    return ax


def _said(predicted: pd.DataFrame, of: str = "") -> tuple[np.ndarray, np.ndarray]:
    """The stated probability of a class, or of the label, and whether it came true."""
    names = [name for name in predicted.columns if name.startswith("p_")]
    if missing := [name for name in ("y", "label") if name not in predicted] or ["p_..."] * (not names):
        raise SchemaError(
            f"predicted without {', '.join(missing)}",
            expected=EXPECTED,
            fix="mf.cross_validate with a target that is a label; calibration() for values",
        )
    if of and f"p_{of}" not in names:
        classes = ", ".join(repr(name.removeprefix("p_")) for name in names)
        raise SchemaError(f"of={of!r}", expected=f"one of {classes}", fix="the name of a class")
    stated = np.stack(numbers(predicted, [f"p_{of}"] if of else names, expected=EXPECTED))
    held = predicted["y"] == (of or predicted["label"])
    return stated.max(axis=0), held.to_numpy(dtype=bool)
