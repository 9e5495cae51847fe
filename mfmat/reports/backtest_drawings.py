"""The plots of a backtest's page: one line a policy."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd

from mfmat.metrics.calibration import band
from mfmat.outcomes import Backtest
from mfmat.reports.svg import Plot, spanning
from mfmat.reports.wording import money, percent, short

STYLES = 6
"""Lines that can be told apart."""
LEVEL = 0.9
"""Of the intervals that asked values are compared with."""
COST = "money paid, the start included"
ROOM = 1.15
"""Between the first and last cost and the edge of a plot, as a ratio."""


def style(result: Backtest, policy: str) -> str:
    """The class of a policy's line."""
    return f"s{result.policies.index(policy) % STYLES}"


def reached(result: Backtest, costs: pd.DataFrame) -> str:
    """The share of runs that had what they looked for, by what they had paid."""
    limits = _costs(result)
    plot = Plot(limits, (-0.03, 1.05), log=True)
    for policy in result.policies:
        paid, runs = np.sort(costs[policy].to_numpy()), len(costs)
        paid = paid[np.isfinite(paid)]
        points = [(float(cost), (i + 1) / runs) for i, cost in enumerate(paid)]
        plot.steps([(limits[0], 0.0), *points, (limits[1], len(paid) / runs)], f"series {style(result, policy)}")
        for i, (cost, share) in enumerate(points):
            said = f"{policy}: {i + 1} of {runs} runs ({percent(share)}) had it for {money(cost)}"
            plot.point(cost, share, said, style(result, policy), 3)
    label = "Share of runs that had found what they looked for against money paid, one line a policy."
    return plot.drawn("reached", label, (COST, "share of runs that had it"), percent="y")


def course(result: Backtest, table: pd.DataFrame, what: str) -> str:
    """The mean of what is to be small against cost, with its interval over seeds."""
    return _lines(result, table, ("mean", "lower", "upper"), result.policies, (what, f"mean {what}"))


def difference(result: Backtest, table: pd.DataFrame, what: str) -> str:
    """How far each policy is below chance at each cost, paired by seed."""
    ends = ("difference", "difference_lower", "difference_upper")
    policies = [policy for policy in result.policies if policy != "random"]
    return _lines(result, table, ends, policies, (f"{what} less random's", f"{what} minus that of random"))


def calibration(result: Backtest, table: pd.DataFrame, counts: dict[str, int]) -> str:
    """How often the intervals of asked values held, early to late."""
    parts = table.shape[1]
    plot = Plot((0.5, parts + 0.5), (-0.03, 1.05))
    least = max(1, min(counts.values(), default=1) // parts)
    low, high = (float(end[0]) for end in band(least, np.array([LEVEL])))
    plot.area([(0.5, low), (parts + 0.5, low), (parts + 0.5, high), (0.5, high)], "chance")
    plot.line([(0.5, LEVEL), (parts + 0.5, LEVEL)], "ideal")
    for policy in map(str, table.index):
        points = [(k + 1.0, float(share)) for k, share in enumerate(table.loc[policy]) if not np.isnan(share)]
        plot.line(points, f"series {style(result, policy)}")
        for k, share in points:
            said = f"{policy}, quarter {k:.0f}: {percent(share)} held (of about {counts[policy] // parts} values)"
            plot.point(k, share, said, style(result, policy))
    label = "Share of 90% intervals that held, from the first asked values to the last, one line a policy."
    return plot.drawn("held", label, ("quarter of the asked values, early to late", "share that held"), percent="y")


def seconds(result: Backtest) -> str:
    """The median time that an ask took, by how many had been made."""
    asks = result.steps[result.steps["step"] > 0].drop_duplicates(["policy", "seed", "step"])
    medians = asks.groupby(["policy", "step"])["seconds"].median()
    most = float(medians.max())
    plot = Plot((0.0, float(asks["step"].max()) + 1), (0.0, (most or 1.0) * 1.06))
    for policy in result.policies:
        if policy not in medians.index.get_level_values(0):
            continue
        mine = _at_most(medians[policy].reset_index(), 60)
        points = list(mine.itertuples(index=False, name=None))
        plot.line(points, f"series {style(result, policy)}")
        for step, took in points:
            plot.point(step, took, f"{policy}, ask {step:.0f}: {short(took, 2)} s", style(result, policy), 2.5)
    label = "Median seconds of an ask against how many asks there had been, one line a policy."
    return plot.drawn("seconds", label, ("asks", "seconds an ask"))


def _lines(
    result: Backtest, table: pd.DataFrame, ends: tuple[str, str, str], policies: list[str], words: tuple[str, str]
) -> str:
    limits = _costs(result)
    shown = table[table["policy"].isin(policies)]
    plot = Plot(limits, spanning([*shown[ends[1]], *shown[ends[2]], 0.0]), log=True)
    plot.line([(limits[0], 0.0), (limits[1], 0.0)], "ideal")
    pick: Callable[[str], pd.DataFrame] = lambda policy: shown[shown["policy"] == policy]  # noqa: E731
    for policy in policies:
        mine = pick(policy)
        low, high = (list(zip(mine["cost"], mine[end], strict=True)) for end in ends[1:])
        plot.area([*high, *low[::-1]], f"fog {style(result, policy)}")
    for policy in policies:
        mine = pick(policy)
        plot.line(list(zip(mine["cost"], mine[ends[0]], strict=True)), f"series {style(result, policy)}")
        for cost, middle, lower, upper in mine[["cost", *ends]].itertuples(index=False, name=None):
            said = f"{policy} at {money(cost)}: {words[0]} {short(middle)} ({short(lower)} to {short(upper)})"
            plot.point(cost, middle, said, style(result, policy), 2)
    label = f"{words[1].capitalize()} against money paid, one line a policy, with intervals over seeds."
    return plot.drawn(ends[0], label, (COST, words[1]))


def _costs(result: Backtest) -> tuple[float, float]:
    """From the first cost at which all had begun to the last one paid."""
    paid = result.steps.groupby(["policy", "seed"])["total_cost"]
    begun = result.steps[result.steps["step"] == 0].groupby(["policy", "seed"])["total_cost"].max()
    low, high = max(float(begun.min()), 1e-12), max(float(paid.max().max()), 1e-12)
    return low / ROOM, high * ROOM


def _at_most(table: pd.DataFrame, most: int) -> pd.DataFrame:
    places = np.linspace(0, len(table) - 1, min(most, len(table))).round().astype(int)
    return table.iloc[np.unique(places)]
