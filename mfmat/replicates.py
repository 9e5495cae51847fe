"""Several values of one source for one material become one row with their mean and spread; limits that follow go."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
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


def find_implied(keys: NDArray[np.int64], values: Numbers, signs: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Which limits follow from what else is known of the same key (n flags), and so tell nothing.

    A limit follows from a tighter one on the same side (of equal ones the first stays), and from values of which every
    one lies on its side. One that a value contradicts stays: both were measured, with noise.

    Args:
        keys: n rows of integers, (material, source).
        values: n.
        signs: n, -1 where the value lies below the limit, 1 where above, 0 where there is none.

    >>> found = find_implied(np.zeros((4, 2), int), np.array([3.0, 5.0, 2.0, 4.0]), np.array([0, -1, -1, 1]))
    >>> found.tolist()  # 3 is below 5, but neither below 2 nor above 4
    [False, True, False, False]
    """
    group = pd.Series(np.unique(keys, axis=0, return_inverse=True)[1].reshape(-1))
    reach = pd.Series(signs * values)
    looser = reach.groupby([group, signs]).rank(method="first", ascending=False) > 1
    valued = pd.Series(values).where(signs == 0)
    least = np.where(signs > 0, valued.groupby(group).transform("min"), -valued.groupby(group).transform("max"))
    found: NDArray[np.bool_] = (signs != 0) & (looser.to_numpy() | (least >= reach.to_numpy()))
    return found
