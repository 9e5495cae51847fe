"""How much narrower or wider a pool of predictions should be than its members say."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from scipy.optimize import minimize_scalar
from torch import Tensor
from torch.distributions import Normal

from mfmat.posteriors import MixturePosterior

FLOOR = 1e-3
"""Share of a broad distribution that is mixed into every density of a held-out row, so that none decides alone."""
BROAD = 3.0
"""Standard deviation of that distribution, in standard deviations of the source."""
WINDOW = 0.1
"""Half the width over which densities are averaged where a member has an atom, in the same units."""
REACH = 0.3
"""Prior standard deviation of the logarithm of the factor: few rows leave it near 1."""
FACTORS = (0.4, 2.5)
"""Between these it is looked for."""
SWEEPS = 50
"""Sweeps towards the weights that a factor is judged with."""


def learn_scale(score: Callable[[float], Tensor]) -> float:
    r"""The factor c on all members' standard deviations under which their pool fits held-out values best.

    $\max_{c, w} \sum_i \ln \sum_k w_k p_k(y_i; c) - \ln^2 c / 2 \tau^2$ with $\tau = 0.3$ and $w \ge 0$,
    $\sum_k w_k = 1$: the spread-adjusted linear pool. A mixture of members that are each calibrated is too wide, by
    how far they disagree; members that are too sure of themselves ask for a factor above 1.

    Args:
        score: $\ln p_k(y_i; c)$ by c (n x K).

    Gneiting & Ranjan 2013, doi:10.1214/13-EJS823.

    >>> from torch.distributions import Normal
    >>> y = 2 * torch.randn(4000, 1, generator=torch.Generator().manual_seed(0)).double()
    >>> round(learn_scale(lambda c: Normal(0.0, c).log_prob(y)), 1)
    2.0
    """

    def loss(log_factor: float) -> float:
        return 0.5 * (log_factor / REACH) ** 2 - float(_pool(score(math.exp(log_factor))).sum())

    found = minimize_scalar(loss, bounds=tuple(map(math.log, FACTORS)), method="bounded", options={"xatol": 0.01})
    return math.exp(float(found.x))


def score_pools(
    pools: Sequence[Sequence[tuple[Tensor, Tensor, Tensor]]], y: Sequence[Tensor], standard: tuple[float, float]
) -> Callable[[float], Tensor]:
    """The logarithm of the density that each of K members gives to n held-out values, by the factor on their spreads.

    Args:
        pools: for each fold the components (see `components`) of what each member said of its rows.
        y: for each fold what was measured (n x 1 x 1).
        standard: mean and standard deviation of the source.

    Returns:
        A function of c, to n x K.
    """
    centre, spread = standard
    broad = Normal(centre, BROAD * spread).log_prob(torch.cat(list(y))[..., 0]) + math.log(FLOOR)
    atoms = any(bool((covariances == 0).any()) for own in pools for _, covariances, _ in own)
    window = WINDOW * spread

    def score(scale: float) -> Tensor:
        found = []
        # Not one tensor a member: in a fold without a value at its floor, a hurdle has fewer components.
        for own, measured in zip(pools, y, strict=True):
            said = [MixturePosterior(means, covariances * scale**2, weights) for means, covariances, weights in own]
            if atoms:
                masses = [each.log_mass(measured - window, measured + window) for each in said]
                densities = [mass - math.log(2 * window) for mass in masses]
            else:
                densities = [each.log_density(measured) for each in said]
            found.append(torch.stack([density[:, 0, 0] for density in densities], dim=1))
        return torch.logaddexp(torch.cat(found) + math.log(1 - FLOOR), broad)

    return score


def at_target(X: Tensor, scale: float, sources: int) -> Tensor:
    """The factor on the standard deviation of each row (b x q x (d+1) to b x q): 1 in other sources."""
    return torch.where(X[..., -1].round() == sources - 1, X.new_tensor(scale), X.new_ones(()))


def stretch(covariances: Tensor, scales: Tensor) -> Tensor:
    """Covariances (... x q x q) of rows whose standard deviations are multiplied (... x q)."""
    return covariances * scales.unsqueeze(-1) * scales.unsqueeze(-2)


def _pool(scores: Tensor) -> Tensor:
    """The logarithm of the pool's density at each row (n), with the weights that make their sum largest."""
    weights = scores.new_full((scores.shape[1],), 1 / scores.shape[1])
    for _ in range(SWEEPS):
        weights = torch.softmax(scores + weights.log(), dim=1).mean(0)
    return torch.logsumexp(scores + weights.log(), dim=1)
