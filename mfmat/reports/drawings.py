"""The plots of a page: what each shows, and what a point says when the pointer is near."""

from __future__ import annotations

import numpy as np
import pandas as pd
import torch

from mfmat.metrics import calibration_curve
from mfmat.metrics.calibration import band
from mfmat.reports.evidence import Evidence
from mfmat.reports.svg import Plot, Scale, spanning, tag
from mfmat.reports.wording import percent, short

MOST = 1500
"""Points drawn at most; more would hide each other and make the page heavy. Numbers always count all rows."""
CELL = (200, 18)
"""Width and height of a drawing in a table."""


def parity(found: Evidence, quantity: str, unit: str) -> str:
    """Measured against predicted values with their intervals."""
    table = thinned(found.table)
    limits = spanning([*table["y"], *table["median"]])
    plot = Plot(limits, limits)
    plot.line([(limits[0], limits[0]), (limits[1], limits[1])], "ideal")
    rows = list(table[["name", "y", "median", "lower", "upper"]].itertuples(index=False, name=None))
    kinds = ["" if lower <= y <= upper else "outside" for _, y, _, lower, upper in rows]
    for (_, y, _, lower, upper), kind in zip(rows, kinds, strict=True):
        plot.whisker(y, lower, upper, kind)
    for (name, y, median, lower, upper), kind in zip(rows, kinds, strict=True):
        said = f"{name}: measured {short(y)}, predicted {short(median)} ({short(lower)} to {short(upper)}) {unit}"
        plot.point(y, median, said.strip(), kind)
    label = f"Measured against predicted {quantity} of {len(found.table)} held-out values, with intervals."
    return plot.drawn("parity", label, (_axis("measured", unit), _axis("predicted", unit)))


def curve(found: Evidence) -> str:
    """Nominal levels against the share of intervals that held, within the band of chance."""
    # Copied first: pandas hands out arrays that torch may not write to, of which it warns.
    n, pit = len(found.table), torch.tensor(found.table["pit"].tolist(), dtype=torch.double)
    levels, observed = (each.numpy() for each in calibration_curve(pit))
    low, high = band(n, levels)
    plot = Plot((0.0, 1.0), (0.0, 1.0))
    edge = [*zip(levels, high, strict=True), *zip(levels[::-1], low[::-1], strict=True)]
    plot.area([(float(x), float(y)) for x, y in edge], "chance")
    plot.line([(0, 0), (1, 1)], "ideal")
    pairs = list(zip(levels.tolist(), observed.tolist(), strict=True))
    plot.line(pairs, "curve")
    for level, share in pairs[5:-1:5]:
        said = f"{percent(level)} intervals held {percent(share)} of the time ({round(share * n)} of {n})"
        plot.point(level, share, said)
    label = "Share of intervals that held at each level; on the diagonal they hold as often as they say."
    return plot.drawn("calibration", label, ("level of the interval", "share that held"), percent="xy")


def ranked(predicted: pd.DataFrame, quantity: str, unit: str) -> str:
    """Predictions from the highest to the lowest, with their intervals."""
    table = thinned(predicted)
    rows = list(table[["name", "median", "lower", "upper"]].itertuples(index=False, name=None))
    limits = spanning([*table["lower"], *table["upper"]])
    plot = Plot((-0.8, len(rows) - 0.2), limits, width=920, height=280, bottom=30)
    for i, (_, _, lower, upper) in enumerate(rows):
        plot.whisker(i, lower, upper)
    for i, (name, median, lower, upper) in enumerate(rows):
        said = f"{name}: {short(median)} ({short(lower)} to {short(upper)}) {unit}"
        plot.point(i, median, said.strip(), radius=3.5 if len(rows) <= 200 else 2)
    label = f"Predicted {quantity} of {len(predicted)} candidates, from the highest to the lowest, with intervals."
    titles = (f"{len(predicted)} candidates, highest first", _axis("predicted", unit))
    return plot.drawn("ranked", label, titles, bare="x")


def interval_cell(marks: tuple[float, float, float], limits: tuple[float, float], *, mark: float | None = None) -> str:
    """A median and the ends of its interval as a table's cell shows them, on a scale that all its rows share.

    A thin line stands at `mark`.
    """
    median, lower, upper = marks
    width, height = CELL
    place, middle = Scale(*limits, 5, width - 5), height / 2
    whisker = tag("line", x1=place(lower), x2=place(upper), y1=middle, y2=middle, class_="whisker")
    zero = [] if mark is None else [tag("line", x1=place(mark), x2=place(mark), y1=0, y2=height, class_="zero")]
    return _cell(*zero, whisker, tag("circle", cx=place(median), cy=middle, r=3.5, class_="point"))


def bar_cell(value: float, most: float, *, chosen: bool = False) -> str:
    """A length as a table's cell shows it."""
    width, height = CELL
    size = {"width": value / (most or 1.0) * width, "height": height - 6}
    return _cell(tag("rect", x=0, y=3, **size, rx=2, class_="bar chosen" if chosen else "bar"))


def thinned(table: pd.DataFrame) -> pd.DataFrame:
    """At most `MOST` rows, evenly spaced, in their order."""
    if len(table) <= MOST:
        return table
    return table.iloc[np.unique(np.linspace(0, len(table) - 1, MOST).round().astype(int))]


def _cell(*marks: str) -> str:
    width, height = CELL
    size = {"viewBox": f"0 0 {width} {height}", "width": width, "height": height}
    return tag("svg", *marks, **size, class_="cell", aria_hidden="true")


def _axis(word: str, unit: str) -> str:
    return f"{word} ({unit})" if unit else word
