"""What every posterior whose quantiles come from calibration rows has in common."""

from __future__ import annotations

import math
from abc import abstractmethod
from typing import Literal

import torch
from botorch.posteriors import Posterior
from torch import Tensor

from mfmat.posteriors.questions import RowPosterior, log_density, log_mass, quantile
from mfmat.posteriors.weighing import Weighing
from mfmat.types import Values

Ends = Literal["both", "each"]
"""What a score of a calibration row is about: both ends of an interval, or each end of its own."""


class CalibratedPosterior(Posterior):
    """A posterior whose quantiles come from the scores of n held-out rows; mean, variance and draws stay its own.

    Args:
        base: the posterior of the model fitted to all rows.
        scores: n scores.
        weighing: how much each counts; None: all alike.
        ends: `"both"`: an interval at level p is one that holds with probability p, so that its ends are quantiles
            only where errors are symmetric. `"each"`: each end is a bound that holds on its own, (1 + p) / 2 of the
            time, which takes twice as many rows.
    """

    def __init__(
        self, base: RowPosterior, scores: Tensor, weighing: Weighing | None = None, ends: Ends = "both"
    ) -> None:
        self.base, self.scores, self.ends = base, scores, ends
        self.weighing = weighing or Weighing.equal(len(scores))
        self._medians: dict[bool, Values] = {}

    @abstractmethod
    def end(self, level: float, side: float) -> Values:
        """The upper (side 1) or lower (-1) end at that level (b x q x 1), infinite where there is none."""

    @abstractmethod
    def cdf(self, y: Values) -> Values:
        """The probability that `quantile` gives to values below `y` (b x q x 1)."""

    @property
    def highest(self) -> float:
        """The highest level of a central interval that has both ends, whatever the row."""
        level = self.weighing.highest(self.base.mean.numel())
        return level if self.ends == "both" else max(2 * level - 1, 0.0)

    @property
    def median(self) -> Values:
        """Median of the learner's own posterior (b x q x 1)."""
        # Every quantile asks for it, and that of a mixture takes a while; with gradients it is another tensor.
        graph = torch.is_grad_enabled()
        if graph not in self._medians:
            self._medians[graph] = quantile(self.base, 0.5)
        return self._medians[graph]

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
        """The end of an interval on the side of `value`; never beyond the median.

        Raises:
            CalibrationError: too few calibration rows for that level.
        """
        if value.numel() > 1:
            return torch.stack([self.quantile(each) for each in value])
        median, offset = self.median, 2 * float(value) - 1
        if offset == 0:
            return median
        side = math.copysign(1.0, offset)
        level = abs(offset) if self.ends == "both" else (1 + abs(offset)) / 2
        self.weighing.check(level, median.numel())
        end = self.end(level, side)
        return torch.maximum(end, median) if side > 0 else torch.minimum(end, median)

    def below(self, above: Tensor, inside: Tensor) -> Tensor:
        """The cumulative probability of a value on the side `above` the median (1) or below it (-1).

        Args:
            above: the side.
            inside: the share of calibration rows that lie less far out on that side.
        """
        if self.ends == "both":
            return 0.5 + 0.5 * above * inside
        return torch.where(above == 0, 0.5, 0.5 + above * (inside - 0.5).clamp_min(0))

    def log_density(self, y: Values) -> Values:
        """That of the learner's own posterior (b x q x 1)."""
        return log_density(self.base, y)

    def log_mass(self, low: Values, high: Values) -> Values:
        """That of the learner's own posterior (b x q x 1)."""
        return log_mass(self.base, low, high)
