"""Standard normal draws, few and even, by which uncertain inputs are averaged over."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.quasirandom import SobolEngine


def even_draws(draws: int, sources: int, seed: int) -> Tensor:
    r"""Quasi-random standard normal numbers (K x m) with exactly their first moments: mean 0, covariance I.

    Half of them come from a scrambled Sobol sequence, the others are their opposites, and a rotation and
    stretching makes the covariance exact, so that a linear function of them gets its mean and its variance
    right with any number of draws. K is `draws`, made even, and at least 2m + 2; one draw is the mean.

    Owen 1998, doi:10.1145/290274.290279, for scrambled sequences.

    >>> z = even_draws(8, 2, seed=0)
    >>> bool(z.mean(0).abs().max() < 1e-12), bool((z.mT @ z / 8 - torch.eye(2)).abs().max() < 1e-12)
    (True, True)
    """
    if not sources or draws == 1:
        return torch.zeros(1, sources).double()
    half = max((draws + 1) // 2, sources + 1)
    uniform = SobolEngine(sources, scramble=True, seed=seed).draw(half, dtype=torch.double)
    # In the first dimension from one side of 0: the opposites are on the other.
    uniform[:, 0] = 0.5 + 0.5 * uniform[:, 0]
    # A sequence may begin at its corner, which is infinitely far.
    near = torch.special.ndtri(uniform.clamp(1e-3, 1 - 1e-3))
    z = torch.cat([near, -near])
    factor = torch.linalg.cholesky(z.mT @ z / len(z))
    even: Tensor = torch.linalg.solve_triangular(factor, z.mT, upper=False).mT
    return even.contiguous()
