"""What measurements really took: a log-normal distribution for each source."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from mfmat.cells import is_missing, make_problem, read_numbers
from mfmat.errors import Problem

DURATION = "duration"
"""The column of a told table that says how long a measurement took, or what it cost."""


def find_bad(table: pd.DataFrame) -> list[Problem]:
    """The cells of a table's column of durations that are filled in and hold no number above 0."""
    if DURATION not in table:
        return []
    numbers, problems = read_numbers(table[DURATION])
    wrong = [problem for problem in problems if not is_missing(problem.value)]
    return wrong + [make_problem(table[DURATION], i, "no time at all") for i in np.flatnonzero(numbers <= 0).tolist()]


def read_duration(row: Mapping[str, Any]) -> float | None:
    """The duration in a row that was told; None where it has none."""
    cell = row.get(DURATION)
    return None if is_missing(cell) else float(cell)  # type: ignore[arg-type]


def summarise(durations: Mapping[str, Sequence[float]], level: float = 0.9) -> pd.DataFrame:
    r"""For each source the log-normal fit to its durations: `n`, `median`, `mean`, and an interval for the next one.

    With the mean m and standard deviation s of the n logarithms the median is $e^m$, the mean $e^{m + s^2 / 2}$, and
    the next duration lies between $e^{m \pm t s \sqrt{1 + 1/n}}$ with probability `level`, t being the quantile of
    Student's distribution with n - 1 degrees of freedom: exact for logarithms that are Gaussian, however few.

    >>> summarise({"gcmc": [20.0, 45.0, 30.0, 60.0], "exp": [500.0]}).round(1)
          n  median  mean  lower  upper
    gcmc  4    35.7  40.0   10.1  125.9
    exp   1   500.0   NaN    NaN    NaN
    """
    rows = [_fit(np.log(values), level) for values in durations.values()]
    columns = ["n", "median", "mean", "lower", "upper"]
    return pd.DataFrame(rows, columns=columns, index=pd.Index(list(durations)))


def _fit(logs: np.ndarray[Any, np.dtype[np.float64]], level: float) -> tuple[int, float, float, float, float]:
    # Half a second that only those who ask for durations should wait for.
    from scipy.special import stdtrit

    n = len(logs)
    if n < 2:
        return n, math.exp(logs[0]) if n else math.nan, math.nan, math.nan, math.nan
    mean, spread = float(logs.mean()), float(logs.std(ddof=1))
    reach = float(stdtrit(n - 1, (1 + level) / 2)) * spread * math.sqrt(1 + 1 / n)
    return n, math.exp(mean), math.exp(mean + spread**2 / 2), math.exp(mean - reach), math.exp(mean + reach)
