"""One number for each name or row, the same in every process."""

from __future__ import annotations

import hashlib

import numpy as np
import pandas as pd
from numpy.typing import NDArray

_UNUSED = 12
"""Of 64 bits, what a float does not hold exactly."""


def hash_names(names: NDArray[np.object_]) -> NDArray[np.float64]:
    """One number for each name (n), the same in every process; NaN for None.

    >>> hash_names(np.array(["oxides", None], dtype=object)).tolist()
    [2988062948566947.0, nan]
    """
    texts = as_objects(["" if name is None else name for name in names])
    numbers = (pd.util.hash_array(texts) >> np.uint64(_UNUSED)).astype(np.float64)
    numbers[[name is None for name in names]] = np.nan
    return numbers


def number_names(table: pd.DataFrame, column: str) -> NDArray[np.float64]:
    """One number for each row's name in that column (n x 1); a row without one is a material of its own.

    >>> number_names(pd.DataFrame({"id": ["a", "b", "a", None]}), "id")[:, 0].argsort(kind="stable").tolist()[0]
    3
    """
    new = -1.0 - np.arange(len(table), dtype=np.float64)[:, None]
    if column not in table.columns:
        return new
    named = hash_names(table[column].astype(str).to_numpy(dtype=object))[:, None]
    return np.where(table[column].isna().to_numpy()[:, None], new, named)


def number_rows(X: NDArray[np.float64]) -> NDArray[np.float64]:
    """One number for each row (n x d to n x 1); equal rows have equal ones.

    >>> a, b, c = number_rows(np.array([[1.0, 0.0], [1.0, -0.0], [2.0, 0.0]]))[:, 0]
    >>> bool(a == b), bool(a == c)
    (True, False)
    """
    # Adding 0.0 turns -0.0 into 0.0, whose bytes differ.
    digests = b"".join(hashlib.blake2b(row.tobytes(), digest_size=8).digest() for row in np.ascontiguousarray(X) + 0.0)
    return (np.frombuffer(digests, dtype=np.uint64) >> np.uint64(_UNUSED)).astype(np.float64)[:, None]


def as_objects(names: list[str | None]) -> NDArray[np.object_]:
    """These names as an array of objects, whatever they are."""
    # Through a Series, as NumPy would make texts of one length an array of texts, or floats of none at all.
    return pd.Series(names, dtype=object).to_numpy()
