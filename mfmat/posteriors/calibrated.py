"""What every posterior whose quantiles come from calibration rows has in common."""

from __future__ import annotations

import math
from abc import abstractmethod

import torch
from botorch.posteriors import Posterior
from torch import Tensor

from mfmat.errors import CalibrationError
from mfmat.posteriors.questions import RowPosterior, log_density, log_mass, quantile
from mfmat.types import Values


class CalibratedPosterior(Posterior):
    """A posterior whose quantiles come from the scores of n held-out rows; mean, variance and draws stay its own.

    Args:
        base: the posterior of the model fitted to all rows.
        scores: n scores; the interval at a level is made of the one of rank `conformal_rank(n, level)`.
    """

    def __init__(self, base: RowPosterior, scores: Tensor) -> None:
        self.base, self.scores = base, scores

    @abstractmethod
    def end(self, rank: int, side: float) -> Values:
        """The upper (side 1) or lower (-1) end of the interval made of the score of that rank (b x q x 1)."""

    @abstractmethod
    def cdf(self, y: Values) -> Values:
        """The probability that `quantile` gives to values below `y` (b x q x 1)."""

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
        """The end of the interval whose level is |2 value - 1|, on the side of `value`; never beyond the median.

        Raises:
            CalibrationError: too few calibration rows for that level.
        """
        if value.numel() > 1:
            return torch.stack([self.quantile(each) for each in value])
        median, side = quantile(self.base, 0.5), 2 * float(value) - 1
        if side == 0:
            return median
        end = self.end(conformal_rank(len(self.scores), abs(side)), math.copysign(1.0, side))
        return torch.maximum(end, median) if side > 0 else torch.minimum(end, median)

    def log_density(self, y: Values) -> Values:
        """That of the learner's own posterior (b x q x 1)."""
        return log_density(self.base, y)

    def log_mass(self, low: Values, high: Values) -> Values:
        """That of the learner's own posterior (b x q x 1)."""
        return log_mass(self.base, low, high)


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
