"""What a posterior is a mixture of."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from mfmat.posteriors.calibrated import CalibratedPosterior
from mfmat.posteriors.mixture import MixturePosterior


def components(posterior: Any) -> tuple[Tensor, Tensor, Tensor]:
    """Means (K x b x q), covariances and weights of what a posterior is a mixture of; calibration is left out."""
    if isinstance(posterior, CalibratedPosterior):
        return components(posterior.base)
    if isinstance(posterior, MixturePosterior):
        return posterior.means, posterior.covariances, posterior.weights
    mean = posterior.mean[..., 0].unsqueeze(0)
    covariance = posterior.distribution.covariance_matrix.unsqueeze(0)
    return mean, covariance, torch.ones_like(mean)
