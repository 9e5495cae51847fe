"""Values, limits of values and known noise, read off the columns of a table."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mfmat.cells import is_missing, make_problem, read_labels, read_numbers
from mfmat.errors import Problem

SIGNS = {"<": -1.0, "<=": -1.0, "≤": -1.0, ">": 1.0, ">=": 1.0, "≥": 1.0, "=": 0.0}
"""What a cell says of a value: that it lies below a limit, above it, or that it is the value."""
LIMIT = re.compile(r"\s*([<>]=?|[≤≥])\s*([+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)\s*")


def read_values(
    table: pd.DataFrame,
    columns: tuple[str, str | None],
    fidelity: NDArray[np.int64],
    classes: Mapping[int, tuple[str, ...]],
) -> tuple[NDArray[np.float64], NDArray[np.int64], list[Problem]]:
    """Numbers, and of the fidelities that are labels the codes of their classes (n), which of them are limits (n, as
    `Data.censored`), and what could not be read.

    Args:
        table: n rows.
        columns: of the values, and of the signs where there may be limits; a table without limits may lack the latter.
        fidelity: n.
        classes: of each fidelity that is a label.
    """
    column, signs, problems = _read_limits(table, *columns)
    values = np.full(len(column), np.nan)
    for i in np.unique(fidelity[fidelity >= 0]).tolist() if classes else [-1]:
        rows = np.flatnonzero(fidelity == i) if classes else np.arange(len(column))
        part = column.iloc[rows]
        values[rows], bad = read_labels(part, classes[i]) if i in classes else read_numbers(part)
        problems += [replace(problem, position=int(rows[problem.position])) for problem in bad]
    labels = np.flatnonzero(np.isin(fidelity, list(classes)) & (signs != 0)).tolist()
    problems += [make_problem(table[columns[0]], i, "a limit of a label") for i in labels]
    if columns[1] is None:
        hint = "a limit where a value belongs (Schema(censored=...) names the column that says which values are limits)"
        problems = [replace(each, what=hint) if _is_limit(each.value) else each for each in problems]
    return values, signs, problems


def _read_limits(
    table: pd.DataFrame, value: str, censored: str | None
) -> tuple[pd.Series, NDArray[np.int64], list[Problem]]:
    """The column of values, `"<0.5"` with its number alone, the sign of each row, and signs that are none."""
    column, n = table[value], len(table)
    if censored is None:
        return column, np.zeros(n, dtype=np.int64), []
    stated, problems = np.full(n, np.nan), []
    for i, cell in enumerate(table[censored] if censored in table.columns else []):
        sign = cell.strip() if isinstance(cell, str) else cell
        if not is_missing(sign) and sign != "":
            stated[i] = SIGNS.get(sign, np.inf) if isinstance(sign, str) else np.inf
    wrong = np.flatnonzero(np.isinf(stated)).tolist()
    problems = [make_problem(table[censored], i, 'none of "<", ">", "=" and nothing') for i in wrong]
    beside = np.full(n, np.nan)
    if column.dtype == object or isinstance(column.dtype, pd.StringDtype):
        found = {i: limit for i, cell in enumerate(column) if (limit := _is_limit(cell))}
        beside[list(found)] = [SIGNS[limit[1]] for limit in found.values()]
        cells = [float(found[i][2]) if i in found else cell for i, cell in enumerate(column)]
        column = pd.Series(cells, index=column.index, name=column.name, dtype=object)
    clash = np.flatnonzero(~np.isnan(beside) & ~np.isnan(stated) & (beside != stated)).tolist()
    problems += [make_problem(table[censored], i, f"another sign than that of {table[value].iloc[i]!r}") for i in clash]
    signs = np.nan_to_num(np.where(np.isnan(beside), stated, beside), posinf=0.0)
    return column, signs.astype(np.int64), problems


def _is_limit(cell: object) -> re.Match[str] | None:
    return LIMIT.fullmatch(cell) if isinstance(cell, str) else None


def read_noise(table: pd.DataFrame, column: str | None) -> tuple[NDArray[np.float64], list[Problem]]:
    """Known standard deviations (n; NaN where unknown), and what could not be read."""
    if column is None:
        return np.full(len(table), np.nan), []
    noise, problems = read_numbers(table[column])
    problems = [problem for problem in problems if not is_missing(problem.value)]
    negative = np.flatnonzero(noise < 0).tolist()
    return noise, problems + [make_problem(table[column], i, "a negative standard deviation") for i in negative]
