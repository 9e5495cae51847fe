"""Who is listened to where: the weights of a mixture's members over a plane of materials."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mfmat.errors import SchemaError
from mfmat.reports.figures.paper import SINGLE, SOFT, axes, numbers
from mfmat.reports.listening import names_of, shares
from mfmat.surrogate import Surrogate

if TYPE_CHECKING:
    from matplotlib.axes import Axes

CORNERS = np.array([[0.0, 0.0], [1.0, 0.0], [0.5, np.sqrt(3) / 2]])
BRIGHT = 0.45
"""Share of the colour scale above which letters are black."""
SUBSCRIPT = re.compile(r"(\d+\.?\d*)")


def blend(ends: Sequence[str], *, steps: int = 20, column: str = "formula") -> pd.DataFrame:
    """The mixtures of two or three formulas in even steps, as a table for `predict` and `gate_weights`.

    Args:
        ends: formulas, such as `["AlN", "GaN", "InN"]`.
        steps: between one end and another.
        column: of the mixed formulas.

    Returns:
        `column`, and for each end a column of its share in formula units; shares of a row sum to 1.

    Raises:
        SchemaError: other than two or three different ends, or no steps.

    >>> blend(["GaAs", "AlAs"], steps=2)
            formula  GaAs  AlAs
    0          AlAs   0.0   1.0
    1  (GaAs)0.5(AlAs)0.5   0.5   0.5
    2          GaAs   1.0   0.0
    """
    if len(ends) not in (2, 3) or len(set(ends)) != len(ends) or steps < 1 or column in ends:
        raise SchemaError(
            f"ends={list(ends)}, steps={steps}",
            expected="two or three different formulas and a step",
            fix='blend(["AlN", "GaN", "InN"])',
        )
    counts = np.stack(np.meshgrid(*[np.arange(steps + 1)] * (len(ends) - 1), indexing="ij"), -1).reshape(
        -1, len(ends) - 1
    )
    counts = counts[counts.sum(axis=1) <= steps]
    parts = np.column_stack([counts, steps - counts.sum(axis=1)]) / steps
    return pd.DataFrame({column: [_mix(ends, row) for row in parts.tolist()], **dict(zip(ends, parts.T, strict=True))})


def gate_weights(
    surrogate: Surrogate,
    plane: pd.DataFrame,
    over: Sequence[str],
    ax: Axes | None = None,
    *,
    member: str | None = None,
    width: float = SINGLE,
) -> Axes:
    r"""The weight of one member of a mixture over a plane; some rows have it as a number, with its standard deviation.

    Args:
        surrogate: of a recipe that mixes, such as `Mixture` or what `Auto` chose.
        plane: rows as for `predict`, on a grid or scattered; `blend` makes those of compositions.
        over: two columns of `plane` for the axes, or three whose shares sum to 1, which span a triangle.
        ax: where to draw; a new figure unless given.
        member: whose weight, by its name in `explain`; unless given, the one whose weight varies most.
        width: of a new figure, in mm.

    Raises:
        SchemaError: a surrogate that mixes nothing or has no such member, rows that span no plane, missing columns,
            or a cell that is no number.
        TableError: rows that the surrogate cannot read.
        MissingExtraError: matplotlib is not installed.
    """
    x, y = _places(plane, over)
    name, weight, std = _weights(surrogate, plane, member)
    ax = axes(ax, width, 0.8 * width)
    try:
        image = ax.tripcolor(x, y, weight, shading="gouraud", cmap="cividis")
    except (RuntimeError, ValueError) as error:
        raise SchemaError(
            f"{len(plane)} rows that span no plane over {', '.join(over)}",
            expected="at least three rows that are not on a line",
            fix="blend([...]), or a grid of both columns",
        ) from error
    for spot in _spots(x, y, triangle=len(over) == 3):
        ink = "black" if weight[spot] > weight.min() + BRIGHT * np.ptp(weight) else "white"
        said = f"{weight[spot]:.2f}\n±{std[spot]:.2f}"
        ax.text(x[spot], y[spot], said, ha="center", va="center", color=ink, fontsize="small")
    if len(over) == 3:
        _triangle(ax, over)
    else:
        ax.set(xlabel=str(over[0]), ylabel=str(over[1]))
    ax.grid(visible=False)
    bar = ax.figure.colorbar(image, ax=ax, fraction=0.05, pad=0.03)
    bar.outline.set_visible(False)
    bar.set_label(f"weight of {name}")
    return ax


def _weights(
    surrogate: Surrogate, plane: pd.DataFrame, member: str | None
) -> tuple[str, NDArray[np.float64], NDArray[np.float64]]:
    weights = shares(surrogate, plane)
    names = names_of(weights)
    if not names:
        raise SchemaError(
            f"a surrogate of {surrogate.recipe.kind}, which mixes nothing",
            expected="a mixture of learners",
            fix="mf.fit(table, schema, mf.Mixture([...]))",
        )
    name = max(names, key=lambda each: np.ptp(weights[f"weight_{each}"])) if member is None else member
    if name not in names:
        raise SchemaError(f"member={name!r}", expected=f"one of {', '.join(names)}", fix="leave it out")
    return name, weights[f"weight_{name}"].to_numpy(), weights[f"weight_std_{name}"].to_numpy()


def _places(plane: pd.DataFrame, over: Sequence[str]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    asked = {"what": "plane", "expected": "the columns that span the plane", "fix": "blend([...])"}
    if len(over) not in (2, 3):
        raise SchemaError(
            f"over={list(over)}", expected="two columns, or three shares", fix='over=["AlN", "GaN", "InN"]'
        )
    columns = numbers(plane, list(over), **asked)
    if len(over) == 2:
        return columns[0], columns[1]
    parts = np.column_stack(columns)
    off = (parts < -1e-9).any(axis=1) | (np.abs(parts.sum(axis=1) - 1) > 1e-6)
    if off.any():
        row = int(off.argmax())
        raise SchemaError(
            f"plane whose row {plane.index[row]} has the shares {parts[row].tolist()}",
            expected="three shares of 0 or more that sum to 1",
            fix="blend([...]), or two columns for axes at right angles",
        )
    x, y = (parts @ CORNERS).T
    return x, y


def _spots(x: NDArray[np.float64], y: NDArray[np.float64], *, triangle: bool) -> list[int]:
    """Rows whose numbers are written out: the middle and near each corner of a triangle, or nine over a square."""
    if triangle:
        spots = np.vstack([0.7 * np.eye(3) + 0.1, np.full((1, 3), 1 / 3)]) @ CORNERS
    else:
        steps = np.array([1, 3, 5]) / 6
        spots = np.array([[x.min() + a * np.ptp(x), y.min() + b * np.ptp(y)] for a in steps for b in steps])
    size = np.array([np.ptp(x), np.ptp(y)])
    apart = np.linalg.norm((spots[:, None] - np.column_stack([x, y])) / size, axis=2)
    return sorted(set(apart.argmin(axis=1).tolist()))


def _triangle(ax: Axes, over: Sequence[str]) -> None:
    """The outline, with the ends at its corners and what tenths of them are."""
    ax.axis("off")
    ax.set(aspect="equal", xlim=(-0.1, 1.1), ylim=(-0.12, 0.98))
    ax.plot(*CORNERS[[0, 1, 2, 0]].T, color=SOFT, linewidth=1)
    for part in (0.2, 0.4, 0.6, 0.8):
        for k in range(3):
            start, end = (part * CORNERS[k] + (1 - part) * CORNERS[other] for other in ((k + 1) % 3, (k + 2) % 3))
            ax.plot(*np.stack([start, end]).T, color="white", linewidth=0.5, alpha=0.35)
    for (x, y), name, va in zip(CORNERS, over, ("top", "top", "bottom"), strict=True):
        said = SUBSCRIPT.sub(r"$_{\1}$", str(name))
        ax.text(x, y + (0.03 if va == "bottom" else -0.03), said, ha="center", va=va)


def _mix(ends: Sequence[str], parts: Sequence[float]) -> str:
    there = [(end, part) for end, part in zip(ends, parts, strict=True) if part > 0]
    return there[0][0] if len(there) == 1 else "".join(f"({end}){part:.6g}" for end, part in there)
