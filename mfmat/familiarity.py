"""How far a row lies beyond the rows that a model was trained on."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from mfmat.scaling import Scaling
from mfmat.small_sets import Members, SetColumns

REACH = 4.0
"""Standard deviations beyond the rows at which most of the trust is left: an element not seen before is that far."""


class Familiarity(Scaling):
    r"""The trust $g(x) = e^{-(u/4)^2/2}$ in what was learned, with u the distance of x from the range of the rows.

    u is in standard deviations of each column, root mean square over a view's columns and over views: 0 in
    the box that holds the rows, whatever is between them. Of a set each member has a u of its own, and their squares
    count as the weights say; its box holds every member of every row. What is not trusted is left to the prior,
    $f = g f_{learned} + \sqrt{1 - g^2} f_0$ with $f_0 \sim N(0, 1)$, correlated as $e^{-r}$ at distance r.

    Args:
        views: each view's columns.
        width: columns in all.
        sets: small sets of the same members, which are one view more.
    """

    low: Tensor
    high: Tensor
    least: Tensor
    most: Tensor

    def __init__(self, views: Mapping[str, slice], width: int, sets: Sequence[SetColumns] = ()) -> None:
        super().__init__(views, width)
        self.register_buffer("low", torch.zeros(width).double())
        self.register_buffer("high", torch.zeros(width).double())
        self.members = Members(sets) if sets else None
        if self.members is not None:
            self.register_buffer("least", torch.zeros(self.members.width).double())
            self.register_buffer("most", torch.zeros(self.members.width).double())

    def measure(self, X: Tensor) -> None:
        """Learn the columns' scales and ranges (n x d)."""
        super().measure(X)
        if len(X):
            z = self(X)
            self.low.copy_(z.amin(0))
            self.high.copy_(z.amax(0))
        if self.members is not None and bool((present := self.members.present(X)).any()):
            self.members.measure(X)
            z = self.members(X)[present]
            self.least.copy_(z.amin(0))
            self.most.copy_(z.amax(0))

    def trust(self, x: Tensor) -> Tensor:
        """g of rows (b x q x d to b x q)."""
        z = self(x)
        beyond = (self.low - z).clamp_min(0) + (z - self.high).clamp_min(0)
        views = [beyond[..., view].square().mean(-1) for view in self.views.values() if view.stop > view.start]
        if self.members is not None:
            each = self.members(x)
            beyond = (self.least - each).clamp_min(0) + (each - self.most).clamp_min(0)
            views.append((self.members.share(x) * beyond.square().mean(-1)).sum(-1))
        return torch.exp(-0.5 * torch.stack(views).mean(0) / REACH**2) if views else torch.ones_like(x.sum(-1))

    def prior(self, x: Tensor, trust: Tensor) -> Tensor:
        """The covariance of what is left to the prior (b x q x d and b x q to b x q x q)."""
        # The root of exactly 0, inside the box, would have no slope.
        left = (1 - trust.square()).clamp_min(0).add(1e-24).sqrt()
        if x.shape[-2] == 1:
            return left.square().unsqueeze(-1)
        placed = [self(x)[..., view] for view in self.views.values()]
        if self.members is not None:
            each, share = self.members(x), self.members.share(x).unsqueeze(-1)
            mean = (share * each).sum(-2)
            spread = (share * (each - mean.unsqueeze(-2)).square()).sum(-2).add(1e-6).sqrt()
            placed.append(torch.cat([mean, spread], dim=-1))
        near = torch.cat([part / math.sqrt(len(placed) * max(part.shape[-1], 1)) for part in placed], dim=-1)
        distance: Tensor = torch.cdist(near, near, compute_mode="donot_use_mm_for_euclid_dist")
        return left.unsqueeze(-1) * left.unsqueeze(-2) * torch.exp(-distance)
