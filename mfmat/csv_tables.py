"""CSV as tables: only an empty cell is missing, numbers are read to the last digit, and names keep their zeros."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import pandas as pd

RULES: dict[str, Any] = {"keep_default_na": False, "na_values": [""], "low_memory": False}
"""Of pandas: NaN is sodium nitride and NA sodium in a hurry; a column has one type."""
# Later versions read what was written with all its digits as it was, and no longer know the option.
if tuple(map(int, pd.__version__.split(".")[:2])) < (3, 1):
    RULES["float_precision"] = "round_trip"
WHOLE, NAMED = r"-?\d+(?:\.0*)?", r"0\d+"


def read_csv(file: str | Path | IO[Any], **options: Any) -> pd.DataFrame:
    """The table in a file.

    >>> import io
    >>> read_csv(io.StringIO("formula,gap\\nNaN,0.30000000000000004\\n")).values.tolist()
    [['NaN', 0.30000000000000004]]
    """
    table: pd.DataFrame = pd.read_csv(file, **RULES, **options)
    return table


def read_csv_parts(path: Path, rows: int) -> Iterator[pd.DataFrame]:
    """The table in a file, so many rows at a time; a column with whole numbers that begin with 0 holds names."""
    yield from pd.read_csv(path, **RULES, dtype=dict.fromkeys(find_names(path, rows), str), chunksize=rows)


def find_names(path: Path, rows: int) -> list[str]:
    """The columns of whole numbers of which some begin with 0: "007" is not 7."""
    named: set[str] = set()
    other: set[str] = set()
    for part in pd.read_csv(path, **RULES, dtype=str, chunksize=rows):
        for name in part.columns.difference(list(other), sort=False):
            cells = part[name].dropna()
            if not cells.str.fullmatch(WHOLE).all():
                other.add(name)
            elif cells.str.fullmatch(NAMED).any():
                named.add(name)
    return sorted(named - other)
