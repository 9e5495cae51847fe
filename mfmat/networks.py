"""What networks over views are made of: inputs on one scale, and a trunk."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise

import torch
from torch import Tensor
from torch.nn import functional

from mfmat.scaling import Scaling

KNOTS = 32
"""Values of a column at most, between which its scores are interpolated."""
ROWS_A_KNOT = 8
"""Few rows get few knots: with two, a column is only shifted and scaled."""
REACH = 4.0
"""Scores beyond which inputs are hardly told apart: far from the data a network says one thing."""

FAR = 1e12
"""Scores beyond which all are one."""


def squash(z: Tensor) -> Tensor:
    r"""$z / \sqrt{1 + (z / 4)^2}$: as z near 0, and never beyond 4.

    >>> squash(torch.tensor([0.0, 1e30]))
    tensor([0., 4.])
    """
    # Squares of what is farther are infinite, and nothing is told apart there.
    z = z.clamp(-FAR, FAR)
    return z / (1 + (z / REACH).square()).sqrt()


class Inputs(Scaling):
    r"""Columns as normal scores, $z = \Phi^{-1}(r / n)$ with r the (mean) rank of x among the n training rows.

    Interpolated between at most 32 values a column; beyond the rows z goes on with the slope 1 / (standard
    deviation), then $z / \sqrt{1 + (z / 4)^2}$ keeps it from running away. Ranks make a network indifferent to
    how a column is bent, as trees are: on 16,000 band gaps that took a fifth of the squared error away
    (columns of element properties have long tails, element fractions are mostly 0).

    Args:
        views: each view's columns.
        width: columns in all.
    """

    knots: Tensor
    scores: Tensor

    def __init__(self, views: Mapping[str, slice], width: int) -> None:
        super().__init__(views, width)
        self.register_buffer("knots", torch.zeros(width, KNOTS).double())
        self.register_buffer("scores", torch.zeros(width, KNOTS).double())

    def measure(self, X: Tensor) -> None:
        """Learn each column's scores (n x d)."""
        super().measure(X)
        count = min(max(len(X) // ROWS_A_KNOT, 2), KNOTS)
        for j, column in enumerate(X.T if len(X) else ()):
            # Values that differ by rounding alone are one, or the way between them would be a cliff.
            unit = float(column.abs().max()) or 1.0
            values, repeats = torch.unique((column / unit).round(decimals=6), return_counts=True)
            rank = (repeats.cumsum(0) - 0.5 * repeats) / len(X)
            # Half of them where rows are many, half wherever there are values: most fractions are 0.
            even = torch.linspace(0, 1, (count + 1) // 2).to(rank)
            among = (even * (len(values) - 1)).round().long()
            rest = count - len(even)
            dense = torch.searchsorted(rank, (torch.arange(rest).to(rank) + 0.5) / rest)
            chosen = torch.cat([among, dense]).clamp_max(len(values) - 1)
            chosen = functional.pad(chosen, (0, KNOTS - count), value=len(values) - 1).sort().values
            self.knots[j], self.scores[j] = unit * values[chosen], torch.special.ndtri(rank[chosen])

    def forward(self, x: Tensor) -> Tensor:
        """Rows (b x q x d), in the same shape."""
        columns = x.reshape(-1, x.shape[-1]).T.contiguous()
        width = self.knots.diff(dim=1)
        slopes = torch.where(width > 0, self.scores.diff(dim=1) / width, 0.0)
        left = torch.searchsorted(self.knots[:, 1:-1].contiguous(), columns.detach(), right=True)
        inside = columns.clamp(self.knots[:, :1], self.knots[:, -1:])
        z = self.scores.gather(1, left) + slopes.gather(1, left) * (inside - self.knots.gather(1, left))
        z = z + (columns - inside) / self.scale[:, None]
        return squash(z).T.reshape(x.shape).masked_fill(self.outside, 0.0)


class Trunk(torch.nn.Module):
    """Layers with a shortcut around each but the first; the last gives the features.

    Args:
        width: columns that come in.
        hidden: units of each layer.
        dropout: share of units left out in training.
    """

    def __init__(self, width: int, hidden: Sequence[int], dropout: float = 0.0) -> None:
        super().__init__()
        sizes = [width, *hidden]
        self.layers = torch.nn.ModuleList(torch.nn.Linear(a, b) for a, b in pairwise(sizes))
        self.norms = torch.nn.ModuleList(torch.nn.LayerNorm(b) for b in hidden)
        self.dropout = dropout
        self.width = sizes[-1]

    def forward(self, z: Tensor, kept: Sequence[Tensor] | None = None) -> Tensor:
        """Features of rows on one scale (b x q x width to b x q x hidden[-1]).

        Args:
            z: the rows.
            kept: factors on the units of each layer, in place of those that dropout draws.
        """
        for i, (layer, norm) in enumerate(zip(self.layers, self.norms, strict=True)):
            units = functional.silu(norm(layer(z)))
            step = units * kept[i] if kept else functional.dropout(units, self.dropout, self.training)
            z = z + step if z.shape == step.shape else step
        return z
