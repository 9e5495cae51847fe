"""The sources of a table: their prices, their order of trust, and whether they give values or labels."""

from __future__ import annotations

import math
import numbers
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mfmat.errors import Problem, SchemaError, nearest


def check_costs(costs: Mapping[str, float | str] | None, source: str | None, value: str) -> dict[str, float | str]:
    """The prices as numbers, or the columns that hold them; one source of price 1 where none are given."""
    if not costs:
        if source is not None:
            raise SchemaError(
                f"source={source!r} without costs",
                expected="the price of each source, in order of trust",
                fix='costs={"cheap": 1, "trusted": 10}',
            )
        return {value: 1.0}
    for name, cost in costs.items():
        # A number as text is a slip, not a column.
        if isinstance(cost, str) and math.isnan(_number(cost)):
            continue
        if not isinstance(cost, numbers.Real) or not math.isfinite(cost) or cost < 0:
            raise SchemaError(
                f"costs[{name!r}] = {cost!r}",
                expected="a finite price of 0 or more, or the column of the pool that holds it",
                fix="give every source its price",
            )
    if source is None and len(costs) > 1:
        raise SchemaError(
            f"{len(costs)} costs and no source column",
            expected="the column that names each row's source",
            fix='Schema(..., source="method")',
        )
    return {str(name): cost if isinstance(cost, str) else float(cost) for name, cost in costs.items()}


def check_kinds(kinds: Mapping[str, Any] | None, sources: tuple[str, ...]) -> dict[str, Any]:
    """The kinds, the classes of labels as text."""
    for name, kind in (kinds or {}).items():
        if name not in sources:
            raise SchemaError(
                f"a kind for {name!r}",
                expected=f"one of {', '.join(map(repr, sources))}",
                fix=nearest(name, sources) + "name a source that has a cost",
            )
        if kind != "label" and (isinstance(kind, str) or len(set(kind)) < 2):
            raise SchemaError(f"kinds[{name!r}] = {kind!r}", expected='"label" or its classes', fix='"label"')
    return {name: kind if kind == "label" else tuple(map(str, kind)) for name, kind in (kinds or {}).items()}


def order_sources(sources: tuple[str, ...], target: str | None) -> tuple[str, ...]:
    """The sources in order of trust, the target last."""
    if target is None:
        return sources
    if target not in sources:
        raise SchemaError(
            f"target={target!r}",
            expected=f"one of {', '.join(map(repr, sources))}",
            fix=nearest(target, sources) + "name a source that has a cost",
        )
    return (*(name for name in sources if name != target), target)


def read_fidelities(
    table: pd.DataFrame, column: str | None, sources: tuple[str, ...]
) -> tuple[NDArray[np.int64], list[Problem]]:
    """Each row's fidelity (-1: unknown), and the cells that name no known source."""
    if column is None:
        return np.zeros(len(table), dtype=np.int64), []
    cells = table[column].tolist()
    rank = {name: i for i, name in enumerate(sources)}
    codes = np.array([rank.get(cell if isinstance(cell, str) else str(cell), -1) for cell in cells], dtype=np.int64)
    known = ", ".join(map(repr, sources))

    def what(cell: object) -> str:
        return f"an unknown source ({nearest(str(cell), sources)}known: {known}; add it to costs or correct it)"

    unknown = np.flatnonzero(codes < 0).tolist()
    return codes, [Problem(i, table.index[i], column, cells[i], what(cells[i])) for i in unknown]


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan
