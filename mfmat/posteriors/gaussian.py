"""The joint Gaussian in any units."""

from __future__ import annotations

import torch
from botorch.posteriors import GPyTorchPosterior
from gpytorch.distributions import MultivariateNormal
from linear_operator.operators import DenseLinearOperator
from linear_operator.utils.cholesky import psd_safe_cholesky
from torch import Tensor

from mfmat.types import Covariance, Values


def normal(mean: Tensor, covariance: Covariance) -> GaussianPosterior:
    """The joint Gaussian of q rows (mean b x q, covariance b x q x q) as BoTorch's own posterior.

    >>> normal(torch.zeros(2), torch.eye(2)).mean.shape
    torch.Size([2, 1])
    """
    return GaussianPosterior(mean, covariance)


class GaussianPosterior(GPyTorchPosterior):
    """BoTorch's Gaussian posterior in any units: GPyTorch rounds variances below 1e-10 up to it, this does not."""

    def __init__(self, mean: Tensor, covariance: Covariance) -> None:
        # As an operator the covariance is factorised when draws are wanted, not before.
        super().__init__(MultivariateNormal(mean, DenseLinearOperator(covariance)))
        self._variance = covariance.diagonal(dim1=-2, dim2=-1).unsqueeze(-1)

    @property
    def variance(self) -> Values:
        """b x q x 1."""
        return self._variance


def root(covariance: Covariance) -> Tensor:
    """The lower Cholesky factor, with a jitter that is small in the covariance's own units where one is needed."""
    unit = covariance.diagonal(dim1=-2, dim2=-1).sum(dim=-1)[..., None, None] / max(covariance.shape[-1], 1)
    unit = torch.where(unit > 0, unit, 1.0)
    factor: Tensor = psd_safe_cholesky(covariance / unit) * unit.sqrt()
    return factor
