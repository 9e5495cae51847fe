"""What it cost to find what was looked for, in replayed campaigns."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from mfmat.outcomes import Backtest
from mfmat.reports.figures.paper import DASHES, SERIES, SINGLE, axes, label, name_above, plain_log

if TYPE_CHECKING:
    from matplotlib.axes import Axes

ROOM = 1.15
"""Between the last cost and the edge of the plot, as a ratio."""


def cost_to_target(
    result: Backtest, ax: Axes | None = None, *, share: float | None = None, unit: str = "", width: float = SINGLE
) -> Axes:
    """The share of runs that had found what they looked for, by what they had paid; one line a policy.

    A line that ends below 100% is of a policy whose other runs ended before they found it. The mark is at the median
    cost, where half of the runs had it.

    Args:
        result: of `mf.backtest`.
        ax: where to draw; a new figure unless given.
        share: of the best 5% of the materials; None: the best one. See `Backtest.cost_to`.
        unit: of money, for the label.
        width: of a new figure, in mm.

    Raises:
        SchemaError: campaigns to learn, in which nothing is looked for.
        MissingExtraError: matplotlib is not installed.
    """
    costs = result.cost_to(share)
    ax = axes(ax, width, 0.8 * width)
    start = float(result.steps[result.steps["step"] == 0].groupby(["policy", "seed"])["total_cost"].max().min())
    last = ROOM * float(result.steps["total_cost"].max())
    first = max(min(start, last), last * 1e-9)
    for place, policy in enumerate(costs.columns):
        paid = np.sort(costs[policy].to_numpy(dtype=float))
        found = paid[np.isfinite(paid)]
        shares = np.arange(1, len(found) + 1) / len(paid)
        x, y = np.r_[first, found, last], np.r_[0.0, shares, shares[-1] if len(found) else 0.0]
        style: dict[str, Any] = {
            "color": SERIES[place % len(SERIES)],
            "linestyle": DASHES[place % len(DASHES)],
            "linewidth": 1.6,
        }
        ax.step(x, y, where="post", label=str(policy), **style)
        middle = (len(paid) - 1) // 2
        if middle < len(found):
            ax.plot(found[middle], shares[middle], "o", color=style["color"], markersize=4.5, zorder=4)
    what = "the best" if share is None else f"{share:.0%} of the best 5%"
    ax.set(xscale="log", xlim=(first, last), ylim=(-0.03, 1.03))
    ax.set(xlabel=label("paid, the start included", unit), ylabel=f"runs that had found {what}")
    ax.yaxis.set_major_formatter(lambda value, _: f"{value:.0%}")
    plain_log(ax.xaxis)
    name_above(ax)
    return ax
