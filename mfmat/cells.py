"""Cells of a table: whether they hold anything, whether it is a number, and what is wrong with them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from numbers import Real

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mfmat.errors import Problem


def is_missing(cell: object) -> bool:
    """Whether a cell is empty: None, NaN, NaT or pandas' NA.

    >>> is_missing(float("nan")), is_missing("NaN")
    (True, False)
    """
    empty = cell is None or cell is pd.NA or cell is pd.NaT
    return empty or (isinstance(cell, float | np.floating) and math.isnan(cell))


def make_problem(column: pd.Series, position: int, what: str) -> Problem:
    """The problem with one cell of a column.

    >>> print(make_problem(pd.Series([1.5], index=["a"], name="x"), 0, "too small"))
    row 'a' (number 0), column 'x': too small, got 1.5
    """
    return Problem(position, column.index[position], str(column.name), column.iloc[position], what)


def read_numbers(column: pd.Series, hint: str = "") -> tuple[NDArray[np.float64], list[Problem]]:
    """The numbers of a column (NaN where there is none) and the cells that hold no finite number.

    Text is never read as a number, not even "1.5": where one cell needs guessing, others may be wrong.
    `hint` is said of such cells.

    >>> numbers, problems = read_numbers(pd.Series([1, None, "2"], name="x", dtype=object))
    >>> [problem.what for problem in problems]
    ['a missing value', 'text where a number belongs']
    """
    if pd.api.types.is_numeric_dtype(column) and not pd.api.types.is_complex_dtype(column):
        numbers = column.to_numpy(dtype=np.float64, na_value=np.nan)
    else:
        numbers = np.array([_number(cell) for cell in column], dtype=np.float64)
    bad = np.flatnonzero(~np.isfinite(numbers)).tolist()
    return numbers, [make_problem(column, position, _fault(column.iloc[position], hint)) for position in bad]


def find_missing(column: pd.Series) -> list[Problem]:
    """The empty cells of a column."""
    return [make_problem(column, i, "a missing value") for i in np.flatnonzero(column.isna()).tolist()]


def name_level(cell: object) -> str:
    """The name of a level or class; one gap turns a column of whole numbers into floats, and 2 and 2.0 stay one.

    >>> name_level(2.0), name_level("2"), name_level(True)
    ('2', '2', 'True')
    """
    return str(int(cell)) if isinstance(cell, float | np.floating) and cell.is_integer() else str(cell)


def find_levels(column: pd.Series) -> tuple[str, ...]:
    """The names of all levels in a column, in alphabetical order."""
    return tuple(sorted({name_level(cell) for cell in column if not is_missing(cell)}))


def read_labels(column: pd.Series, classes: Sequence[str]) -> tuple[NDArray[np.float64], list[Problem]]:
    """Each cell's position among the classes (NaN where it is none of them) and the cells that are none.

    >>> read_labels(pd.Series(["no", "yes", "no"]), ("no", "yes"))[0]
    array([0., 1., 0.])
    """
    place = {name: float(code) for code, name in enumerate(classes)}
    codes = np.array([math.nan if is_missing(cell) else place.get(name_level(cell), math.nan) for cell in column])
    what = f"none of the classes {', '.join(classes)}"
    return codes, [make_problem(column, position, what) for position in np.flatnonzero(np.isnan(codes)).tolist()]


def _number(cell: object) -> float:
    if not isinstance(cell, Real | np.bool_):
        return math.nan
    try:
        return float(cell)
    except OverflowError:
        return math.inf


def _fault(cell: object, hint: str) -> str:
    if isinstance(cell, str):
        return f"text where a number belongs{hint}"
    if is_missing(cell):
        return "a missing value"
    return "not finite" if isinstance(cell, Real) else "not a number"
