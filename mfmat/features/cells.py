"""One cell of a table: whether it holds anything, and what is wrong with it."""

from __future__ import annotations

from math import isnan

import numpy as np
import pandas as pd

from mfmat.errors import Problem


def is_missing(cell: object) -> bool:
    """Whether a cell is empty: None, NaN, NaT or pandas' NA.

    >>> is_missing(float("nan")), is_missing("NaN")
    (True, False)
    """
    return cell is None or cell is pd.NA or cell is pd.NaT or (isinstance(cell, float | np.floating) and isnan(cell))


def make_problem(column: pd.Series, position: int, what: str) -> Problem:
    """The problem with one cell of a column.

    >>> print(make_problem(pd.Series([1.5], index=["a"], name="x"), 0, "too small"))
    row 'a' (number 0), column 'x': too small, got 1.5
    """
    cell = column.iloc[position]
    plain = cell.item() if isinstance(cell, np.generic) else cell
    return Problem(position, column.index[position], str(column.name), plain, what)
