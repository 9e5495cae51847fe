"""A CSV that a person filled in by hand: stray spaces, decimal commas, semicolons."""

from __future__ import annotations

import csv
import re
from collections.abc import Collection
from pathlib import Path

import pandas as pd

from mfmat.errors import Problem, TableError

COMMA = re.compile(r"[+-]?\d+,\d+([eE][+-]?\d+)?")
LIMIT = re.compile(r"([<>]=?|[≤≥])\s*(.*)")
THOUSANDS = re.compile(r"[+-]?[1-9]\d{0,2},\d{3}")


def read_filled(path: Path, numbers: Collection[str]) -> pd.DataFrame:
    """The table in a CSV, spaces around cells stripped, numbers read in the columns that hold them.

    Columns are separated by commas or, where the header has more of those, by semicolons. A decimal comma is read
    where semicolons separate, or where the cell is in quotes and can be nothing else: "1,5", but not "1,500".

    Args:
        path: of the file.
        numbers: columns of numbers; a cell in them that is none stays text, for whoever checks the table to name.

    Raises:
        TableError: no header, or rows and cells that can be read in two ways.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            text = file.read()
    except UnicodeDecodeError as error:
        raise TableError(f"{path}: {error}", expected="a text file", fix="save it as UTF-8 CSV") from error
    first = text.partition("\n")[0]
    separator = ";" if first.count(";") > first.count(",") else ","
    rows = [[cell.strip() for cell in row] for row in csv.reader(text.splitlines(), delimiter=separator)]
    rows = [row for row in rows if any(row)]
    if not rows:
        raise TableError(f"{path}, which is empty", expected="a CSV with a header", fix="fill in the asked table")
    header, *body = rows
    problems = [_ragged(number, row, header) for number, row in enumerate(body) if len(row) != len(header)]
    if problems:
        raise _refused(path, problems)
    columns = {name: [row[i] or None for row in body] for i, name in enumerate(header)}
    table = pd.DataFrame({name: pd.Series(cells, dtype=object) for name, cells in columns.items()})
    for name in numbers:
        if name in table.columns:
            cells = [_number(cell, i, name, separator, problems) for i, cell in enumerate(columns[name])]
            table[name] = pd.Series(cells, dtype=object)
    if problems:
        raise _refused(path, problems)
    return table


def _number(cell: str | None, row: int, column: str, separator: str, problems: list[Problem]) -> float | str | None:
    if cell is None:
        return None
    if limit := LIMIT.fullmatch(cell):
        bound = _number(limit[2], row, column, separator, problems)
        return f"{limit[1]}{bound!r}" if isinstance(bound, float) else cell
    if COMMA.fullmatch(cell):
        if separator == "," and THOUSANDS.fullmatch(cell):
            problems.append(Problem(row, row, column, cell, "a comma that may be decimal or divide thousands"))
        cell = cell.replace(",", ".")
    # "nan", "inf" and "1_000" are numbers to Python, and slips of the hand in a table.
    return float(cell) if re.fullmatch(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", cell) else cell


def _ragged(number: int, row: list[str], header: list[str]) -> Problem:
    what = f"{len(row)} cells where {len(header)} belong (a decimal comma without quotes?)"
    return Problem(number, number, header[min(len(row), len(header)) - 1], row[-1], what)


def _refused(path: Path, problems: list[Problem]) -> TableError:
    error = TableError.of(problems)
    return TableError(
        f"{path}: {error.came}",
        expected="cells that can be read in one way",
        fix="write 1.5 for one and a half; nothing of the table was recorded",
        problems=problems,
    )
