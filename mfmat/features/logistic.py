"""Two sets of rows told apart by a logistic regression, as strongly penalised as held-out rows ask for."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

FOLDS = 5
STRENGTHS = np.logspace(-5, 4, 10)
"""Of the data against the penalty, per row: at the least nothing is learned from hundreds of features, at the most
the penalty is not felt."""
PATIENCE = 2
"""Weaker penalties that may fail before the search ends."""
_NOISE = 1e-12
_Step = tuple[NDArray[np.float64], float]


class Logistic(NamedTuple):
    """Log odds of the second set: intercept + sum_j coefficients_j (x_j - centres_j) / scales_j; k features."""

    coefficients: NDArray[np.float64]
    intercept: float
    centres: NDArray[np.float64]
    scales: NDArray[np.float64]


def fit_logistic(
    X: NDArray[np.float64], second: NDArray[np.bool_], groups: NDArray[np.intp], seed: int = 0
) -> Logistic:
    """The log odds that a row is of the second set, for n rows and k features.

    It minimises the mean log loss plus |b|^2 / (2 c), with b the coefficients of the standardised features; c is that
    of `STRENGTHS`, or 0 (equal odds everywhere), whose held-out log loss is least.

    Args:
        X: n x k, finite.
        second: n, whether a row is of the second set; both sets have rows of at least two groups.
        groups: n, numbers from 0 of what a fold must not divide.
        seed: of the folds.
    """
    centres, span = X.mean(axis=0), np.ptp(X, axis=0)
    # A feature that is constant but for its rounding would be blown up to unit variance.
    varies = span > _NOISE * np.abs(X).max(axis=0)
    scales = np.where(varies, X.std(axis=0), 1.0)
    Z = np.where(varies, (X - centres) / scales, 0.0)
    best = _choose(Z, second, _divide(second, groups, seed))
    *_, (coefficients, intercept) = _path(Z, second, best)
    return Logistic(np.where(varies, coefficients, 0.0), intercept, centres, scales)


def _choose(Z: NDArray[np.float64], second: NDArray[np.bool_], fold: NDArray[np.intp]) -> int:
    """The step of the path whose held-out log loss is least; the path is left where two steps have not mended it."""
    parts = [(fold != held, fold == held) for held in range(fold.max() + 1)]
    paths = [_path(Z[train], second[train]) for train, _ in parts]
    losses: list[float] = []
    for steps in zip(*paths, strict=True):
        losses.append(0.0)
        for (_, test), (coefficients, intercept) in zip(parts, steps, strict=True):
            margin = np.where(second[test], 1, -1) * (Z[test] @ coefficients + intercept)
            losses[-1] += float(np.logaddexp(0, -margin).sum())
        if len(losses) - 1 - np.argmin(losses) == PATIENCE:
            break
    return int(np.argmin(losses))


def _path(Z: NDArray[np.float64], second: NDArray[np.bool_], steps: int | None = None) -> Iterator[_Step]:
    """Coefficients and intercept without any features, then at each of the first strengths, in rising order."""
    # A second that only those who learn a ratio should wait for.
    from sklearn.linear_model import LogisticRegression

    yield np.zeros(Z.shape[1]), float(np.log(second.sum() / (~second).sum()))
    model = LogisticRegression(warm_start=True, max_iter=10_000, tol=1e-5)
    for strength in STRENGTHS[:steps]:
        model.set_params(C=strength / len(Z)).fit(Z, second)
        yield model.coef_[0].copy(), float(model.intercept_[0])


def _divide(second: NDArray[np.bool_], groups: NDArray[np.intp], seed: int) -> NDArray[np.intp]:
    """Each row's fold: groups are whole, and each fold has its share of both sets' groups."""
    count = int(groups.max()) + 1
    first_has, second_has = (np.isin(np.arange(count), groups[inside]) for inside in (~second, second))
    # Those of the first set alone, those of both, those of the second alone: either set's groups stand in one run,
    # and any run of two or more reaches two folds.
    rank = second_has.astype(int) - first_has.astype(int)
    order = np.lexsort((np.random.default_rng(seed).random(count), rank))
    fold = np.empty(count, dtype=np.intp)
    fold[order] = np.arange(count) % min(FOLDS, count)
    found: NDArray[np.intp] = fold[groups]
    return found
