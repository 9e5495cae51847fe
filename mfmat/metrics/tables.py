"""Every metric at once, with standard errors, over all rows and group by group."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from mfmat.errors import CalibrationError
from mfmat.metrics.calibration import coverage, miscalibration_area, pit_bounds, row_inside, spread_bins, width
from mfmat.metrics.scores import crps, interval_score, mae, nll, rmse, row_crps, row_interval_score, row_nll
from mfmat.posteriors import RowPosterior, interval, quantile
from mfmat.types import Values

LEVELS = (0.5, 0.8, 0.9, 0.95)
"""The levels that intervals are judged at unless named."""
BINS = 10
"""Bins of the expected normalised calibration error, each of at least as many rows."""
POINTS = 101
"""Levels of the calibration curve."""
Names = Sequence[object] | np.ndarray | pd.Series
"""One name for each row."""
ALL = "all"
"""What the group of all rows is called."""


def summary(posterior: RowPosterior, y: Values, level: float = 0.9) -> dict[str, float]:
    """Every metric by name; coverage, width and interval score at that level."""
    return {
        "mae": mae(posterior, y),
        "rmse": rmse(posterior, y),
        "nll": nll(posterior, y),
        "crps": crps(posterior, y),
        "coverage": coverage(posterior, y, level),
        "width": width(posterior, level),
        "interval_score": interval_score(posterior, y, level),
        "miscalibration_area": miscalibration_area(posterior, y),
    }


def evaluate(
    posterior: RowPosterior,
    y: Values,
    *,
    levels: Sequence[float] = LEVELS,
    by: Names | None = None,
    compounds: Names | None = None,
    resamples: int = 200,
    seed: int = 0,
) -> pd.DataFrame:
    """Every metric with its standard error, over all rows and over each group of rows.

    Errors are those of the bootstrap over compounds: rows of one compound are drawn together, as a further measurement
    of it is no new evidence (Davison & Hinkley 1997, doi:10.1017/CBO9780511802843). Of a group of fewer
    than two compounds there is none (NaN). The expected normalised calibration error needs 100 rows.

    Args:
        posterior: of n rows.
        y: what was measured (n x 1 x 1).
        levels: of intervals, for coverage, width and interval score.
        by: n names of groups, such as the anion of each compound; None: all rows are one.
        compounds: n names; None: each row is a compound of its own.
        resamples: draws of the bootstrap.
        seed: of these draws.

    Returns:
        Columns group (`"all"` first), rows, metric, level (NaN where it has none), value, error.

    Raises:
        CalibrationError: names that are not one for each row; no rows.

    >>> from mfmat.posteriors import normal
    >>> y = torch.randn(400, 1, 1, generator=torch.Generator().manual_seed(0)).double()
    >>> table = evaluate(normal(torch.zeros(400, 1).double(), torch.ones(400, 1, 1).double()), y, levels=[0.9])
    >>> table.set_index("metric").loc["coverage", ["value", "error"]].astype(float).round(2).tolist()
    [0.92, 0.01]
    """
    n = len(y)
    names = {"by": by, "compounds": compounds}
    for name, given in names.items():
        if given is not None and len(given) != n:
            raise CalibrationError(f"{len(given)} values of {name}=", expected=f"{n}, one for each row", fix="give all")
    if not n:
        raise CalibrationError("no rows", expected="at least one measured value", fix="give rows with a value")
    scored = _score(posterior, y, levels)
    units = pd.factorize(pd.Series(range(n) if compounds is None else list(compounds)), use_na_sentinel=False)[0]
    groups = {ALL: np.ones(n, dtype=bool)}
    if by is not None:
        labels = pd.Series(list(by)).astype(str)
        groups |= {str(label): (labels == label).to_numpy(copy=True) for label in sorted(labels.unique())}
    parts = []
    for group, inside in groups.items():
        table = _measure(scored.take(torch.from_numpy(inside)), units[inside], levels, resamples, seed)
        parts.append(table.assign(group=group, rows=int(inside.sum())))
    return pd.concat(parts, ignore_index=True)[["group", "rows", "metric", "level", "value", "error"]]


@dataclass(frozen=True)
class _Scored:
    """What every metric is made of, row by row.

    Attributes:
        plain: n x k, the metrics that are means over rows.
        squares: n, squared errors of the mean.
        variance: n, predicted.
        inside: n x p, see `row_inside`.
    """

    plain: Tensor
    squares: Tensor
    variance: Tensor
    inside: Tensor

    def take(self, rows: Tensor) -> _Scored:
        return _Scored(self.plain[rows], self.squares[rows], self.variance[rows], self.inside[rows])


def _score(posterior: RowPosterior, y: Values, levels: Sequence[float]) -> _Scored:
    with torch.no_grad():
        columns = [(y - quantile(posterior, 0.5)).abs(), row_nll(posterior, y), row_crps(posterior, y)]
        for level in levels:
            lower, upper = interval(posterior, level)
            held = ((lower <= y) & (y <= upper)).to(y)
            columns += [held, upper - lower, row_interval_score(lower, upper, y, level)]
        below, upto = pit_bounds(posterior, y)
        inside = row_inside(upto, torch.linspace(0, 1, POINTS, dtype=y.dtype), below)
        plain = torch.stack([column.flatten().double() for column in columns], dim=1)
        squares = (y - posterior.mean).flatten().square().double()
        return _Scored(plain, squares, posterior.variance.flatten().double(), inside.double())


def _measure(scored: _Scored, units: np.ndarray, levels: Sequence[float], resamples: int, seed: int) -> pd.DataFrame:
    """All metrics of some rows, and their spread over draws of compounds."""
    names: list[tuple[str, float]] = [(name, np.nan) for name in ("mae", "nll", "crps")]
    names += [(name, level) for level in levels for name in ("coverage", "width", "interval_score")]
    names += [(name, np.nan) for name in ("rmse", "sharpness", "miscalibration_area")]
    enough = len(scored.squares) >= BINS**2
    names += [("ence", np.nan)] * enough
    find = _finder(scored, enough)
    values = find(torch.ones(1, len(scored.squares)).double())[0]
    _, codes = np.unique(units, return_inverse=True)
    count = codes.max() + 1
    errors = torch.full_like(values, torch.nan)
    if count > 1:
        drawn = np.random.default_rng(seed).multinomial(count, np.full(count, 1 / count), size=resamples)
        errors = find(torch.from_numpy(drawn[:, codes].astype(np.float64))).std(0)
    metric, level = zip(*names, strict=True)
    return pd.DataFrame({"metric": metric, "level": level, "value": values.numpy(), "error": errors.numpy()})


def _finder(scored: _Scored, enough: bool) -> Callable[[Tensor], Tensor]:
    """Every metric of rows with these weights (r x n to r x k)."""
    grid = torch.linspace(0, 1, POINTS).double()
    bins = spread_bins(scored.variance, BINS) if enough else []

    def mean(weights: Tensor, columns: Tensor) -> Tensor:
        return weights @ columns / weights.sum(1, keepdim=True)

    def find(weights: Tensor) -> Tensor:
        roots = mean(weights, torch.stack([scored.squares, scored.variance], dim=1)).sqrt()
        area = torch.trapezoid((mean(weights, scored.inside) - grid).abs(), grid, dim=1)
        found = [mean(weights, scored.plain), roots, area[:, None]]
        if bins:
            parts = [mean(weights[:, b], torch.stack([scored.squares[b], scored.variance[b]], dim=1)) for b in bins]
            seen, predicted = torch.stack(parts).sqrt().unbind(-1)
            found.append(((predicted - seen).abs() / predicted).nanmean(0)[:, None])
        return torch.cat(found, dim=1)

    return find
