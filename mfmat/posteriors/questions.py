"""Questions to any posterior: quantile, interval, cumulative probability, density."""

from __future__ import annotations

import math
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor
from torch.distributions import Normal

from mfmat.types import Values


@runtime_checkable
class RowPosterior(Protocol):
    """What every posterior of this house answers for each row; BoTorch's Gaussian one does."""

    @property
    def mean(self) -> Tensor:
        """b x q x 1."""

    @property
    def variance(self) -> Tensor:
        """b x q x 1."""

    def quantile(self, value: Tensor) -> Tensor:
        """b x q x 1 for one level, k x b x q x 1 for k."""

    def rsample(self, sample_shape: torch.Size | None = None) -> Tensor:
        """s x b x q x 1."""


@runtime_checkable
class ShapedPosterior(Protocol):
    """What a posterior whose rows are no Gaussians answers besides."""

    def cdf(self, y: Tensor) -> Tensor:
        """See `cdf`."""

    def log_density(self, y: Tensor) -> Tensor:
        """See `log_density`."""

    def log_mass(self, low: Tensor, high: Tensor) -> Tensor:
        """See `log_mass`."""


def quantile(posterior: RowPosterior, level: float) -> Values:
    """The value below which a new draw falls with probability `level`, for each row (b x q x 1).

    >>> from mfmat.posteriors import normal
    >>> quantile(normal(torch.zeros(1), torch.eye(1)), 0.975).round(decimals=2)
    tensor([[1.9600]])
    """
    mean = posterior.mean
    return posterior.quantile(torch.tensor(level, dtype=mean.dtype, device=mean.device)).reshape(mean.shape)


def interval(posterior: RowPosterior, level: float) -> tuple[Values, Values]:
    """The central interval that holds a new draw with probability `level` (two of b x q x 1), its ends included."""
    return quantile(posterior, (1 - level) / 2), quantile(posterior, (1 + level) / 2)


def cdf(posterior: RowPosterior, y: Values) -> Values:
    """The probability that a new draw is at most `y`, for each row (b x q x 1).

    >>> from mfmat.posteriors import normal
    >>> cdf(normal(torch.zeros(1), torch.eye(1)), torch.zeros(1, 1))
    tensor([[0.5000]])
    """
    if isinstance(posterior, ShapedPosterior):
        return posterior.cdf(y)
    result: Tensor = Normal(posterior.mean, posterior.variance.sqrt()).cdf(y)
    return result


def log_density(posterior: RowPosterior, y: Values) -> Values:
    """The logarithm of the density of a new draw at `y`, for each row (b x q x 1); calibration leaves it as it is.

    >>> from mfmat.posteriors import normal
    >>> log_density(normal(torch.zeros(1), torch.eye(1)), torch.zeros(1, 1))
    tensor([[-0.9189]])
    """
    if isinstance(posterior, ShapedPosterior):
        return posterior.log_density(y)
    result: Tensor = Normal(posterior.mean, posterior.variance.sqrt()).log_prob(y)
    return result


def log_mass(posterior: RowPosterior, low: Values, high: Values) -> Values:
    """The logarithm of the probability of a new draw above `low` and up to `high` (each b x q x 1).

    Calibration leaves it as it is, and it keeps its digits far from the mean.

    >>> from mfmat.posteriors import normal
    >>> log_mass(normal(torch.zeros(1), torch.eye(1)), -torch.ones(1, 1), torch.ones(1, 1)).exp()
    tensor([[0.6827]])
    """
    if isinstance(posterior, ShapedPosterior):
        return posterior.log_mass(low, high)
    spread = posterior.variance.sqrt()
    return log_strip((low - posterior.mean) / spread, (high - posterior.mean) / spread)


def log_strip(low: Tensor, high: Tensor) -> Tensor:
    r"""$\ln(\Phi(b) - \Phi(a))$ of a standard normal value, for a < b, in the tail where no digits are lost."""
    upper = low + high > 0
    a, b = torch.where(upper, -high, low), torch.where(upper, -low, high)
    below, above = torch.special.log_ndtr(a), torch.special.log_ndtr(b)
    # Two ends as one number: the strip is narrower than rounding.
    gap = (below - above).clamp_max(-torch.finfo(above.dtype).tiny)
    strip: Tensor = above + torch.where(gap < -math.log(2), torch.log1p(-gap.exp()), torch.log(-torch.expm1(gap)))
    return strip
