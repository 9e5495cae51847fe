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
