"""What a set becomes, whatever the order and the number of its members."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

Pooling = Literal["mean", "learned"]
POOLINGS = ("mean", "learned")
STEPS = 3
"""Looks that a learned pooling takes at a set, as in AtomSets."""
FAINT = -1e9
"""Lower than any score: of a member that is not there."""


class MeanPool(torch.nn.Module):
    r"""$(\bar\phi, \sqrt{\sum_i |w_i| (\phi_i - \bar\phi)^2})$ with $\bar\phi = \sum_i w_i \phi_i$."""

    def forward(self, weights: Tensor, each: Tensor) -> Tensor:
        """Weights (... x m) and members (m x k, the same for every row, or ... x m x k) to ... x 2k."""
        mean, whole = total(weights, each), weights.abs().sum(-1, keepdim=True)
        spread = total(weights.abs(), each.square()) - (2 - whole) * mean.square()
        return torch.cat([mean, spread.clamp_min(0).add(1e-6).sqrt()], dim=-1)


class LearnedPool(torch.nn.Module):
    r"""Weighted set2set: what is looked for depends on what was found, three times.

    $q_t = \mathrm{LSTM}(q_{t-1}, r_{t-1})$ and $r_t = W \sum_i w_i a_i \phi_i / \sum_i |w_i| a_i$ with
    $a_i = e^{\phi_i^T q_t}$ and $W = \sum_i |w_i|$, 1 for fractions; the set becomes $(q_T, r_T)$.

    Vinyals, Bengio & Kudlur 2016, arXiv:1511.06391; with weights Chen & Ong 2021, doi:10.1038/s41524-021-00639-w.

    Args:
        width: k, numbers of a member.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.look = torch.nn.LSTMCell(2 * width, width)
        self.width = width

    def forward(self, weights: Tensor, each: Tensor) -> Tensor:
        """Weights (... x m) and members (m x k, the same for every row, or ... x m x k) to ... x 2k."""
        rows = weights.reshape(-1, weights.shape[-1])
        members = each if each.ndim == 2 else each.reshape(-1, *each.shape[-2:])
        found = rows.new_zeros(len(rows), 2 * self.width)
        query = cell = rows.new_zeros(len(rows), self.width)
        for _ in range(STEPS):
            query, cell = self.look(found, (query, cell))
            score = query @ members.mT if members.ndim == 2 else (members @ query.unsqueeze(-1)).squeeze(-1)
            # In units of the largest of those that are there, or all of them might vanish.
            largest = score.detach().masked_fill(rows == 0, FAINT).amax(-1, keepdim=True)
            score = (score - largest).clamp_max(0)
            heard = rows * score.exp()
            part = rows.abs().sum(-1, keepdim=True) / heard.abs().sum(-1, keepdim=True).clamp_min(1e-12)
            found = torch.cat([query, part * total(heard, members)], dim=-1)
        return found.reshape(*weights.shape[:-1], -1)


def build_pool(pooling: Pooling, width: int) -> MeanPool | LearnedPool:
    """The pooling of this name, of members of this width."""
    return LearnedPool(width) if pooling == "learned" else MeanPool()


def total(weights: Tensor, each: Tensor) -> Tensor:
    """The weighted sum of the members (... x k)."""
    return weights @ each if each.ndim == 2 else (weights.unsqueeze(-2) @ each).squeeze(-2)
