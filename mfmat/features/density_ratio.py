"""How much likelier a row is in a pool than in a table: the weight that undoes the shift between the two."""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from dataclasses import dataclass, field
from typing import Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mfmat.errors import MfmatWarning, Problem, SchemaError, TableError, warn
from mfmat.features.derived import Derived
from mfmat.features.featurizer import Featurizer
from mfmat.features.logistic import fit_logistic

LARGEST = 300.0
"""Of |log w|: weights, their squares and sums of these over any table stay finite (e^300 is 2e130)."""


class RatioWarning(MfmatWarning):
    """Rows so far from the table or the pool that their weights were held at e^300 or e^-300."""


@dataclass(frozen=True)
class DensityRatio(Derived, kind="density_ratio"):
    """How much likelier a row is in a pool than in a table, as one number: the weight for `Conformal(weights=...)`.

    With x_j feature j of `inputs`, c_j its centre and s_j its scale,

        w(x) = p_pool(x) / p_table(x) = exp(intercept + sum_j coefficients_j (x_j - c_j) / s_j),

    which is the odds of the pool that a logistic regression gives a row, times n_table / n_pool. `DensityRatio.between`
    learns it. View and feature are called `density_ratio`.

    The ratio is an estimate, linear in the features on the log scale: what is guaranteed with known weights holds with
    these only as far as they are right. Where the table has no rows like those of the pool, no weight can help.

    |log w| is held at 300, with a `RatioWarning` that counts the rows: a larger one is no longer evidence but
    extrapolation, and would overflow.

    Args:
        inputs: the featurizer whose features tell table and pool apart, its levels settled.
        coefficients: one for each feature, on the standardised scale; 0 for a feature that was constant.
        intercept: log w at the centres.
        centres: one for each feature, in its own unit.
        scales: one for each feature, in its own unit, above 0.

    Errors: SchemaError for numbers that are not one for each feature, or inputs that are no featurizer. Cells that
    `inputs` cannot read are `Problem`s, and their rows NaN.

    Source: Sugiyama, Suzuki & Kanamori, Density Ratio Estimation in Machine Learning (2012),
    doi:10.1017/CBO9781139035613, chapter 4; Bickel, Brückner & Scheffer, ICML (2007), doi:10.1145/1273496.1273507. What
    estimated weights promise: Tibshirani, Barber, Candès & Ramdas, NeurIPS (2019), arXiv:1904.06019.

    >>> from mfmat.features import Columns
    >>> ratio = DensityRatio(Columns("T"), coefficients=[1.0], intercept=0.0, centres=[300.0], scales=[100.0])
    >>> ratio.encode(pd.DataFrame({"T": [200.0, 300.0, 400.0]}))[0].round(2)
    array([[0.37], [1.  ], [2.72]])
    """

    feature = "density_ratio"
    coefficients: tuple[float, ...] = field(kw_only=True)
    intercept: float = field(kw_only=True)
    centres: tuple[float, ...] = field(kw_only=True)
    scales: tuple[float, ...] = field(kw_only=True)

    def __post_init__(self) -> None:
        features = _count(self.inputs)
        object.__setattr__(self, "intercept", float(self.intercept))
        for name in ("coefficients", "centres", "scales"):
            numbers = tuple(map(float, getattr(self, name)))
            object.__setattr__(self, name, numbers)
            wrong = len(numbers) != features or not np.isfinite([*numbers, self.intercept]).all()
            if wrong or (name == "scales" and min(numbers, default=0.0) <= 0):
                raise SchemaError(
                    f"{len(numbers)} {name} {numbers[:3]} with the intercept {self.intercept}",
                    expected=f"finite numbers, one for each of {features} features of inputs, scales above 0",
                    fix="learn them: DensityRatio.between(table, pool, inputs)",
                )

    @classmethod
    def between(cls, table: pd.DataFrame, pool: pd.DataFrame, inputs: Featurizer, *, seed: int = 0) -> Self:
        """Learn the ratio from the rows of a table and of a pool, neither of which needs values.

        A logistic regression tells the two apart. The strength of its ridge penalty is the one whose odds predict
        held-out rows best (log loss, 5 folds that divide no compound of `inputs.groups`); no difference at all, w = 1,
        is among the candidates.

        Args:
            table: the rows whose residuals calibrate, those of the target source.
            pool: the rows to predict.
            inputs: the featurizer whose features tell the two apart; open levels are read off both.
            seed: of the folds.

        Raises:
            TableError: cells that cannot be read, a missing column, or fewer than 2 compounds (rows, where `inputs`
                knows no compounds) in one of the two.
            SchemaError: inputs that are no featurizer.

        >>> from mfmat.features import Columns
        >>> draws = np.random.default_rng(0)
        >>> table, pool = (pd.DataFrame({"T": draws.normal(mean, 1, 500)}) for mean in (0, 1))
        >>> ratio = DensityRatio.between(table, pool, Columns("T"))
        >>> ratio.encode(pd.DataFrame({"T": [-1.0, 0.5, 2.0]}))[0].round(1)
        array([[0.2],
               [1. ],
               [4.7]])
        """
        _count(inputs)
        frames = {"table": table, "pool": pool}
        for name, frame in frames.items():
            _require(frame, inputs.columns, name)
        # As objects, or pandas 2 warns of columns without a single filled cell.
        inputs = inputs.settle(pd.concat([frame[list(inputs.columns)].astype(object) for frame in frames.values()]))
        X = np.concatenate([_read(frame, inputs, name) for name, frame in frames.items()])
        in_pool = np.repeat([False, True], [len(table), len(pool)])
        groups = _name_groups(frames.values(), inputs)
        for name, inside in (("table", ~in_pool), ("pool", in_pool)):
            if (count := len(np.unique(groups[inside]))) < 2:
                raise TableError(
                    f"a {name} of {count} compound{'s' * (count != 1)}",
                    expected="at least 2, so that one can be held out",
                    fix=f"give a larger {name}",
                )
        found = fit_logistic(X, in_pool, groups, seed)
        return cls(
            inputs,
            coefficients=tuple(found.coefficients.tolist()),
            # The odds of the pool count its rows; the ratio compares densities.
            intercept=found.intercept + float(np.log(len(table) / len(pool))),
            centres=tuple(found.centres.tolist()),
            scales=tuple(found.scales.tolist()),
        )

    def encode(self, table: pd.DataFrame) -> tuple[NDArray[np.float64], list[Problem]]:
        """Weights w (n x 1), above 0 and finite, and the cells that the inputs cannot read."""
        X, problems = self.inputs.encode(table)
        logs = np.full(len(X), self.intercept)
        # Feature by feature rather than as a matrix product, whose rounding depends on the shape of the batch.
        for x, coefficient, centre, scale in zip(X.T, self.coefficients, self.centres, self.scales, strict=True):
            logs += coefficient * ((x - centre) / scale)
        if far := int((np.abs(logs) > LARGEST).sum()):
            warn(
                RatioWarning,
                f"{far} of {len(logs)} rows whose log density ratio is beyond {LARGEST:g}, held there",
                expected="rows that resemble those of the table or of the pool",
                fix="drop the rows that resemble neither, or learn the ratio from fewer features",
            )
        return np.exp(np.clip(logs, -LARGEST, LARGEST))[:, None], problems


