"""Tables as JSON text and back, cell for cell."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from mfmat.cell_text import write_cell
from mfmat.errors import SavedFileError

KEPT = ("int64", "float64", "bool", "str", "object")
"""Types of columns that come back as they were; others come back as plain cells."""


def write_frame(table: pd.DataFrame) -> str:
    """A table with its index as JSON; cells that are no numbers, truth values or text become text.

    >>> read_frame(write_frame(pd.DataFrame({"x": [0.1, None], "n": ["a", "b"]}, index=["p", "q"]))).loc["q", "n"]
    'b'
    """
    columns = [_pack(table.iloc[:, i], str(table.columns[i])) for i in range(table.shape[1])]
    index = _pack(table.index.to_series(), table.index.name)
    return json.dumps({"index": index, "columns": columns}, allow_nan=False)


def read_frame(text: str, digest: str | None = None) -> pd.DataFrame:
    """The table that `write_frame` wrote.

    Args:
        text: what was written.
        digest: its SHA-256, where it was kept.

    Raises:
        SavedFileError: a text with another digest.
    """
    if digest is not None and text_digest(text) != digest:
        raise SavedFileError(
            f"a table of {len(text)} characters with another SHA-256 than was kept",
            expected="the table as it was written",
            fix="restore the database from a backup, or the folder from its origin",
        )
    packed = json.loads(text)
    index = pd.Index(_unpack(packed["index"]), name=packed["index"]["name"])
    columns = {column["name"]: _unpack(column).set_axis(index) for column in packed["columns"]}
    return pd.DataFrame(columns, index=index)


def text_digest(text: str) -> str:
    """SHA-256 of a text."""
    return hashlib.sha256(text.encode()).hexdigest()


def plain(cell: Any) -> Any:
    """A cell as JSON has it: None where it is empty, a number, a truth value or text.

    >>> plain(np.float64("nan")), plain(np.int64(3)), plain(pd.Timestamp("2026-01-01"))
    (None, 3, '2026-01-01 00:00:00')
    """
    cell = cell.item() if isinstance(cell, np.generic) else cell
    if cell is None or cell is pd.NA or cell is pd.NaT or (isinstance(cell, float) and math.isnan(cell)):
        return None
    if isinstance(cell, float) and math.isinf(cell):
        return str(cell)
    return cell if isinstance(cell, bool | int | float | str) else write_cell(cell)


def _pack(column: pd.Series, name: Any) -> dict[str, Any]:
    return {"name": name, "dtype": str(column.dtype), "cells": [plain(cell) for cell in column.tolist()]}


def _unpack(column: dict[str, Any]) -> pd.Series:
    dtype, cells = column["dtype"], column["cells"]
    return pd.Series(_as(cells, dtype), dtype=dtype if dtype in KEPT else "object")


def _as(cells: Sequence[Any], dtype: str) -> list[Any]:
    if dtype != "float64":
        return list(cells)
    return [math.nan if cell is None else float(cell) for cell in cells]
