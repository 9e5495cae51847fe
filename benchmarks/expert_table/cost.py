"""Seconds to fit against rows: the exponent, and the picture of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from record import record

from expert_table import contents
from expert_table.run import Row, current

PICTURE = Path(__file__).parents[2] / "docs" / "experts-cost.png"
LARGEST = 4
"""An exponent is that of the largest tables: on small ones the fixed cost of a start hides it."""
STYLE = {"font.size": 11, "axes.titlesize": 12, "axes.titleweight": "bold", "axes.titlelocation": "left"}
COLOURS = ("#0b7a75", "#8a5a9e", "#d1495b", "#e8963a", "#2e6fb7", "#6b8e23", "#a0522d", "#444444")
Curve = list[tuple[int, float]]


def write(path: Path) -> None:
    """Sum up a file of fits as results/growth.json, and draw docs/experts-cost.png."""
    rows = [row for row in current(path) if row["status"] == "finished"]
    curves = {name: curve(rows, name) for name in ordered(rows)}
    curves = {name: points for name, points in curves.items() if len(points) > 1}
    if not curves:
        print(f"{path.name} holds no two sizes of one learner yet")
        return
    sizes = sorted({n for points in curves.values() for n, _ in points})
    lines: list[dict[str, Any]] = [
        {"learner": name, **{f"{n} rows": dict(points).get(n) for n in sizes}, "exponent": round(exponent(points), 2)}
        for name, points in curves.items()
    ]
    says = (
        f"Seconds to fit, first prediction included, by the number of rows (mp_gap). The exponent p of time ~ rows^p "
        f"is fitted to the {LARGEST} largest sizes of each learner. A learner ends where it refuses more rows or takes "
        f"longer than {max(row['limit_s'] for row in rows):g} s; threads: {max(row['threads'] for row in rows)}."
    )
    record("growth", lines, says=says, picture=PICTURE.name, command="python benchmarks/growth.py")
    draw(curves)


def ordered(rows: Sequence[Row]) -> list[str]:
    """The learners that were measured, mfmat's first."""
    known = [*contents.EXPERTS, contents.MIXTURE, *contents.PEERS]
    return sorted({row["name"] for row in rows}, key=lambda name: (known.index(name.split(" ")[0]), name))


def curve(rows: Sequence[Row], name: str) -> Curve:
    """Rows and seconds of one learner."""
    return sorted((row["rows_train"], row["fit_s"]) for row in rows if row["name"] == name)


def exponent(points: Curve) -> float:
    """The slope of the logarithms over the largest sizes."""
    n, seconds = np.log(np.array(points[-LARGEST:])).T
    return float(np.polyfit(n, seconds, 1)[0])


def draw(curves: Mapping[str, Curve], path: Path = PICTURE) -> None:
    """One line a learner, named with its exponent where it ends."""
    mpl.use("agg")
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(8.5, 5.2), layout="constrained")
        ax = figure.subplots()
        for (_, points), colour in zip(curves.items(), COLOURS * 2, strict=False):
            n, seconds = zip(*points, strict=True)
            ax.plot(n, seconds, "o-", color=colour, lw=1.8, ms=4.5, zorder=3)
        ax.set(xscale="log", yscale="log", xlabel="rows", ylabel="seconds to fit")
        ax.set_title("what more rows cost (exponent over the largest sizes)")
        ax.grid(which="major", color="#dddddd", lw=0.8)
        ax.spines[["top", "right"]].set_visible(False)
        ax.tick_params(which="minor", length=0)
        ticks = sorted({n for points in curves.values() for n, _ in points})
        ax.set_xticks(ticks, [f"{n:,}".replace(",", " ") for n in ticks])
        ax.set_xlim(ticks[0] * 0.8, ticks[-1] * 4)
        label(ax, curves)
        figure.savefig(path, dpi=200)


def label(ax: Axes, curves: Mapping[str, Curve]) -> None:
    """Names at the right end of the lines, moved apart where they would touch; over the end of a line that is short."""
    low, high = np.log(ax.get_ylim())
    right = max(points[-1][0] for points in curves.values())
    long = [name for name, points in curves.items() if points[-1][0] == right]
    long.sort(key=lambda name: curves[name][-1][1])
    places = apart([float(np.log(curves[name][-1][1])) for name in long], 0.055 * (high - low))
    for (name, points), colour in zip(curves.items(), COLOURS * 2, strict=False):
        text, (n, seconds) = f"{name}  {exponent(points):.1f}", points[-1]
        if name not in long:
            ax.annotate(
                text, (n, seconds), (0, 7), textcoords="offset points", ha="center", color=colour, weight="bold"
            )
            continue
        place = (right * 1.3, float(np.exp(places[long.index(name)])))
        line = {"arrowstyle": "-", "color": colour, "lw": 0.8, "shrinkA": 2, "shrinkB": 4, "relpos": (0, 0.5)}
        ax.annotate(
            text, (n, seconds), place, va="center", color=colour, weight="bold", arrowprops=line, annotation_clip=False
        )


def apart(heights: Sequence[float], gap: float) -> list[float]:
    """Sorted heights, moved as little as need be until neighbours are a gap apart."""
    places = list(heights)
    for _ in range(500):
        for i in range(len(places) - 1):
            push = max(0.0, gap - (places[i + 1] - places[i])) / 2
            places[i], places[i + 1] = places[i] - push, places[i + 1] + push
    return places
