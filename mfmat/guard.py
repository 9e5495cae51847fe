"""When it is the target's turn, so that cheap sources are not asked for ever."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable

MULTIPLE = 2.0
"""Of the price of a target value: what may be spent on other sources before its turn comes."""
RUN = 5
"""Values of other sources that are never too many in a row."""
FREE = 20
"""Values that cost nothing after which its turn comes: no money would ever say so."""


def find_turn(history: Iterable[tuple[str, float]], target: str, price: float) -> str:
    """Why the next pair should be at the target, in words; empty where it may be at any source.

    A cheap source whose value the model overestimates would be asked for ever, for only values of the target can show
    that it is of no use. Its turn comes when at least 5 values of other sources in a row cost more than twice what one
    of the target does: at most two thirds of a budget (and a batch) go into sources that are of no use. Where they
    cost nothing at all, it comes after 20.

    Args:
        history: source and price of what was asked or measured, in order.
        target: the source whose values are wanted.
        price: of one of them.

    >>> find_turn([("exp", 20), *[("pbe", 8)] * 6], "exp", 20)
    "exp's turn: 6 of pbe for 48 since its last value"
    >>> find_turn([("exp", 20), *[("pbe", 8)] * 4], "exp", 20)
    ''
    """
    since: list[tuple[str, float]] = []
    for source, cost in history:
        if source == target:
            since.clear()
        else:
            since.append((source, cost))
    spent = math.fsum(cost for _, cost in since)
    enough = len(since) >= RUN and spent > MULTIPLE * price
    if not enough and (spent or len(since) < FREE):
        return ""
    counts = Counter(source for source, _ in since)
    what = " and ".join(f"{count} of {source}" for source, count in counts.items())
    return f"{target}'s turn: {what} for {spent:g} since its last value"
