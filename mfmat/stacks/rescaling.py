"""How much narrower or wider a pool of predictions should be than its members say."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from scipy.optimize import minimize_scalar
from torch import Tensor

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


def _pool(scores: Tensor) -> Tensor:
    """The logarithm of the pool's density at each row (n), with the weights that make their sum largest."""
    weights = scores.new_full((scores.shape[1],), 1 / scores.shape[1])
    for _ in range(SWEEPS):
        weights = torch.softmax(scores + weights.log(), dim=1).mean(0)
    return torch.logsumexp(scores + weights.log(), dim=1)
