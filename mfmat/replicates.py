"""Several values of one source for one material become one row with their mean and spread."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[np.float64]


@dataclass(frozen=True)
class Merged:
    """One entry for each distinct key, in order of first appearance.

    Attributes:
        first: position of the first value of each key.
        mean: mean, weighted by 1 / noise^2 where the noise is known.
        variance: of that mean, as far as it is known; 0 where nothing is.
        known: True where the variance is all the noise there is.
        counts: values behind each entry.
    """

    first: NDArray[np.int64]
    mean: Numbers
    variance: Numbers
    known: NDArray[np.bool_]
    counts: NDArray[np.int64]


def merge(keys: NDArray[np.int64], values: Numbers, noise: Numbers) -> Merged:
    r"""Merge the values that share a key.

    Known noise $\sigma_i$ gives the weighted mean with variance
    $\max(1, \chi^2/(k-1)) / \sum_i \sigma_i^{-2}$, where $\chi^2$ measures the conflict among the k values
    (Birge 1932, doi:10.1103/PhysRev.40.207). Without it the mean has the variance $s^2/k$ of the
    values' own scatter, and a noise learned later comes on top.

    Args:
        keys: n rows of integers, (material, source).
        values: n.
        noise: n standard deviations; NaN where unknown.

    >>> merged = merge(np.array([[1, 0], [1, 0], [2, 0]]), np.array([1.0, 3.0, 5.0]), np.full(3, np.nan))
    >>> merged.mean, merged.variance, merged.counts
    (array([2., 5.]), array([1., 0.]), array([2, 1]))
    """
    _, first, group = np.unique(keys, axis=0, return_index=True, return_inverse=True)
    order = np.argsort(first)
    group = np.argsort(order)[group.reshape(-1)]
    m = len(first)

    def total(x: Numbers) -> Numbers:
        return np.bincount(group, weights=x, minlength=m).astype(np.float64)

    counts = np.bincount(group, minlength=m)
    known = total(np.isnan(noise).astype(float)) == 0
    # Equal weights where a noise is unknown; a noise of 0 is exact, up to what a division can bear.
    weights = np.where(known[group], 1 / np.maximum(np.nan_to_num(noise), 1e-150) ** 2, 1.0)
    weights = weights / np.bincount(group, weights=weights, minlength=m)[group]
    mean = total(weights * values)
    scatter = total(weights * (values - mean[group]) ** 2) / np.maximum(counts - 1, 1)
    alone = total(weights**2 * np.nan_to_num(noise) ** 2)
    variance = np.where(known, np.maximum(alone, scatter), scatter)
    # One value is exactly itself, which a weighted mean is only up to rounding.
    mean = np.where(counts == 1, values[first[order]], mean)
    return Merged(first[order], mean, variance, known, counts)
