"""The quantiles of many mixtures of Gaussians and atoms at once."""

from __future__ import annotations

import math

import torch
from torch import Tensor

NEAR = 1e-8
"""Newton step, in standard deviations of the mixture, after which the next would be below rounding."""
CLOSED = 1e-13
"""Width of a bracket, in the same units, that counts as a point."""


def mixture_quantile(weights: Tensor, means: Tensor, stds: Tensor, level: Tensor) -> Tensor:
    r"""The x with $\sum_k w_k \Phi((x - \mu_k) / \sigma_k) = p$ for each of N mixtures (each K x N to N).

    Newton's method in a bracket, halved where a step leaves it or is too long; mixtures that are solved are laid aside.

    Args:
        weights: they sum to 1 over K.
        means: of the components.
        stds: their standard deviations, above 0.
        level: p of each mixture (N), at most 0.5: above, the cumulative probability of a far value rounds to 1.
    """
    ends = means + stds * torch.special.ndtri(level)
    low, high = ends.amin(0), ends.amax(0)
    mean = (weights * means).sum(0)
    spread = (weights * (stds.square() + (means - mean).square())).sum(0).sqrt()
    found = (mean + spread * math.sqrt(2) * torch.erfinv(2 * level - 1)).clamp(low, high)
    x, move, open_ = found, high - low, torch.arange(len(found))
    parts: tuple[Tensor, ...] = (weights, means, stds, level, low, high, spread, x, move)
    for _ in range(200):
        weights, means, stds, level, low, high, spread, x, move = parts
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
        parts = (weights, means, stds, level, low, high, spread, ahead, move)
        if 2 * len(left) <= len(x):
            parts, open_ = tuple(part[..., left] for part in parts), open_[left]
    return found


def atomic_quantile(weights: Tensor, means: Tensor, stds: Tensor, level: float, rest: float) -> tuple[Tensor, Tensor]:
    r"""The smallest x with $F(x) \ge p$ where components of standard deviation 0 are atoms (each K x N to N).

    x is an atom a where $F(a-) < p \le F(a)$. Elsewhere the components that are no atoms reach together what
    the atoms below leave of p.

    Args:
        weights: they sum to 1 over K.
        means: of the components.
        stds: their standard deviations.
        level: p.
        rest: 1 - p, with its own digits.

    Returns:
        x, and which atom it is as shares (K x N; 0 where it is none).
    """
    atoms, flat = stds == 0, weights.new_zeros(())
    safe = torch.where(atoms, 1.0, stds)
    below, above = torch.zeros_like(atoms), torch.zeros_like(atoms)
    for k in torch.nonzero(atoms.any(1)).flatten().tolist():
        smooth = torch.where(atoms, flat, 0.5 * weights * torch.erfc((means - means[k]) / (math.sqrt(2) * safe))).sum(0)
        before = smooth + torch.where(atoms & (means < means[k]), weights, flat).sum(0)
        upto = before + torch.where(atoms & (means == means[k]), weights, flat).sum(0)
        below[k], above[k] = atoms[k] & (upto < level), atoms[k] & (before >= level)
    hit = (atoms & ~below & ~above).to(means)
    hit = hit / hit.sum(0).clamp_min(1)
    low = torch.where(below, means, -math.inf).amax(0)
    high = torch.where(above, means, math.inf).amin(0)
    smooth_part = torch.where(atoms, flat, weights)
    total = smooth_part.sum(0)
    left = (level - torch.where(below, weights, flat).sum(0)) / total
    right = (rest - torch.where(above, weights, flat).sum(0)) / total
    found = _between(smooth_part / total, means, safe, atoms, torch.stack([left, right]))
    # Rounding of the levels must not carry x beyond the atoms on its sides.
    found = torch.where(total > 0, found, low).clamp(low, high)
    return torch.where(hit.any(0), (hit * means).sum(0), found), hit


def _between(weights: Tensor, means: Tensor, stds: Tensor, atoms: Tensor, levels: Tensor) -> Tensor:
    """The quantile of the components that are no atoms, from the nearer end (each K x N; 2 x N, p and 1 - p)."""
    some = weights.sum(0) > 0
    found = torch.full_like(levels[0], math.nan)
    weights, means, stds, atoms, levels = (x[..., some] for x in (weights, means, stds, atoms, levels))
    # An atom takes no part, but its place in the arrays needs values that do not widen the bracket.
    first = (~atoms).to(weights).argmax(0, keepdim=True)
    means = torch.where(atoms, means.gather(0, first), means)
    stds = torch.where(atoms, stds.gather(0, first), stds)
    side = torch.where(levels[0] > 0.5, -1.0, 1.0).to(means)
    nearer = torch.where(side < 0, levels[1], levels[0]).clamp(0, 0.5)
    found[some] = side * mixture_quantile(weights, side * means, stds, nearer)
    return found
