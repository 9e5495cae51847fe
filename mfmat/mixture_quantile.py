"""The quantiles of many mixtures of Gaussians at once."""

from __future__ import annotations

import math

import torch
from torch import Tensor

NEAR = 1e-8
"""Newton step, in standard deviations of the mixture, after which the next would be below rounding."""
CLOSED = 1e-13
"""Width of a bracket, in the same units, that counts as a point."""


def mixture_quantile(weights: Tensor, means: Tensor, stds: Tensor, level: float) -> Tensor:
    r"""The x with $\sum_k w_k \Phi((x - \mu_k) / \sigma_k) = p$ for each of N mixtures (each K x N to N).

    Newton's method in a bracket, halved where a step leaves it or is too long; mixtures that are solved are laid aside.

    Args:
        weights: they sum to 1 over K.
        means: of the components.
        stds: their standard deviations, above 0.
        level: p, at most 0.5: above, the cumulative probability of a far value rounds to 1.
    """
    ends = means + stds * torch.special.ndtri(torch.tensor(level).to(means))
    low, high = ends.amin(0), ends.amax(0)
    mean = (weights * means).sum(0)
    spread = (weights * (stds.square() + (means - mean).square())).sum(0).sqrt()
    found = (mean + spread * math.sqrt(2) * torch.erfinv(torch.tensor(2 * level - 1).to(means))).clamp(low, high)
    x, move, open_ = found, high - low, torch.arange(len(found))
    parts: tuple[Tensor, ...] = (weights, means, stds, low, high, spread, x, move)
    for _ in range(200):
        weights, means, stds, low, high, spread, x, move = parts
        z = (x - means) / stds
        # Through erfc, which keeps its digits far below the mean; torch's ndtr does not.
        excess = 0.5 * (weights * torch.erfc(z * -math.sqrt(0.5))).sum(0) - level
        slope = (weights / stds * torch.exp(-0.5 * z.square())).sum(0) / math.sqrt(2 * math.pi)
        low, high = torch.where(excess < 0, x, low), torch.where(excess > 0, x, high)
        ahead = x - excess / slope
        # A step that is not half the last one may belong to a cycle between the ends of the bracket.
        good = (ahead >= low) & (ahead <= high) & (2 * (ahead - x).abs() <= move)
        ahead = torch.where(good, ahead, (low + high) / 2)
        move = (ahead - x).abs()
        solved = (move <= torch.where(good, NEAR, CLOSED) * spread) | (excess == 0)
        found[open_] = torch.where(excess == 0, x, ahead)
        left = torch.nonzero(~solved).flatten()
        if not len(left):
            break
        parts = (weights, means, stds, low, high, spread, ahead, move)
        if 2 * len(left) <= len(x):
            parts, open_ = tuple(part[..., left] for part in parts), open_[left]
    return found
