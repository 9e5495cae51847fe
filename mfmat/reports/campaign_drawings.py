"""The plots of a campaign's page."""

from __future__ import annotations

import numpy as np
import pandas as pd

from mfmat.reports.chronicle import Chronicle
from mfmat.reports.drawings import thinned
from mfmat.reports.evidence import band
from mfmat.reports.svg import Plot, spanning
from mfmat.reports.wording import money, percent, short

WIDE = 920
LANE = 46
"""Height of a source's lane."""
MONEY = "money spent, in the units of the prices"


def progress(told: Chronicle) -> str:
    """The best target value so far against money, and every target value that was told."""
    course, values = told.course, thinned(told.told)
    best = course[["spent", "best"]].dropna()
    ends = [*values["value"], *best["best"]]
    plot = Plot(_range(told), spanning(ends), width=WIDE, height=340, bottom=30)
    if not best.empty:
        points = list(best.itertuples(index=False, name=None))
        plot.steps([*points, (float(course["spent"].iloc[-1]), points[-1][1])], "curve")
    risen = course["best"].ne(course["best"].shift()) & course["best"].notna()
    for (_, row), first in zip(values.iterrows(), risen[values.index], strict=True):
        plot.point(row["spent"], row["value"], _said(told, row), "" if first else "plain", 5 if first else 4)
    label = f"Best {told.target} value so far against money spent, and the {len(told.told)} values that were told."
    return plot.drawn("progress", label, ("", _titled(told, f"{told.schema.value}, {told.target}")))


def lanes(told: Chronicle) -> str:
    """Every measurement in the lane of its source, at what had been spent by then."""
    names = list(told.schema.sources)[::-1]
    rows = thinned(told.purchases)
    plot = Plot(_range(told), (-0.5, len(names) - 0.5), width=WIDE, height=LANE * len(names) + 58)
    for place, name in enumerate(names):
        mine = rows[rows["source"] == name]
        for _, row in mine.iterrows():
            shown = "" if row["state"] in ("told", "replaced") else row["state"]
            plot.point(row["spent"], place - 0.2, _said(told, row), shown, 3.5)
        plot.text(
            plot.x[0], place + 0.14, f"{name}: {len(told.purchases[told.purchases['source'] == name])} measurements"
        )
    label = f"When each of the {len(told.purchases)} measurements was paid for, by source."
    return plot.drawn("lanes", label, (MONEY, ""), bare="y")


def learning(told: Chronicle) -> str:
    """The error that the models expected over the pool against money, and the errors that were met."""
    line, judged = told.learned, thinned(told.judged)
    errors = (judged["value"] - judged["median"]).abs()
    plot = Plot(_range(told), (0.0, spanning([*line["std"], *errors, 0.0])[1]), width=WIDE, height=340, bottom=30)
    plot.line(list(line[["spent", "std"]].itertuples(index=False, name=None)), "curve")
    for spent, std in line[["spent", "std"]].itertuples(index=False, name=None):
        said = f"after {money(spent)}: expected error {short(std)} {told.schema.unit}".strip()
        plot.point(spent, std, said)
    for (_, row), error in zip(judged.iterrows(), errors, strict=True):
        plot.point(
            row["spent"],
            error,
            f"{_said(told, row)}; off by {short(error)}",
            "plain" if row["inside"] else "outside",
            4,
        )
    label = f"Expected error of {told.target} over the pool against money spent, and the errors met."
    return plot.drawn("progress", label, ("", _titled(told, "error")))


def promises(told: Chronicle) -> str:
    """Each told target value against the interval that was predicted when it was asked for, in order."""
    rows = thinned(told.judged)
    ends = [*rows["value"], *rows["lower"], *rows["upper"]]
    plot = Plot((0.2, len(rows) + 0.8), spanning(ends), bottom=46)
    kinds = ["" if inside else "outside" for inside in rows["inside"]]
    for i, (lower, upper) in enumerate(zip(rows["lower"], rows["upper"], strict=True)):
        plot.whisker(i + 1, lower, upper, kinds[i])
    for i, (_, row) in enumerate(rows.iterrows()):
        plot.point(i + 1, row["value"], _said(told, row), kinds[i], 4)
    label = f"{len(told.judged)} {told.target} values in the order told, each with the interval predicted for it."
    return plot.drawn(
        "promises", label, ("values asked for, in the order told", _titled(told, told.schema.value)), bare="x"
    )


def held(told: Chronicle) -> str:
    """The share of intervals that held so far, within the band of chance."""
    inside = told.judged["inside"].astype(float).to_numpy()
    count = np.arange(1, len(inside) + 1)
    share = np.cumsum(inside) / count
    ends = np.array([[float(end[0]) for end in band(int(n), np.array([told.level]))] for n in count])
    plot = Plot((0.5, len(inside) + 0.5), (-0.03, 1.03))
    edge = [*zip(count, ends[:, 1], strict=True), *zip(count[::-1], ends[::-1, 0], strict=True)]
    plot.area([(float(x), float(y)) for x, y in edge], "chance")
    plot.line([(0.5, told.level), (len(inside) + 0.5, told.level)], "ideal")
    points = list(zip(count.tolist(), share.tolist(), strict=True))
    plot.line(points, "curve")
    chosen = thinned(pd.DataFrame(points, columns=["n", "share"]).assign(low=ends[:, 0], high=ends[:, 1]))
    for n, part, low, high in chosen.itertuples(index=False, name=None):
        honest = f"honest intervals hold {percent(low)} to {percent(high)}"
        said = f"{round(part * n)} of the first {n:.0f} held ({percent(part)}); {honest}"
        plot.point(n, part, said, "" if low <= part <= high else "outside", 3)
    label = (
        f"Share of {percent(told.level)} intervals that held after each of {len(inside)} values, with chance's band."
    )
    axes = ("values asked for, in the order told", "share that held so far")
    return plot.drawn("held", label, axes, percent="y", bare="x" if len(inside) < 4 else "")


def _range(told: Chronicle) -> tuple[float, float]:
    most = float(told.course["spent"].max()) or 1.0
    return -0.015 * most, 1.03 * most


def _said(told: Chronicle, row: pd.Series) -> str:
    """What a point says: material, source, what came out of it, what was expected, what it cost."""
    unit = told.schema.unit
    came = f"{short(row['value'])} {unit}".strip() if pd.notna(row["value"]) else row["state"]
    said = [f"{row['name']}: {row['source']} {came}" if told.schema.source else f"{row['name']}: {came}"]
    if row["state"] == "failed" and row["why"]:
        said[0] += f" ({row['why']})"
    if pd.notna(row["median"]):
        ends = f" ({short(row['lower'])} to {short(row['upper'])})" if pd.notna(row["lower"]) else ""
        said.append(f"{told.target} had been predicted {short(row['median'])}{ends}")
    said.append("not asked for" if pd.isna(row["round"]) else f"round {row['round']}")
    return "; ".join([*said, f"cost {money(row['cost'])}, {money(row['spent'])} by then"])


def _titled(told: Chronicle, words: str) -> str:
    return f"{words} ({told.schema.unit})" if told.schema.unit else words
