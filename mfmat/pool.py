"""A pool as tensors: the candidates of a table, read once and asked about many times."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor

from mfmat.data import material_keys
from mfmat.errors import TableError
from mfmat.schema import Schema
from mfmat.skipping import OnError
from mfmat.types import Codes


@dataclass(frozen=True)
class Pool:
    """The candidates of a table that can be read.

    Attributes:
        table: as it was given.
        X: n x (d+1), at the target.
        costs: price of each candidate in each source and unit (n x m x u).
        rows: the row of the table that each candidate is (n).
        keys: the material of each (n).
        first: whether it is the first of its material (n); the others are never chosen.

    >>> from mfmat import Columns, Schema
    >>> pool = Pool.read(Schema(Columns("x"), value="y"), pd.DataFrame({"x": [0.5, 0.7, 0.5]}))
    >>> pool.first.tolist()
    [True, True, False]
    """

    table: pd.DataFrame = field(repr=False)
    X: Tensor = field(repr=False)
    costs: Tensor = field(repr=False)
    rows: NDArray[np.int64] = field(repr=False)
    keys: Codes = field(repr=False)
    first: Tensor = field(repr=False)

    @classmethod
    def read(cls, schema: Schema, table: pd.DataFrame, *, on_error: OnError = "raise") -> Pool:
        """The pool of a table, by a schema that knows its categories (`surrogate.schema`).

        Raises:
            TableError: an empty table, a missing column, or cells that cannot be read.
        """
        if table.empty:
            raise TableError("an empty pool", expected="at least one candidate", fix="check the filter before it")
        costs, priced = schema.price(table, on_error=on_error)
        X, read = schema.encode(table.iloc[priced], on_error=on_error)
        keys = material_keys(X[:, 0], schema.material_column)
        first = torch.from_numpy(~pd.Series(keys.numpy()).duplicated().to_numpy())
        return cls(table, X[:, 0], costs[read], priced[read], keys, first)

    def at(self, positions: NDArray[np.int64]) -> Pool:
        """The candidates that are these rows of the table."""
        own = torch.from_numpy(np.isin(self.rows, positions))
        return Pool(self.table, self.X[own], self.costs[own], self.rows[own.numpy()], self.keys[own], self.first[own])

    def parts(self, size: int) -> Iterator[tuple[int, Pool]]:
        """So many rows of the table after the other, each with the position of its first; a candidate's is in its part.

        >>> from mfmat import Columns, Schema
        >>> pool = Pool.read(Schema(Columns("x"), value="y"), pd.DataFrame({"x": [0.5, 0.7, 0.9]}))
        >>> [(start, part.X[:, 0].tolist(), part.rows.tolist()) for start, part in pool.parts(2)]
        [(0, [0.5, 0.7], [0, 1]), (2, [0.9], [0])]
        """
        for start in range(0, len(self.table), size):
            part = self.at(np.arange(start, start + size))
            yield start, replace(part, table=self.table.iloc[start : start + size], rows=part.rows - start)
