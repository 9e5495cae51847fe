"""How one source leads to the next: a slope, and how far a measured cheap value is trusted."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

PRIOR_SLOPE = 1.0
"""Before any target row is seen the next source is believed to follow the cheap one, spread for spread..."""
PRIOR_SPREAD = 1.0
"""...give or take this much."""

MOST_TRUST = 1 - 1e-6
"""A repeated measurement keeps this little of its noise, so that its variance is not exactly 0."""


@dataclass(frozen=True)
class Link:
    r"""The regression of a source's values on those of the source below.

    $y = \rho\,z + \delta(x)$ with $z = p + t\,(c - p)$ where a material's cheap value c is measured and
    z = p, the prediction, where it is not.

    Attributes:
        slope: $\rho$.
        trust: t in [0, 1], the part of c - p (what no feature tells) that carries over; the rest is
            measurement noise of the cheap source.
        variance: of the slope.
        centre: mean of z where the slope was learned; there it adds no variance.
    """

    slope: float
    trust: float
    variance: float
    centre: float


def regress(y: Tensor, predicted: Tensor, surprise: Tensor, scales: tuple[float, float], inverse: Tensor) -> Link:
    r"""The posterior mean of the link, by generalised least squares.

    With $H = [1, p, c - p]$ and $K$ the covariance of the residuals,
    $\beta = (H^T K^{-1} H + P)^{-1} (H^T K^{-1} y + P \beta_0)$; $\rho = \beta_1$ and $t = \beta_2 / \rho$ within
    [0, 1]. The prior is $\rho, \rho t \sim N(1, 1)$ in units of both sources' spreads (Le Gratiet & Garnier
    2014, doi:10.1615/Int.J.UncertaintyQuantification.2014006914, section 3).

    Args:
        y: n values of the source.
        predicted: n predictions p of the source below.
        surprise: n differences c - p; 0 where c is not measured.
        scales: spread of the source below and of this one.
        inverse: $K^{-1}[H, y]$ (n x 4).
    """
    ratio = scales[1] / scales[0]
    H = design(predicted, surprise)
    # A flat prior on the intercept up to what a factorisation can bear.
    precision = torch.tensor([1e-12 / scales[1] ** 2, *[(PRIOR_SPREAD * ratio) ** -2] * 2]).to(y)
    believed = torch.tensor([0.0, PRIOR_SLOPE * ratio, PRIOR_SLOPE * ratio]).to(y)
    covariance = torch.linalg.inv(H.mT @ inverse[:, :3] + torch.diag(precision))
    beta = covariance @ (H.mT @ inverse[:, 3] + precision * believed)
    slope, carried = float(beta[1]), float(beta[2])
    # Where no cheap value was measured beside a target value, what it would carry over is part of the noise.
    told = bool((surprise != 0).any()) and abs(slope) > 1e-6 * ratio
    trust = min(max(carried / slope, 0.0), MOST_TRUST) if told else 0.0
    z = predicted + trust * surprise
    return Link(slope, trust, float(covariance[1, 1]), float(z.mean()) if len(z) else 0.0)


def design(predicted: Tensor, surprise: Tensor) -> Tensor:
    """The regression's columns: 1, p about its mean, c - p (n x 3)."""
    departure = predicted - predicted.sum() / max(len(predicted), 1)
    return torch.stack([torch.ones_like(predicted), departure, surprise], dim=1)
