"""What a cheap measurement is worth to whoever measures the target after it, where it comes out well."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from mfmat.acquisitions.rise import BLOCK, log_improvement

GRID = torch.linspace(-4.0, 8.0, 33, dtype=torch.double)
"""Outcomes of the cheap measurement, standardised: of what is to beat the best, those far above their mean count."""
WEIGHTS = -0.5 * GRID.square() + math.log(float(GRID[1] - GRID[0]) / math.sqrt(2 * math.pi))
BEYOND = torch.cat([torch.zeros(1).double(), WEIGHTS.flip(0).logcumsumexp(0).exp()])
"""Probability of an outcome above the grid, then of one at least as high as each of the grid, the highest first."""


def log_follow_up(above: Tensor, moved: Tensor, prices: Tensor) -> Tensor:
    r"""Logarithm of what measuring each of n candidates in a cheap source is worth with the target in view (n).

    Whoever measures source s may measure the target afterwards, and will where s came out well. The plan "source s,
    then the target where the outcome is above k" has the rate

    $$\lambda_s = \max_k \frac{E[(\mu_T' - y^*)_+;\, Z > k]}{c_s + c_T P(Z > k)},$$

    expected improvement over expected price, with Z the standardised outcome and $\mu_T'$ the target's mean after both.
    The utility is the share of the improvement that the price of s pays for, $c_s \lambda_s$, so that the score is the
    rate. A source that tells nothing is worth less than the target alone, one that tells all is worth the whole
    expected improvement at little more than its own price. So projects are ordered by what they promise per unit of
    time until they are best given up (Gittins 1979, doi:10.1111/j.2517-6161.1979.tb01068.x).

    Args:
        above: the target's mean above the best (n).
        moved: variance of its mean after measuring source s, and after measuring the target (n x 2).
        prices: of source s and of the target, above 0 and at least 0 (n x 2).
    """
    unit = moved.max().sqrt().clamp_min(1e-150)
    step = moved[:, 0].sqrt() / unit
    left = (moved[:, 1] / unit.square() - step.square()).clamp_min(1e-10)
    rates, size = [], max(1, BLOCK // len(GRID))
    for mean, spread, rest, price in zip(*(x.split(size) for x in (above / unit, step, left, prices)), strict=True):
        rises = log_improvement(mean[:, None] + spread[:, None] * GRID, rest[:, None]) + WEIGHTS
        whole = log_improvement(mean, spread.square() + rest)
        # Of a candidate that is all but hopeless, what hope there is lies above the grid.
        above_grid = whole + (-(rises.logsumexp(-1) - whole).clamp_max(0).expm1()).log()
        rise = torch.cat([above_grid[:, None], rises.flip(-1)], dim=-1).logcumsumexp(-1)
        rates.append((rise - (price[:, :1] + price[:, 1:] * BEYOND).log()).max(dim=-1).values)
    return torch.cat(rates) + unit.log() + prices[:, 0].log()
