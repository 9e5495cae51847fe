"""A posterior whose quantiles come from calibration rows."""

from __future__ import annotations

import math

import torch
from botorch.posteriors import Posterior
from torch import Tensor

from mfmat.errors import CalibrationError
from mfmat.posteriors.questions import RowPosterior, log_density, log_mass, quantile
from mfmat.types import Values


class ConformalPosterior(Posterior):
    r"""A posterior whose quantiles come from calibration scores; mean, variance and draws stay its own.

    With scores $R_i = |y_i - m_{k(i)}(x_i)| / s_{k(i)}(x_i)$ of n calibration rows, each from the model
    k(i) that had not seen it, the interval at level $1-\alpha$ runs from the
    $\lfloor\alpha(n+1)\rfloor$-th smallest of $m_{k(i)}(x) - R_i s_{k(i)}(x)$ to the
    $\lceil(1-\alpha)(n+1)\rceil$-th smallest of $m_{k(i)}(x) + R_i s_{k(i)}(x)$, and is widened where
    needed to hold the median. With one model this is the split conformal interval, with several CV+
    (Barber et al. 2021, doi:10.1214/20-AOS1965).

    Args:
        base: the posterior of the model fitted to all rows.
        centres: medians of the K models that gave the scores, K x b x q x 1.
        spreads: their standard deviations, same shape.
        scores: n scores.
        members: n, which of the K models gave each score.
    """

    def __init__(self, base: RowPosterior, centres: Tensor, spreads: Tensor, scores: Tensor, members: Tensor) -> None:
        self.base, self.centres, self.spreads = base, centres, spreads
        self.scores, self.members = scores, members

    @property
    def mean(self) -> Values:
        """Mean of the learner's own posterior (b x q x 1)."""
        return self.base.mean

    @property
    def variance(self) -> Values:
        """Variance of the learner's own posterior (b x q x 1)."""
        return self.base.variance

    @property
    def device(self) -> torch.device:
        """Where the tensors live."""
        return self.base.mean.device

    @property
    def dtype(self) -> torch.dtype:
        """Of the tensors."""
        return self.base.mean.dtype

    def rsample(self, sample_shape: torch.Size | None = None) -> Tensor:
        """Draws from the learner's own posterior."""
        return self.base.rsample(sample_shape)

    def quantile(self, value: Tensor) -> Tensor:
        """The end of the interval whose level is |2 value - 1|, on the side of `value`.

        Raises:
            CalibrationError: too few calibration rows for that level.
        """
        if value.numel() > 1:
            return torch.stack([self.quantile(each) for each in value])
        median, side = quantile(self.base, 0.5), 2 * float(value) - 1
        if side == 0:
            return median
        rank = conformal_rank(len(self.scores), abs(side))
        ends = self._ends(math.copysign(1.0, side))
        if side > 0:
            return torch.maximum(ends.kthvalue(rank, dim=0).values, median)
        return torch.minimum(ends.kthvalue(len(ends) + 1 - rank, dim=0).values, median)

    def cdf(self, y: Values) -> Values:
        """The probability that `quantile` gives to values below `y` (b x q x 1)."""
        beyond = (y - quantile(self.base, 0.5)).sign()
        inside = (torch.where(beyond > 0, self._ends(1.0) <= y, self._ends(-1.0) >= y)).sum(0)
        return 0.5 + 0.5 * beyond * inside / (len(self.scores) + 1)

    def log_density(self, y: Values) -> Values:
        """That of the learner's own posterior (b x q x 1)."""
        return log_density(self.base, y)

    def log_mass(self, low: Values, high: Values) -> Values:
        """That of the learner's own posterior (b x q x 1)."""
        return log_mass(self.base, low, high)

    def _ends(self, side: float) -> Tensor:
        reach = self.scores.reshape(-1, *[1] * (self.spreads.ndim - 1))
        return self.centres[self.members] + side * reach * self.spreads[self.members]


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
