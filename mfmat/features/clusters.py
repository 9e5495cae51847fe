"""Groups of rows that lie near each other, learned from a table."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mfmat.errors import Problem, SchemaError, TableError
from mfmat.features.derived import Derived
from mfmat.features.featurizer import Featurizer

Numbers = NDArray[np.float64]


@dataclass(frozen=True)
class Clusters(Derived, kind="clusters"):
    r"""The nearest of k centres as one number, 0 to k - 1: groups for `Conformal(by="cluster")` without names.

    $\arg\min_j \sum_i (z_i - c_{ji})^2$ with z the features of `inputs`, standardised on the rows that the centres were
    learned from by k-means. View and feature are called `cluster`.

    Args:
        inputs: the featurizer whose features say what is near.
        places: k centres of as many standardised numbers as `inputs` has features.
        centres: of each feature, in its own unit.
        scales: of each feature, above 0.

    Errors: SchemaError for places, centres or scales that are not one for each feature. Cells that `inputs` cannot
    read are `Problem`s, and their rows NaN.

    MacQueen 1967, Proc. 5th Berkeley Symp. Math. Stat. Prob. 1, 281. Learned from inputs alone, groups leave a promise
    as it is where they would have been the same with the new rows among those that they were learned from.

    >>> from mfmat.features import Columns
    >>> two = Clusters(Columns("T"), places=[[-1.0], [1.0]], centres=[300.0], scales=[100.0])
    >>> two.encode(pd.DataFrame({"T": [150.0, 290.0, 800.0]}))[0][:, 0]
    array([0., 0., 1.])
    """

    feature = "cluster"
    places: tuple[tuple[float, ...], ...] = field(kw_only=True)
    centres: tuple[float, ...] = field(kw_only=True)
    scales: tuple[float, ...] = field(kw_only=True)

    def __post_init__(self) -> None:
        object.__setattr__(self, "places", tuple(tuple(map(float, place)) for place in self.places))
        for name in ("centres", "scales"):
            object.__setattr__(self, name, tuple(map(float, getattr(self, name))))
        features = sum(map(len, self.inputs.views.values()))
        lengths = {len(numbers) for numbers in (*self.places, self.centres, self.scales)}
        if lengths != {features} or not self.places or min(self.scales) <= 0:
            raise SchemaError(
                f"{len(self.places)} places, centres and scales of {sorted(lengths)} numbers",
                expected=f"a place or more, each number one for each of {features} features, scales above 0",
                fix="learn them: Clusters.learn(table, inputs, 8)",
            )

    @classmethod
    def learn(cls, table: pd.DataFrame, inputs: Featurizer, count: int = 8, *, seed: int = 0) -> Self:
        """Learn the centres from the rows of a table, whose values nobody looks at.

        Args:
            table: rows with the columns of `inputs`.
            inputs: the featurizer; open levels are read off the table.
            count: clusters, at most as many as there are different rows.
            seed: of the first centres.

        Raises:
            TableError: cells that cannot be read, fewer different rows than clusters.

        >>> from mfmat.features import Columns
        >>> table = pd.DataFrame({"T": [1.0, 2.0, 3.0, 101.0, 102.0, 103.0]})
        >>> codes = Clusters.learn(table, Columns("T"), 2).encode(table)[0][:, 0]
        >>> len(set(codes[:3])), len(set(codes[3:])), bool(codes[0] == codes[3])
        (1, 1, False)
        """
        # A second that only those who learn clusters should wait for.
        from sklearn.cluster import KMeans

        inputs = inputs.settle(table)
        X, problems = inputs.encode(table)
        if problems:
            raise TableError.of(problems)
        different = len(np.unique(X, axis=0))
        if not 1 <= count <= different:
            raise TableError(
                f"{count} clusters of {different} different rows",
                expected=f"1 to {different} clusters",
                fix="ask for fewer, or give more rows",
            )
        centres, scales = X.mean(axis=0), X.std(axis=0)
        # A feature that is constant but for its rounding tells nobody apart.
        scales = np.where(scales > 1e-12 * np.abs(X).max(axis=0), scales, 1.0)
        found = KMeans(count, n_init=4, random_state=seed).fit((X - centres) / scales)
        return cls(inputs, places=found.cluster_centers_.tolist(), centres=centres.tolist(), scales=scales.tolist())

    def encode(self, table: pd.DataFrame) -> tuple[Numbers, list[Problem]]:
        """Each row's cluster (n x 1), and the cells that the inputs cannot read."""
        X, problems = self.inputs.encode(table)
        z = (X - np.array(self.centres)) / np.array(self.scales)
        # Centre by centre, so that a row's distance does not depend on the rows beside it.
        squares = np.stack([((z - place) ** 2).sum(axis=1) for place in np.array(self.places)], axis=1)
        nearest = squares.argmin(axis=1).astype(float)
        nearest[[problem.position for problem in problems]] = np.nan
        return nearest[:, None], problems
