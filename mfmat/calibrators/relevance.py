"""Which calibration rows speak for a new row: those of its group, by their weights."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from mfmat.data import Data
from mfmat.errors import CalibrationError, UnknownNameError, nearest, warn
from mfmat.posteriors import CalibrationWarning, Weighing, effective
from mfmat.types import Rows

Weights = Callable[[Tensor], Tensor]
"""Weights (n) of rows (n x (d+1))."""
FEWEST = 9.0
"""Effective rows that a 90% interval needs."""


class Relevance(torch.nn.Module):
    r"""Groups and weights of calibration rows, and how much each counts for a new one.

    For a new row of group g, calibration rows of g count $w_i$ and all n - n_g others together as much as
    $\max(0, b - n_g)$ rows, none more than $w_i$: a group of b rows or more stands alone (Mondrian), a smaller one
    borrows from the whole, and one that was never seen has the intervals of the whole.

    Args:
        by: column of X that tells the groups; None: all rows are one.
        weigh: column of X that holds the weights, or a function of X; None: all are 1.
        borrow: b.
        groups: n, the calibration rows' groups.
        weights: n, their weights.

    Vovk et al. 2003 (Mondrian confidence machine); Tibshirani et al. 2019, arXiv:1904.06019; Barber et al. 2023,
    doi:10.1214/23-AOS2276.
    """

    groups: Tensor
    weights: Tensor

    def __init__(
        self, by: int | None, weigh: int | Weights | None, borrow: int, groups: Tensor, weights: Tensor
    ) -> None:
        super().__init__()
        self.by, self.weigh, self.borrow = by, weigh, borrow
        self.register_buffer("groups", groups)
        self.register_buffer("weights", weights)

    @staticmethod
    def of(data: Data, rows: Tensor, by: str | None, weigh: str | Weights | None, borrow: int) -> Relevance:
        """That of these calibration rows (positions in the data).

        Raises:
            UnknownNameError: a name that the schema's metadata lack.
            CalibrationError: weights that are negative, not finite, or all 0.
        """
        X = data.X[rows]
        column = _column(data, by, "by")
        found = _column(data, weigh, "weights") if isinstance(weigh, str) else weigh
        groups = X.new_zeros(len(rows)) if column is None else X[:, column]
        weights = torch.ones(len(rows)).to(X) if found is None else _weights(found, X)
        wrong = torch.nonzero(~torch.isfinite(weights) | (weights < 0)).flatten()
        if len(wrong) or not float(weights.sum()) > 0:
            row = int(data.rows[rows[wrong[0]]]) if len(wrong) else None
            raise CalibrationError(
                "weights that are all 0" if row is None else f"weight {float(weights[wrong[0]])} of row {row}",
                expected="finite weights of 0 or more, some above",
                fix="1 over the probability with which a row was chosen, or a DensityRatio",
            )
        if found is not None and effective(weights) < FEWEST:
            warn(
                CalibrationWarning,
                f"weights that leave an effective sample of {effective(weights):.1f} of {len(rows)} calibration rows",
                expected=f"at least {FEWEST:g} for 90% intervals",
                fix="measure rows like those to predict, or cut the largest weights knowingly",
            )
        return Relevance(column, found, borrow, groups, weights)

    @staticmethod
    def restore(facts: Mapping[str, Any], state: Mapping[str, Tensor], weigh: str | Weights | None) -> Relevance:
        """The one that had these facts and this state; a function comes from the recipe."""
        found = weigh if callable(weigh) else facts["weigh"]
        return Relevance(facts["by"], found, facts["borrow"], state["groups"], state["weights"])

    @property
    def facts(self) -> dict[str, int | None]:
        """What is needed to build it again, but for the rows and a function."""
        return {"by": self.by, "weigh": self.weigh if isinstance(self.weigh, int) else None, "borrow": self.borrow}

    def forward(self, X: Rows) -> Weighing:
        """How much each calibration row counts for each of the b x q rows (b x q x (d+1))."""
        if self.by is None and self.weigh is None:
            return Weighing.equal(len(self.weights))
        rows = X.reshape(-1, X.shape[-1])
        kinds, kind = self._kinds(rows)
        return Weighing(kinds * self.weights, kind, self._own(rows))

    def _kinds(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        """The share with which calibration rows count for each group (c x n), and each row's group (r)."""
        if self.by is None:
            return torch.ones_like(self.weights)[None], torch.zeros(len(rows), dtype=torch.long)
        named = rows[:, self.by]
        _warn_missing(named, "group", "the intervals of all groups together")
        # Not a number is no group, and would be another one each time.
        names, kind = torch.unique(named.nan_to_num(nan=torch.inf), return_inverse=True)
        mine = self.groups == names[:, None]
        count, n = mine.sum(1, keepdim=True), len(self.groups)
        others = ((self.borrow - count).clamp_min(0) / (n - count).clamp_min(1)).clamp_max(1)
        return torch.where(mine, 1.0, others).to(self.weights), kind

    def _own(self, rows: Tensor) -> Tensor | None:
        if self.weigh is None:
            return None
        own = _weights(self.weigh, rows)
        _warn_missing(own, "weight", "the largest weight among the calibration rows")
        return torch.where(own.isnan(), self.weights.max(), own)


def _weights(weigh: int | Weights, X: Tensor) -> Tensor:
    return X[:, weigh] if isinstance(weigh, int) else weigh(X).reshape(len(X)).to(X)


def _column(data: Data, name: str | None, option: str) -> int | None:
    if name is None:
        return None
    if name not in data.metadata:
        raise UnknownNameError(
            f"{option}={name!r}",
            expected=f"one of the schema's metadata ({', '.join(map(repr, data.metadata)) or 'it has none'})",
            fix=nearest(name, data.metadata) + f"Schema(..., metadata=Groups({name!r})), or Columns for numbers",
        )
    return data.metadata[name]


def _warn_missing(column: Tensor, what: str, instead: str) -> None:
    missing = int(column.isnan().sum())
    if missing:
        warn(
            CalibrationWarning,
            f"{missing} of {len(column)} rows without a {what}",
            expected=f"the {what} that the schema's metadata name",
            fix=f"add the column; these rows get {instead}",
        )
