"""How far a row lies beyond the rows that a model was trained on."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor

from mfmat.scaling import Scaling

REACH = 4.0
"""Standard deviations beyond the rows at which most of the trust is left: an element not seen before is that far."""


class Familiarity(Scaling):
    r"""The trust $g(x) = e^{-(u/4)^2/2}$ in what was learned, with u the distance of x from the range of the rows.

    u is in standard deviations of each column, root mean square over a view's columns and over views: 0 in
    the box that holds the rows, whatever is between them. What is not trusted is left to the prior,
    $f = g f_{learned} + \sqrt{1 - g^2} f_0$ with $f_0 \sim N(0, 1)$, correlated as $e^{-r}$ at distance r.

    Args:
        views: each view's columns.
        width: columns in all.
    """

    low: Tensor
    high: Tensor

    def __init__(self, views: Mapping[str, slice], width: int) -> None:
        super().__init__(views, width)
        self.register_buffer("low", torch.zeros(width).double())
        self.register_buffer("high", torch.zeros(width).double())

    def measure(self, X: Tensor) -> None:
        """Learn the columns' scales and ranges (n x d)."""
        super().measure(X)
        if len(X):
            z = self(X)
            self.low.copy_(z.amin(0))
            self.high.copy_(z.amax(0))

    def trust(self, x: Tensor) -> Tensor:
        """g of rows (b x q x d to b x q)."""
        z = self(x)
        beyond = (self.low - z).clamp_min(0) + (z - self.high).clamp_min(0)
        views = [beyond[..., view].square().mean(-1) for view in self.views.values() if view.stop > view.start]
        return torch.exp(-0.5 * torch.stack(views).mean(0) / REACH**2) if views else torch.ones_like(x.sum(-1))

    def prior(self, x: Tensor, trust: Tensor) -> Tensor:
        """The covariance of what is left to the prior (b x q x d and b x q to b x q x q)."""
        # The root of exactly 0, inside the box, would have no slope.
        left = (1 - trust.square()).clamp_min(0).add(1e-24).sqrt()
        if x.shape[-2] == 1:
            return left.square().unsqueeze(-1)
        sizes = [math.sqrt(len(self.views) * max(view.stop - view.start, 1)) for view in self.views.values()]
        placed = [self(x)[..., view] / size for view, size in zip(self.views.values(), sizes, strict=True)]
        near = torch.cat(placed, dim=-1)
        distance: Tensor = torch.cdist(near, near, compute_mode="donot_use_mm_for_euclid_dist")
        return left.unsqueeze(-1) * left.unsqueeze(-2) * torch.exp(-distance)
