"""How much each calibration row counts for each new row."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from mfmat.errors import CalibrationError, MfmatWarning, warn

ROUNDING = 1e-9
"""Share of the weight that a level may lack: 0.9 times 10 is not quite 9."""


class CalibrationWarning(MfmatWarning):
    """Intervals that the calibration rows cannot bound, or that hold for other rows than those asked for."""


@dataclass(frozen=True)
class Weighing:
    r"""Weights of n calibration rows and of r new ones, $w_i$ and w; a new row counts as one infinitely far out.

    What holds with probability $1 - \alpha$ is the smallest reach within which calibration rows of the weight
    $(1 - \alpha)(\sum_i w_i + w)$ lie. With equal weights that is the score of rank
    $\lceil (1 - \alpha)(n + 1) \rceil$; where $w > \alpha (\sum_i w_i + w)$ there is none, and the interval has no end.

    Args:
        weights: c x n, for each of c kinds of new rows.
        kind: r, which of these each new row is of; None: there is one.
        own: r, the new rows' own weights; None: 1.

    Tibshirani et al. 2019, arXiv:1904.06019.
    """

    weights: Tensor
    kind: Tensor | None = None
    own: Tensor | None = None

    @staticmethod
    def equal(n: int) -> Weighing:
        """All rows count alike."""
        return Weighing(torch.ones(1, n).double())

    @property
    def is_equal(self) -> bool:
        """Whether all rows count alike."""
        return self.kind is None and self.own is None

    def parts(self, r: int) -> list[tuple[Tensor, Tensor, Tensor]]:
        """For each kind of new rows their positions, the calibration rows' weights (n) and the new rows' own."""
        kind = torch.zeros(r, dtype=torch.long) if self.kind is None else self.kind
        own = self.weights.new_ones(r) if self.own is None else self.own
        places = [torch.nonzero(kind == k).flatten() for k in range(len(self.weights))]
        return [(rows, self.weights[k], own[rows]) for k, rows in enumerate(places) if len(rows)]

    def highest(self, r: int) -> float:
        """The highest level at which every one of the new rows has an end."""
        return min(float((weights.sum() / (weights.sum() + own)).min()) for _, weights, own in self.parts(r))

    def check(self, level: float, r: int) -> None:
        """Warn of new rows whose interval at this level has no end.

        Raises:
            CalibrationError: that is all of them.
        """
        if self.is_equal:
            conformal_rank(self.weights.shape[1], level)
            return
        parts = self.parts(r)
        open_ = [need(weights, own, level) > weights.sum() for _, weights, own in parts]
        count = int(sum(flags.sum() for flags in open_))
        if not count:
            return
        fewest = min(effective(weights) for _, weights, _ in parts)
        came = f"intervals at level {level:g} without an end for {count} of {r} rows, which calibration rows with an "
        came += f"effective sample of {fewest:.1f} at the least cannot bound"
        says = {"expected": "rows like those that were measured", "fix": "a lower level, or measure rows like these"}
        if count == r:
            raise CalibrationError(came, **says)
        warn(CalibrationWarning, came, **says)


class Tally:
    """How much weight lies below a reach, where each of K models has scores of its own.

    Args:
        scores: n, of any sign.
        members: n, whose of the K models each is.
        weights: n.
        count: K.
    """

    def __init__(self, scores: Tensor, members: Tensor, weights: Tensor, count: int) -> None:
        self.parts: list[tuple[Tensor, Tensor]] = []
        for k in range(count):
            mine = members == k
            ordered, order = scores[mine].sort()
            self.parts.append((ordered, torch.cat([weights.new_zeros(1), weights[mine][order].cumsum(0)])))

    def below(self, reach: Sequence[Tensor], *, upto: bool = False) -> Tensor:
        """The weight of scores below each model's reach (K of r), or up to it."""
        found = [
            summed[torch.searchsorted(ordered, each.contiguous(), right=upto)]
            for (ordered, summed), each in zip(self.parts, reach, strict=True)
        ]
        return torch.stack(found).sum(0)

    def threshold(self, needed: Tensor) -> Tensor:
        """The smallest score up to which the needed weight (r) lies, of one model; infinite where there is none."""
        ordered, summed = self.parts[0]
        at = torch.searchsorted(summed[1:].contiguous(), needed.contiguous())
        return torch.cat([ordered, ordered.new_full((1,), math.inf)])[at]


def need(weights: Tensor, own: Tensor, level: float) -> Tensor:
    """The weight that the interval at that level has to hold (one for each new row)."""
    needed: Tensor = (level - ROUNDING) * (weights.sum() + own)
    return needed


def effective(weights: Tensor) -> float:
    r"""The number of equally weighted rows that tell as much, $(\sum_i w_i)^2 / \sum_i w_i^2$ (Kish 1965).

    >>> effective(torch.tensor([1.0, 1.0, 0.0]))
    2.0
    """
    return float(weights.sum().square() / weights.square().sum())


def conformal_rank(n: int, level: float) -> int:
    r"""The rank $\lceil level\,(n+1)\rceil$ of the score that bounds the interval.

    Raises:
        CalibrationError: n rows cannot promise that level.

    >>> conformal_rank(9, 0.9)
    9
    """
    # Rounding first keeps 0.9 * 10 = 9.000000000000002 from becoming ten.
    rank = math.ceil(round(level * (n + 1), 9))
    if rank > n:
        reachable = math.floor(1000 * n / (n + 1)) / 1000
        needed = math.ceil(round(level / (1 - level), 9)) if level < 1 else math.inf
        raise CalibrationError(
            f"{n} calibration rows for intervals at level {level:g}",
            expected=f"at least {needed}",
            fix=f"a level of at most {reachable:g}, more target rows, or a learner without Conformal",
        )
    return max(rank, 1)
