"""A CSV that a person filled in by hand: stray spaces, decimal commas, semicolons, tabs."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Collection
from pathlib import Path

import pandas as pd

from mfmat.errors import Line, Problem, TableError

COMMA = re.compile(r"[+-]?\d+,\d+([eE][+-]?\d+)?")
LIMIT = re.compile(r"([<>]=?|[≤≥])\s*(.*)")
THOUSANDS = re.compile(r"[+-]?[1-9]\d{0,2},\d{3}")


def read_filled(path: Path, numbers: Collection[str]) -> pd.DataFrame:
    """The table in a CSV, spaces around cells stripped, numbers read in the columns that hold them.

    Columns are separated by commas or, where the header has more of those, by semicolons or tabs. A decimal comma is
    read where these separate, or where the cell is in quotes and can be nothing else: "1,5", but not "1,500". Rows are
    labelled with their line of the file, which errors name.

    Args:
        path: of the file.
        numbers: columns of numbers; a cell in them that is none stays text, for whoever checks the table to name.

    Raises:
        TableError: no header, one name of several columns, or rows and cells that can be read in two ways.
    """
    text = _read_text(path)
    # The header tells separators best, for cells may hold decimal commas; of equally many, the first of these counts.
    first = next((line for line in text.splitlines() if line.strip(" ,;\t")), "")
    separator = max(",;\t", key=first.count)
    lines, rows = _split(text, separator)
    if not rows:
        raise TableError(f"{path}, which is empty", expected="a CSV with a header", fix="fill in the asked table")
    (header, *body), places = rows, list(enumerate(lines[1:]))
    _check_header(path, header)
    problems = [_ragged(at, row, header) for at, row in zip(places, body, strict=True) if len(row) != len(header)]
    if problems:
        raise _refused(path, problems)
    columns: dict[str, list[float | str | None]] = {}
    for i, name in enumerate(header):
        cells: list[float | str | None] = [row[i] or None for row in body]
        if name in numbers:
            cells = [_number(row[i], at, name, separator, problems) for row, at in zip(body, places, strict=True)]
        columns[name] = cells
    if problems:
        raise _refused(path, problems)
    return pd.DataFrame(columns, index=pd.Index(lines[1:], dtype=object), dtype=object)


def _read_text(path: Path) -> str:
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            return file.read()
    except UnicodeDecodeError as error:
        raise TableError(f"{path}: {error}", expected="a text file", fix="save it as UTF-8 CSV") from error


def _split(text: str, separator: str) -> tuple[list[Line], list[list[str]]]:
    """The rows that hold anything, and the line that each begins at."""
    lines, rows, line = [], [], Line(1)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator)
    for cells in reader:
        row = [cell.strip() for cell in cells]
        if any(row):
            lines.append(line)
            rows.append(row)
        line = Line(reader.line_num + 1)
    return lines, rows


def _check_header(path: Path, header: list[str]) -> None:
    # Spreadsheets leave columns without a name behind, which nothing reads.
    if twice := [name for name in dict.fromkeys(header) if name and header.count(name) > 1]:
        raise TableError(
            f"{path}: more than one column {', '.join(map(repr, twice))}",
            expected="each column once",
            fix="rename or delete the other; nothing of the table was recorded",
        )


def _number(
    cell: str, place: tuple[int, Line], column: str, separator: str, problems: list[Problem]
) -> float | str | None:
    if not cell:
        return None
    if limit := LIMIT.fullmatch(cell):
        bound = _number(limit[2], place, column, separator, problems)
        return f"{limit[1]}{bound!r}" if isinstance(bound, float) else cell
    if COMMA.fullmatch(cell):
        if separator == "," and THOUSANDS.fullmatch(cell):
            problems.append(Problem(*place, column, cell, "a comma that may be decimal or divide thousands"))
        cell = cell.replace(",", ".")
    # "nan", "inf" and "1_000" are numbers to Python, and slips of the hand in a table.
    return float(cell) if re.fullmatch(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", cell) else cell


def _ragged(place: tuple[int, Line], row: list[str], header: list[str]) -> Problem:
    what = f"{len(row)} cells where {len(header)} belong (a decimal comma without quotes?)"
    return Problem(*place, header[min(len(row), len(header)) - 1], row[-1], what)


def _refused(path: Path, problems: list[Problem]) -> TableError:
    error = TableError.of(problems)
    return TableError(
        f"{path}: {error.came}",
        expected="cells that can be read in one way",
        fix="write 1.5 for one and a half; nothing of the table was recorded",
        problems=problems,
    )
