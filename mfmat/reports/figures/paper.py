"""The sheet that figures are drawn on: widths and letters of print, colours, and the tables that they take."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mfmat.errors import SchemaError
from mfmat.extras import require

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis

SINGLE, DOUBLE = 89.0, 183.0
"""Widths in mm of one and of two columns of print, as Nature, Wiley and (within 3 mm) ACS and Elsevier have them."""
INCH = 25.4
LETTER = 1.6
"""Width in mm of a letter in a legend."""
MAIN, OFF, SOFT = "#0b6bb0", "#c2410c", "#6b7480"
SERIES = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00", "#000000")
"""Okabe & Ito 2008: colours that colour-blind readers tell apart; curves differ in dashes and marks, too."""
DASHES = ("-", (0, (5, 2)), (0, (1.5, 1.5)), (0, (6, 2, 1.5, 2)), (0, (3, 1, 1, 1, 1, 1)))
MARKS = ("o", "s", "^", "D", "v", "P", "X")
ENDS = ("lower", "upper")
"""Columns that may be infinite: the interval has no end there."""
PRINT = {
    "font.size": 8,
    "axes.labelsize": 8,
    "axes.titlesize": 8,
    "xtick.labelsize": 7,
    "ytick.labelsize": 7,
    "legend.fontsize": 7,
    "legend.frameon": False,
    "axes.linewidth": 0.6,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "xtick.minor.width": 0.4,
    "ytick.minor.width": 0.4,
    "savefig.dpi": 600,
    # Letters stay letters, which a journal can edit and a reader can search.
    "pdf.fonttype": 42,
    "ps.fonttype": 42,
    "svg.fonttype": "none",
}


def paper(**more: Any) -> AbstractContextManager[None]:
    """Letters of 7 and 8 points, thin lines and 600 dots an inch while figures are drawn and saved.

    Figures keep what matplotlib is set to, so that they fit a notebook or a style of one's own; inside
    `with paper():` they are as journals want them at their printed size.

    Args:
        more: further `rcParams`, dots written as underscores (`font_family="Arial"`).

    Raises:
        MissingExtraError: matplotlib is not installed.

    >>> import matplotlib; matplotlib.use("agg")
    >>> with paper(axes_labelsize=7):
    ...     axes(None, 80).figure.get_size_inches()[0].round(2), matplotlib.rcParams["axes.labelsize"]
    (np.float64(3.15), 7.0)
    """
    mpl: Any = require("matplotlib", "a figure", "report")
    known = {name.replace(".", "_").replace("-", "_"): name for name in mpl.rcParams}
    if unknown := [name for name in more if name not in known]:
        raise SchemaError(unknown[0], expected="a setting of matplotlib", fix="a name of matplotlib.rcParams")
    settings: AbstractContextManager[None] = mpl.rc_context(PRINT | {known[name]: each for name, each in more.items()})
    return settings


def axes(ax: Axes | None, width: float, height: float | None = None) -> Axes:
    """The given axes, or those of a new figure so many mm wide and high (square unless said), in the house style."""
    if ax is None:
        if not width > 0:
            raise SchemaError(f"width={width}", expected="a width in mm", fix="width=figures.SINGLE")
        plt: Any = require("matplotlib.pyplot", "a figure", "report")
        ax = plt.subplots(figsize=(width / INCH, (height or width) / INCH), layout="constrained")[1]
    ax.spines[["top", "right"]].set_visible(False)
    ax.grid(visible=True, color="#e3e6ea", linewidth=0.8)
    ax.set_axisbelow(True)
    return ax


def plain_log(axis: Axis) -> None:
    """A logarithmic axis whose ticks are numbers as people write them, enough of them also within one decade."""
    ticker: Any = require("matplotlib.ticker", "a figure", "report")
    low, high = axis.get_view_interval()
    subs = (1.0,) if high > 1e4 * low else (1.0, 2.0, 5.0) if high > 10 * low else (1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 7.0)
    axis.set_major_locator(ticker.LogLocator(subs=subs, numticks=20))
    axis.set_major_formatter(lambda value, _: f"{value:,.0f}" if value >= 1 and value == round(value) else f"{value:g}")
    axis.set_minor_locator(ticker.NullLocator())


def name_above(ax: Axes) -> None:
    """The legend above the plot, where it hides no line."""
    names = ax.get_legend_handles_labels()[1]
    figure: Any = ax.figure
    room = INCH * figure.get_figwidth() * ax.get_position().width
    columns = int(np.clip(room / (LETTER * (max(map(len, names)) + 6)), 1, len(names)))
    ax.legend(loc="lower left", bbox_to_anchor=(0, 1.0), ncols=columns, frameon=False, borderaxespad=0.2)


def label(word: str, unit: str) -> str:
    """What an axis says."""
    return f"{word} ({unit})" if unit else word


def numbers(
    table: pd.DataFrame,
    names: Sequence[str],
    *,
    what: str = "predicted",
    expected: str = "a table of cross_validate",
    fix: str = "mf.cross_validate(table, schema); figures of labels are reliability and selective_accuracy",
) -> list[NDArray[np.float64]]:
    """Columns of a table as numbers.

    Raises:
        SchemaError: no rows, missing columns, or a cell that is no number, with its row and column.

    >>> numbers(pd.DataFrame({"y": [1.0, None]}), ["y"])
    Traceback (most recent call last):
    mfmat.errors.SchemaError: got predicted whose row 1 has nan as 'y'; expected a table of cross_validate; ...
    """
    missing = [name for name in names if name not in table.columns]
    if missing or table.empty:
        raise SchemaError(f"{what} without {', '.join(missing) or 'rows'}", expected=expected, fix=fix)
    found = []
    for name in names:
        column = pd.to_numeric(table[name], errors="coerce").to_numpy(dtype=np.float64)
        bad = np.isnan(column) if name in ENDS else ~np.isfinite(column)
        if bad.any():
            row = int(bad.argmax())
            came = f"{what} whose row {table.index[row]} has {table[name].iloc[row]} as {name!r}"
            raise SchemaError(came, expected=f"{expected}, with a number in each cell", fix="leave the row out")
        found.append(column)
    return found


def name_rows(table: pd.DataFrame, names: Sequence[object] | None, what: str = "names") -> list[str]:
    """A name for each row: the index unless given.

    Raises:
        SchemaError: another number of names.
    """
    if names is None:
        return [str(name) for name in table.index]
    if len(names) != len(table):
        raise SchemaError(
            f"{len(names)} {what} for {len(table)} rows", expected=f"one of the {what} a row", fix="a list or a column"
        )
    return [str(name) for name in names]
