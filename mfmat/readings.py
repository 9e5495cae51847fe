"""Values and their known noise, read off the columns of a table."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mfmat.cells import is_missing, make_problem, read_labels, read_numbers
from mfmat.errors import Problem


def read_values(
    column: pd.Series, fidelity: NDArray[np.int64], classes: Mapping[int, tuple[str, ...]]
) -> tuple[NDArray[np.float64], list[Problem]]:
    """Numbers, and of the fidelities that are labels the codes of their classes (n), and what could not be read."""
    if not classes:
        return read_numbers(column)
    values, problems = np.full(len(column), np.nan), []
    for i in np.unique(fidelity[fidelity >= 0]).tolist():
        rows = np.flatnonzero(fidelity == i)
        part = column.iloc[rows]
        values[rows], bad = read_labels(part, classes[i]) if i in classes else read_numbers(part)
        problems += [replace(problem, position=int(rows[problem.position])) for problem in bad]
    return values, problems


def read_noise(table: pd.DataFrame, column: str | None) -> tuple[NDArray[np.float64], list[Problem]]:
    """Known standard deviations (n; NaN where unknown), and what could not be read."""
    if column is None:
        return np.full(len(table), np.nan), []
    noise, problems = read_numbers(table[column])
    problems = [problem for problem in problems if not is_missing(problem.value)]
    negative = np.flatnonzero(noise < 0).tolist()
    return noise, problems + [make_problem(table[column], i, "a negative standard deviation") for i in negative]


def read_costs(
    table: pd.DataFrame, costs: Mapping[str, float | str], sources: tuple[str, ...]
) -> tuple[NDArray[np.float64], list[Problem]]:
    """The price of every row in every source (n x m), and cells that are no price."""
    columns: list[NDArray[np.float64]] = []
    problems: list[Problem] = []
    for name in sources:
        cost = costs[name]
        if not isinstance(cost, str):
            columns.append(np.full(len(table), cost))
            continue
        found, bad = read_numbers(table[cost])
        below = np.flatnonzero(found < 0)
        problems += bad + [make_problem(table[cost], int(i), "a price below 0") for i in below]
        columns.append(found)
    return np.stack(columns, axis=1), problems
