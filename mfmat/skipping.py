"""Rows of a table that cannot be read: refused, or left out with a warning."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from mfmat.errors import MfmatWarning, Problem, SchemaError, TableError, warn

OnError = Literal["raise", "skip"]


class SkippedRowsWarning(MfmatWarning):
    """Rows that could not be read were left out, as asked; the message names them."""


def keep(n: int, problems: list[Problem], on_error: OnError) -> NDArray[np.int64]:
    """Positions of the rows, of n, that have no problem.

    Raises:
        TableError: problems, unless they are to be skipped and some rows have none.
        SchemaError: another `on_error`.
    """
    if on_error not in ("raise", "skip"):
        raise SchemaError(f"on_error={on_error!r}", expected='"raise" or "skip"', fix='on_error="skip"')
    bad = sorted({problem.position for problem in problems})
    if bad and on_error == "raise":
        raise TableError.of(problems)
    if bad:
        warn_skipped(problems, len(bad), n, fix="see the .skipped of the Data for every one of them")
    if len(bad) == n:
        raise TableError.of(problems)
    return np.setdiff1d(np.arange(n), bad)


def warn_skipped(problems: Sequence[Problem], bad: int, n: int, *, fix: str) -> None:
    """Say how many of n rows were left out, and what was wrong with the first."""
    came = f"{bad} of {n} rows that cannot be read, left out: " + "; ".join(map(str, problems[:5]))
    warn(SkippedRowsWarning, came, expected="rows that can all be read", fix=fix)
