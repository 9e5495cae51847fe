"""The sources of a table: their order of trust, and whether they give values or labels."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mfmat.errors import Problem, SchemaError, nearest


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
