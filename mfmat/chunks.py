"""A table that comes in chunks: from a file, or from whatever gives one DataFrame after the other."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sized
from pathlib import Path

import pandas as pd

from mfmat.csv_tables import read_csv_parts
from mfmat.errors import TableError

ROWS = 50_000
"""Rows of a file that are read at a time."""
Chunks = str | Path | Iterable[pd.DataFrame]
"""A table that need not fit into memory: a CSV or Parquet file, or DataFrames one after the other."""


def read_chunks(source: Chunks) -> Iterator[tuple[int, pd.DataFrame]]:
    """Each chunk that has rows, with the position of its first row in the whole table.

    A chunk that counts its rows from 0 goes on counting where the one before ended; any other index is kept.

    Raises:
        TableError: a file that is neither CSV nor Parquet, or a chunk that is no table.

    >>> parts = [pd.DataFrame({"x": [1, 2]}), pd.DataFrame({"x": [3]})]
    >>> [(start, chunk.index.tolist()) for start, chunk in read_chunks(parts)]
    [(0, [0, 1]), (2, [2])]
    """
    start = 0
    for chunk in _read(Path(source)) if isinstance(source, str | Path) else source:
        if not isinstance(chunk, pd.DataFrame):
            raise TableError(
                f"a chunk that is a {type(chunk).__name__}",
                expected="DataFrames, one after the other",
                fix="pd.DataFrame(...) of each chunk",
            )
        if chunk.empty:
            continue
        counted = isinstance(chunk.index, pd.RangeIndex) and chunk.index.start == 0 and chunk.index.step == 1
        yield start, chunk.set_axis(chunk.index + start, axis=0) if counted and start else chunk
        start += len(chunk)


def count_chunks(source: Chunks) -> int | None:
    """About how many chunks there are; None where that is not known before they are read."""
    if isinstance(source, str | Path):
        path = Path(source)
        if path.suffix != ".csv" or not path.exists():
            return None
        with path.open("rb") as file:
            head = file.read(2**20)
        return math.ceil(head.count(b"\n") * path.stat().st_size / max(len(head), 1) / ROWS)
    return len(source) if isinstance(source, Sized) else None


def read_once(source: object) -> bool:
    """Whether the chunks are gone once they were read."""
    return isinstance(source, Iterator)


def _read(path: Path) -> Iterator[pd.DataFrame]:
    kind = next((kind for kind in (".csv", ".parquet") if kind in path.suffixes), None)
    if kind is None:
        raise TableError(f"the file {path}", expected="a .csv or a .parquet", fix="DataFrames, one after the other")
    if not path.exists():
        raise TableError(f"{path}, which does not exist", expected="a file", fix="check the path")
    if kind == ".csv":
        yield from read_csv_parts(path, ROWS)
        return
    try:
        from pyarrow import parquet
    except ImportError as error:
        raise TableError(
            f"{path} without the package pyarrow",
            expected="pyarrow, which reads it",
            fix="pip install 'mfmat[parquet]'",
        ) from error
    for batch in parquet.ParquetFile(path).iter_batches(batch_size=ROWS):
        yield batch.to_pandas()
