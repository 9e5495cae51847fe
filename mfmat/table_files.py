"""Whole tables in files: CSV, JSON or Parquet, by the file's name."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from mfmat.chunks import ROWS, Chunks, read_chunks
from mfmat.csv_tables import find_names, read_csv
from mfmat.errors import TableError
from mfmat.extras import require
from mfmat.frames import plain

CSV, JSON, PARQUET = ("", ".csv", ".txt"), (".json",), (".parquet",)
COMPRESSED = (".gz", ".bz2", ".xz", ".zip", ".zst")
"""What may come after .csv."""


def read_file(path: str | Path) -> pd.DataFrame:
    """The table in a file: CSV (also compressed, as .csv.gz), JSON (a list of objects, one a row) or Parquet.

    Only an empty cell is missing: "NaN" is sodium nitride, "None" may be a name. A column with whole numbers that begin
    with 0 holds names: "007" is not 7.

    Raises:
        TableError: another suffix, or a content that cannot be read.
        MissingExtraError: Parquet without pyarrow.
    """
    path = Path(path)
    suffix = _suffix(path)
    try:
        if suffix in PARQUET:
            _require_parquet()
            return pd.read_parquet(path)
        if suffix in JSON:
            return _read_records(path)
        return read_csv(path, dtype=dict.fromkeys(find_names(path, ROWS), str))
    except ValueError as error:
        # Those of pandas, of JSON, of encodings and of Parquet all are ValueErrors.
        kind, fix = _KINDS[suffix] if "saw" not in str(error) else RAGGED
        raise TableError(f"{path}: {' '.join(str(error).split())}", expected=kind, fix=fix) from error


def read_whole(source: pd.DataFrame | Chunks) -> pd.DataFrame:
    """A table that is in memory, in a file or in chunks, one after the other, as one.

    Raises:
        TableError: as `read_file`; a chunk that is no table.

    >>> read_whole(pd.DataFrame({"x": [k]}) for k in range(3))["x"].tolist()
    [0, 1, 2]
    """
    if isinstance(source, pd.DataFrame):
        return source
    if isinstance(source, str | Path):
        return read_file(source)
    chunks = [chunk for _, chunk in read_chunks(source)]
    return pd.concat(chunks) if chunks else pd.DataFrame()


def write_file(table: pd.DataFrame, path: str | Path) -> None:
    """A table, without its index, as `read_file` reads it.

    Raises:
        TableError: another suffix, or cells of several kinds in one column of a Parquet file.
        MissingExtraError: Parquet without pyarrow.

    >>> import tempfile
    >>> table = pd.DataFrame({"formula": ["NaN", "InP"], "gap": [0.1, None]})
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_file(table, f"{folder}/gaps.json")
    ...     print(read_file(f"{folder}/gaps.json").equals(table))
    True
    """
    path = Path(path)
    suffix = check_place(path)
    if suffix in JSON:
        path.write_text(write_json(to_records(table)) + "\n", encoding="utf-8")
    elif suffix in PARQUET:
        try:
            table.to_parquet(path, index=False)
        except (ValueError, TypeError) as error:
            raise TableError(
                f"{path}: {' '.join(str(error).split())}", expected="one kind of cells a column", fix="write a .csv"
            ) from error
    else:
        table.to_csv(path, index=False)


def check_place(path: Path) -> str:
    """The suffix of a file that a table can be written to.

    Raises:
        TableError: another suffix, or no folder to write into.
        MissingExtraError: Parquet without pyarrow.
    """
    suffix = _suffix(path)
    if suffix in PARQUET:
        _require_parquet()
    if not path.parent.is_dir():
        raise TableError(f"no folder {path.parent}", expected="one to write into", fix=f"mkdir -p {path.parent}")
    return suffix


def to_records(table: pd.DataFrame) -> list[dict[str, Any]]:
    """A row a mapping, of cells that JSON has."""
    return [{str(name): cell for name, cell in row.items()} for row in table.to_dict("records")]


def write_json(facts: Any) -> str:
    """Mappings, sequences and cells as strict JSON: an empty cell is null, infinity the text "inf".

    >>> write_json({"rows": [{"gap": float("nan"), "formula": "NaN"}], "left": float("inf")})
    '{"rows": [{"gap": null, "formula": "NaN"}], "left": "inf"}'
    """
    return json.dumps(_plain(facts), ensure_ascii=False, allow_nan=False)


RAGGED = "as many cells in every line as in the header", "mend that line: quote a cell that holds a comma"
_KINDS = {
    **dict.fromkeys(CSV, ("a CSV with a header", "save it as UTF-8 CSV")),
    **dict.fromkeys(
        JSON, ("a list of objects, one a row", 'pandas writes it by table.to_json(path, orient="records")')
    ),
    **dict.fromkeys(PARQUET, ("a Parquet file", "write it again: it was cut short, or is something else")),
}


def _suffix(path: Path) -> str:
    *before, suffix = [each.lower() for each in path.suffixes] or [""]
    if suffix in COMPRESSED and before[-1:] == [".csv"]:
        return ".csv"
    if suffix not in _KINDS:
        raise TableError(
            f"{path}, a file of the kind {suffix}", expected="a .csv, .json or .parquet", fix=f"{path.stem}.csv"
        )
    return suffix


def _require_parquet() -> None:
    require("pyarrow", "Parquet files", "parquet")


def _read_records(path: Path) -> pd.DataFrame:
    rows = json.loads(path.read_text(encoding="utf-8-sig"))
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise ValueError("no list of objects")
    return pd.DataFrame(rows)


def _plain(item: Any) -> Any:
    if isinstance(item, Mapping):
        return {str(name): _plain(each) for name, each in item.items()}
    if isinstance(item, list | tuple):
        return [_plain(each) for each in item]
    return plain(item)
