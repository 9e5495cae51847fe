"""Columns on one scale, learned from the training rows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import torch
from torch import Tensor


def find_outside(views: Iterable[slice], width: int) -> Tensor:
    """Which of the columns are in no view (flags, width).

    >>> find_outside([slice(0, 2)], 3)
    tensor([False, False,  True])
    """
    outside = torch.ones(width, dtype=torch.bool)
    for view in views:
        outside[view] = False
    return outside


class Scaling(torch.nn.Module):
    r"""Standardised columns, $z = (x - c) / s$ with the mean c and the standard deviation s of the rows.

    A constant column gets its view's median s, so that it takes part as soon as a new row differs in it (an
    element not seen before). Columns of no view (a material's id, metadata) become 0.

    Args:
        views: each view's columns.
        width: columns in all.
    """

    centre: Tensor
    scale: Tensor
    outside: Tensor

    def __init__(self, views: Mapping[str, slice], width: int) -> None:
        super().__init__()
        self.views = dict(views)
        self.register_buffer("centre", torch.zeros(width).double())
        self.register_buffer("scale", torch.ones(width).double())
        self.register_buffer("outside", find_outside(self.views.values(), width), persistent=False)

    def measure(self, X: Tensor) -> None:
        """Learn c and s (n x d)."""
        if len(X):
            # Distances do not depend on the centre, but the rounding of large squares does.
            self.centre.copy_(X.mean(dim=0))
        if len(X) < 2:
            return
        spread = X.std(dim=0)
        for view in self.views.values():
            block = spread[view]
            varying = block > 1e-12 * X[:, view].abs().amax(dim=0)
            if varying.any():
                self.scale[view] = torch.where(varying, block, block[varying].median())

    def forward(self, x: Tensor) -> Tensor:
        """Rows (b x q x d), in the same shape."""
        return ((x - self.centre) / self.scale).masked_fill(self.outside, 0.0)
