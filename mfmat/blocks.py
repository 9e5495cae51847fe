"""What a set-up is worth: the best block of pairs that it opens."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from mfmat.purse import ROUNDING, Purse


def score_block(utility: Tensor, costs: Tensor, purse: Purse, fidelity: int, most: int) -> Tensor:
    r"""The logarithm of each pair's score in a source that is not set up yet (n).

    One pair must not carry a set-up $S$ that others will share, so the source is judged by the best block B of at most
    `most` pairs which the purse affords together,

    $$ \lambda = \max_B \frac{\sum_{i \in B} u_i}{S + \sum_{i \in B} c_i}, $$

    found by Dinkelbach's iteration (1967, doi:10.1287/mnsc.13.7.492): the pairs of the largest $u_i - \lambda c_i$
    make the next $\lambda$. Where budgets bind, of these as many in a row are taken as can be paid. $\lambda$ is the
    score of the pair that is best at an even share of the set-up, $u_i / (c_i + S / |B|)$; the others keep their ratio
    to it. What the pairs of a block teach twice is counted twice: they are believed only one after the other.

    Args:
        utility: logarithms (n); minus infinity for pairs that are not open.
        costs: in each unit (n x u).
        purse: what is left, before the set-up.
        fidelity: the source.
        most: pairs that may still be chosen.
    """
    price, setup = purse.price(costs), float(purse.price(purse.setup[fidelity]))
    left = purse.left - purse.setup[fidelity]
    able = torch.nonzero((utility > -math.inf) & (costs <= left * ROUNDING).all(dim=-1))[:, 0]
    if not len(able):
        return utility - (price + setup).log()
    highest = utility[able].max()
    u, c = (utility[able] - highest).exp(), price[able]
    ratio, size = float((u / (c + setup)).max()), 1
    while True:
        order = (u - ratio * c).topk(min(most, len(able))).indices
        total = u[order].cumsum(0) / (setup + c[order].cumsum(0))
        fits = (costs[able[order]].cumsum(0) <= left * ROUNDING).all(dim=-1)
        best, at = torch.where(fits, total, 0.0).max(dim=0)
        if not float(best) > ratio * ROUNDING:
            break
        ratio, size = float(best), int(at) + 1
    even = utility - (price + setup / size).log()
    return even - even[able].max() + highest + math.log(ratio)
