"""The plots of a campaign's page."""

from __future__ import annotations

from statistics import NormalDist

import pandas as pd

from mfmat.reports.chronicle import Chronicle
from mfmat.reports.drawings import thinned
from mfmat.reports.svg import Plot, spanning
from mfmat.reports.wording import money, number, percent, short

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
    """The share of intervals that held in all rounds so far, within the band of chance."""
    rounds = told.rounds
    plot = Plot(_numbers(rounds), (-0.03, 1.03))
    spots = rounds.index.tolist()
    places = [plot.x[0], *spots, plot.x[1]]
    low, high = ([ends[0], *ends, ends[-1]] for ends in (rounds["low"].tolist(), rounds["high"].tolist()))
    plot.area([*zip(places, high, strict=True), *zip(places[::-1], low[::-1], strict=True)], "chance")
    plot.line([(end, told.level) for end in plot.x], "ideal")
    plot.line(list(zip(spots, rounds["share"].tolist(), strict=True)), "curve")
    for _, row in thinned(rounds.reset_index()).iterrows():
        said = [
            f"up to round {row['round']}, {row['all_held']} of {row['all_told']} held ({percent(row['share'])})",
            f"honest intervals hold {percent(row['low'])} to {percent(row['high'])} of so many",
            f"in this round {row['held']} of {row['told']}",
        ]
        plot.point(row["round"], row["share"], "; ".join(said), "" if row["promise"] == "as" else "outside")
    label = f"Share of {percent(told.level)} intervals that held up to each of {len(rounds)} rounds, and chance's band."
    return plot.drawn("held", label, ("round that asked", "share that held so far"), percent="y", whole="x")


def errors(told: Chronicle) -> str:
    """Standardised errors of each round, and between which ends honest ones lie."""
    rounds, judged = told.rounds, told.judged
    mine = judged.groupby("round")["value"]
    # Values of one round stand beside each other, in the order told.
    beside = 0.6 * (mine.cumcount() - (mine.transform("size") - 1) / 2) / mine.transform("size")
    z = (judged["value"] - judged["mean"]) / judged["std"]
    reach = NormalDist().inv_cdf((1 + told.level) / 2)
    plot = Plot(_numbers(rounds), spanning([*z, -1.2 * reach, 1.2 * reach]), width=WIDE, height=300)
    left, right = plot.x
    plot.area([(left, -reach), (left, reach), (right, reach), (right, -reach)], "chance")
    plot.line([(left, 0.0), (right, 0.0)], "ideal")
    several = rounds[rounds["told"] > 1]
    for spot, mean in zip(several.index.tolist(), several["error"].tolist(), strict=True):
        plot.line([(spot - 0.35, mean), (spot + 0.35, mean)], "curve")
    for _, row in thinned(judged.assign(z=z, at=judged["round"].astype(float) + beside)).iterrows():
        said = f"{_said(told, row)}; standardised error {number(row['z'], 2)}"
        plot.point(row["at"], row["z"], said, "plain" if row["inside"] else "outside")
    label = f"Standardised errors of {len(judged)} {told.target} values by the round that asked for them."
    return plot.drawn("errors", label, ("round that asked", "error / stated deviation"), whole="x")


def _numbers(rounds: pd.DataFrame) -> tuple[float, float]:
    """From before the first round to after the last."""
    return float(rounds.index[0]) - 0.5, float(rounds.index[-1]) + 0.5


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
