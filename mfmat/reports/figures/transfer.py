"""Which source of knowledge helps which target: a map with numbers and how sure they are."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mfmat.errors import SchemaError
from mfmat.reports.figures.paper import DOUBLE, axes

if TYPE_CHECKING:
    from matplotlib.axes import Axes

BRIGHT = 0.45
"""Share of the colour scale above which letters are black."""
LEAST = 48.0
"""Height in mm beside which the scale of colours has room for its name."""
FLAT = 8
"""Letters of names that stand level under their columns."""


def transferability(
    gains: pd.DataFrame,
    spreads: pd.DataFrame | None = None,
    ax: Axes | None = None,
    *,
    what: str = "share of the variance explained",
    width: float = DOUBLE,
) -> Axes:
    """How much each source (column) helps each target (row): bright where much, the best of a row in a frame.

    Args:
        gains: a row for each target, a column for each source, large where it helps; a missing cell was not tried.
        spreads: their uncertainty, with the same rows and columns.
        ax: where to draw; a new figure unless given.
        what: the gain is, for the scale of colours.
        width: of a new figure, in mm.

    Raises:
        SchemaError: no rows or numbers, a cell that is no number, or spreads of other rows or columns.
        MissingExtraError: matplotlib is not installed.

    >>> import matplotlib; matplotlib.use("agg")
    >>> gains = pd.DataFrame({"PBE gaps": [0.6, 0.1], "bulk moduli": [0.1, 0.5]}, index=["exp. gap", "hardness"])
    >>> [text.get_text() for text in transferability(gains, 0 * gains + 0.02).texts][:2]
    ['0.60\\n±0.02', '0.10\\n±0.02']
    """
    values, doubt = _numbers(gains), None if spreads is None else _spreads(spreads, gains)
    rows, columns = values.shape
    longest = max(len(str(name)) for name in gains.columns)
    ax = axes(ax, width, max(14 + longest + 7.5 * rows, LEAST))
    ax.grid(visible=False)
    low, high = min(0.0, float(np.nanmin(values))), max(float(np.nanmax(values)), 1e-12)
    image = ax.imshow(values, cmap="cividis", vmin=low, vmax=high, aspect="auto")
    turned: dict[str, Any] = {"rotation": 50, "ha": "right", "rotation_mode": "anchor"} if longest > FLAT else {}
    ax.set_xticks(range(columns), [str(name) for name in gains.columns], **turned)
    ax.set_yticks(range(rows), [str(name) for name in gains.index])
    letters = min(6.5, 100 / columns)
    for i, j in np.argwhere(np.isfinite(values)).tolist():
        said = f"{values[i, j]:.2f}" + ("" if doubt is None else f"\n±{doubt[i, j]:.2f}")
        ink = "black" if (values[i, j] - low) / (high - low) > BRIGHT else "white"
        ax.text(j, i, said, ha="center", va="center", fontsize=letters, color=ink, linespacing=1.0)
    for i in np.flatnonzero(np.isfinite(values).any(axis=1)).tolist():
        _frame(ax, int(np.nanargmax(values[i])), i)
    ax.spines[:].set_visible(False)
    ax.tick_params(length=0)
    bar = ax.figure.colorbar(image, ax=ax, fraction=0.03, pad=0.015)
    bar.outline.set_visible(False)
    bar.set_label(what)
    return ax


def _numbers(gains: pd.DataFrame) -> NDArray[np.float64]:
    asked: dict[str, Any] = {"expected": "a row for each target, a column for each source", "fix": "numbers, or NaN"}
    if gains.empty:
        raise SchemaError("gains without rows or columns", **asked)
    values: NDArray[np.float64] = gains.apply(pd.to_numeric, errors="coerce").to_numpy(dtype=np.float64)
    bad = np.argwhere((np.isnan(values) & gains.notna().to_numpy()) | np.isinf(values))
    if len(bad):
        i, j = bad[0].tolist()
        came = f"gains whose row {gains.index[i]} has {gains.iloc[i, j]} as {gains.columns[j]!r}"
        raise SchemaError(came, **asked)
    if np.isnan(values).all():
        raise SchemaError("gains of which none is known", **asked)
    return values


def _spreads(spreads: pd.DataFrame, gains: pd.DataFrame) -> NDArray[np.float64]:
    if not (spreads.index.equals(gains.index) and spreads.columns.equals(gains.columns)):
        raise SchemaError(
            f"spreads of {spreads.shape[0]} x {spreads.shape[1]} cells",
            expected="the rows and columns of the gains",
            fix="spreads.loc[gains.index, gains.columns]",
        )
    found = _numbers(spreads)
    if (lacks := np.argwhere(np.isnan(found) & gains.notna().to_numpy())).size:
        i, j = lacks[0].tolist()
        raise SchemaError(
            f"no spread of {gains.columns[j]} for {gains.index[i]}", expected="one for each gain", fix="spreads=None"
        )
    return found


def _frame(ax: Axes, column: int, row: int) -> None:
    x, y = column - 0.47, row - 0.47
    ax.plot([x, x + 0.94, x + 0.94, x, x], [y, y, y + 0.94, y + 0.94, y], color="#c2410c", linewidth=1.5)
