"""A joint Gaussian of which some values are known to lie below or above a limit."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from mfmat.posteriors.gaussian import root
from mfmat.types import Covariance

SWEEPS = 200
"""Times that all limits are visited at most; some ten are the rule."""
DAMPING = 0.5
"""Part of each step that is taken, as all limits take theirs at once; less where that swings."""
TOLERANCE = 1e-5
"""Change of a mean, in standard deviations, at which the limits agree."""
LEAST = 1e-12
"""Precision, in units of what was known, that a limit which tells nothing keeps: a division must bear it."""


@dataclass(frozen=True)
class Truncated:
    """What limits on b values tell.

    Attributes:
        values, variances: measurements with Gaussian noise that tell the same as the limits (b each).
        mean, variance: of each value given all limits (b each).
    """

    values: Tensor
    variances: Tensor
    mean: Tensor
    variance: Tensor

    def draw(self, limits: Tensor, signs: Tensor, generator: torch.Generator) -> Tensor:
        """A draw of each value on its side of the limit (b), from what all but that limit say of it."""
        rest = 1 / (1 / self.variance - 1 / self.variances)
        mean, std = rest * (self.mean / self.variance - self.values / self.variances), rest.sqrt()
        least = signs * (limits - mean) / std
        chance = torch.rand(len(mean), dtype=mean.dtype, generator=generator) * torch.special.ndtr(-least)
        # Beyond 37 standard deviations there is no probability left to draw from.
        beyond = torch.maximum(-torch.special.ndtri(chance.clamp_min(1e-300)), least)
        return mean + signs * std * beyond


def squeeze(mean: Tensor, variance: Tensor, limits: Tensor, signs: Tensor) -> Truncated:
    r"""Each Gaussian alone, cut off at its limit.

    With $z = \mp (c - m) / s$ for a value above (below) c, $r = \varphi(z) / \Phi(z)$ and $w = r (z + r)$: mean
    $m \pm s r$, variance $s^2 (1 - w)$, and the measurement that takes $N(m, s^2)$ there is $m \pm s / (z + r)$ with
    variance $s^2 (1 - w) / w$.

    Args:
        mean, variance: n each.
        limits: n.
        signs: n, 1 where the value lies above its limit, -1 where below.

    >>> one = torch.ones(1).double()
    >>> round(float(squeeze(0 * one, one, 0 * one, one).mean), 4)  # the mean of a half-normal, the root of 2 / pi
    0.7979
    """
    std = variance.sqrt()
    z = signs * (mean - limits) / std
    # The ratio of density and probability without either of them, which are 0 a long way out.
    ratio = math.sqrt(2 / math.pi) / torch.special.erfcx(-z / math.sqrt(2))
    rest = (z + ratio).clamp_min(1e-12)
    told = (ratio * rest).clamp(LEAST, 1 - 1e-9)
    return Truncated(
        mean + signs * std / rest, variance * (1 - told) / told, mean + signs * std * ratio, variance * (1 - told)
    )


def truncate(mean: Tensor, covariance: Covariance, limits: Tensor, signs: Tensor) -> Truncated:
    r"""A joint Gaussian (b values) of which each lies on its side of a limit, by expectation propagation.

    Every limit is stood for by a measurement with Gaussian noise, such that together with all others it gives the mean
    and the variance that the limit itself gives (`squeeze`). Exact for independent values; among dependent ones the
    mean and the variance are those of a Gaussian close to the truncated one.

    Args:
        mean: b.
        covariance: b x b.
        limits: b.
        signs: b, 1 where the value lies above its limit, -1 where below.

    Minka 2001, arXiv:1301.2294; Cunningham et al. 2011, arXiv:1111.6832.

    >>> two = torch.tensor([[1.0, 0.5], [0.5, 1.0]]).double()  # both above 0: the mean is 4.5 / sqrt(8 pi)
    >>> told = truncate(torch.zeros(2).double(), two, torch.zeros(2).double(), torch.ones(2).double())
    >>> [round(x, 2) for x in told.mean.tolist()]
    [0.9, 0.9]
    """
    precision, pull = torch.zeros_like(mean), torch.zeros_like(mean)
    prior, damping, last = covariance.diagonal(), DAMPING, math.inf
    for _ in range(SWEEPS):
        now, variance = _tell(mean, covariance, precision, pull)
        rest = 1 / (1 / variance - precision)
        alone = squeeze(rest * (now / variance - pull), rest, limits, signs)
        change = float(((alone.mean - now).abs() / prior.sqrt()).max()) if len(mean) else 0.0
        if change < TOLERANCE:
            break
        damping, last = (damping if change < last else max(0.7 * damping, 0.05)), change
        precision = torch.lerp(precision, 1 / alone.variances, damping)
        pull = torch.lerp(pull, alone.values / alone.variances, damping)
    precision = precision.clamp_min(LEAST / prior)
    return Truncated(pull / precision, 1 / precision, *_tell(mean, covariance, precision, pull))


def _tell(mean: Tensor, covariance: Covariance, precision: Tensor, pull: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and variance (b each) given measurements of these precisions, and of values times these (b each)."""
    weight = precision.sqrt()
    factor = root(torch.eye(len(mean)).to(mean) + weight[:, None] * covariance * weight)
    reach = torch.linalg.solve_triangular(factor, weight[:, None] * covariance, upper=False)
    left = pull - precision * mean
    moved = mean + covariance @ left - reach.mT @ (reach @ left)
    return moved, (covariance.diagonal() - reach.square().sum(0)).clamp_min(1e-12 * covariance.diagonal())
