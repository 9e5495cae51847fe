"""Small sets among the columns: a weight and some numbers for each member, in whatever order."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

PRESENT = 1e-12
"""Weight above which a member is there; the others are padding."""


class SetColumns(NamedTuple):
    """Where a set stands among columns: m weights, and w numbers for each of m members, member after member.

    The sum of the weights is 1, and a member that is not there has the weight 0.
    """

    weights: slice
    members: slice


class Members(torch.nn.Module):
    r"""The members of a set on one scale, $z = (x - c) / s$, whichever place they stand at.

    c and s are the mean and the standard deviation of a number over all members of all training rows, each as often as
    its weight says; a constant number gets the median s. Several sets of the same members are one, with the numbers of
    all.

    Args:
        sets: with one slice of weights.
    """

    centre: Tensor
    scale: Tensor

    def __init__(self, sets: Sequence[SetColumns]) -> None:
        super().__init__()
        self.weights, self.blocks = sets[0].weights, [each.members for each in sets]
        self.count = self.weights.stop - self.weights.start
        self.width = sum(block.stop - block.start for block in self.blocks) // self.count
        self.register_buffer("centre", torch.zeros(self.width).double())
        self.register_buffer("scale", torch.ones(self.width).double())

    def share(self, x: Tensor) -> Tensor:
        """The weights of the members of rows (b x q x d to b x q x m)."""
        return x[..., self.weights]

    def present(self, x: Tensor) -> Tensor:
        """Which members are there (b x q x d to flags, b x q x m)."""
        return self.share(x) > PRESENT

    def measure(self, X: Tensor) -> None:
        """Learn c and s (n x d)."""
        present = self.present(X)
        if not bool(present.any()):
            return
        values, weight = self._read(X)[present], self.share(X)[present].unsqueeze(-1)
        weight = weight / weight.sum()
        self.centre.copy_((weight * values).sum(0))
        spread = (weight * (values - self.centre).square()).sum(0).sqrt()
        varying = spread > 1e-12 * values.abs().amax(0)
        if varying.any():
            self.scale.copy_(torch.where(varying, spread, spread[varying].median()))

    def forward(self, x: Tensor) -> Tensor:
        """Members of rows (b x q x d to b x q x m x w); 0 where there is none."""
        z = (self._read(x) - self.centre) / self.scale
        return z.masked_fill(~self.present(x).unsqueeze(-1), 0.0)

    def _read(self, x: Tensor) -> Tensor:
        return torch.cat([x[..., block].unflatten(-1, (self.count, -1)) for block in self.blocks], dim=-1)