def _count(inputs: Featurizer) -> int:
    if not isinstance(inputs, Featurizer):
        raise SchemaError(
            f"inputs of type {type(inputs).__name__}",
            expected="one featurizer",
            fix='Composition("formula"), or Columns([...])',
        )
    return sum(map(len, inputs.views.values()))


def _require(frame: pd.DataFrame, columns: Iterable[str], name: str) -> None:
    missing = [column for column in columns if column not in frame.columns]
    if missing or frame.empty:
        raise TableError(
            f"a {name} without the column {missing[0]!r}" if missing else f"an empty {name}",
            expected=f"rows with the columns {', '.join(map(repr, columns))}",
            fix=f"check where the {name} comes from, or give inputs of columns that it has",
        )


def _read(frame: pd.DataFrame, inputs: Featurizer, name: str) -> NDArray[np.float64]:
    X, problems = inputs.encode(frame)
    if problems:
        error = TableError.of(problems)
        error.add_note(f"These are rows of the {name}.")
        raise error
    return X


def _name_groups(frames: Iterable[pd.DataFrame], inputs: Featurizer) -> NDArray[np.intp]:
    """Each row's compound as a number, one numbering for all frames; each row is its own where there are none."""
    names: list[Hashable] = []
    for frame in frames:
        found = inputs.groups(frame)
        names += range(len(names), len(names) + len(frame)) if found is None else found.tolist()
    return pd.factorize(pd.Series(names, dtype=object))[0]
