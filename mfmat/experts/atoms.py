"""Networks on a set of atoms: what comes in, and the trunk."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from mfmat.errors import UnknownNameError, nearest
from mfmat.experts.pooling import Pooling, build_pool
from mfmat.features.elements import load_elements
from mfmat.learner import Facts, views_of
from mfmat.networks import Inputs, Trunk, squash

EMBEDDING = 64
"""Learned numbers for each member of the set."""


class AtomInputs(Inputs):
    """Columns as normal scores; those of the set, besides, as they are, in units of the largest, for the weights.

    Args:
        views: each view's columns.
        width: columns in all.
        view: whose columns are the members of the set.
    """

    limit: Tensor

    def __init__(self, views: Mapping[str, slice], width: int, view: str) -> None:
        super().__init__(views, width)
        self.members = views[view]
        self.register_buffer("limit", torch.ones(1).double())

    def measure(self, X: Tensor) -> None:
        """Learn the scores and the largest weight (n x d)."""
        super().measure(X)
        block = X[:, self.members]
        if block.numel() and bool((block != 0).any()):
            self.limit.fill_(float(block.abs().max()))

    def forward(self, x: Tensor) -> Tensor:
        """Scores, then weights (b x q x d to b x q x (d + members))."""
        return torch.cat([super().forward(x), squash(x[..., self.members] / self.limit)], dim=-1)


class AtomTrunk(torch.nn.Module):
    r"""$h = \rho(\mathrm{pool}_i(w_i, \phi_i),\ z)$ with $\phi_i = \phi(e_i)$.

    The members i of the set have learned embeddings $e_i$, beside them properties where a table is given; $\phi$ is
    computed once for each member, whatever the number of rows. z are the columns themselves.

    Args:
        width: columns of z.
        hidden: units of each layer of rho; phi has two of the first width.
        dropout: share of units left out in training.
        table: members x properties, standardised, perhaps none.
        pooling: of members.
    """

    table: Tensor

    def __init__(
        self, width: int, hidden: Sequence[int], dropout: float, table: Tensor, pooling: Pooling = "mean"
    ) -> None:
        super().__init__()
        self.embedding = torch.nn.Parameter(0.5 * torch.randn(len(table), EMBEDDING))
        self.register_buffer("table", table)
        self.phi = Trunk(EMBEDDING + table.shape[1], [hidden[0]] * 2)
        self.pool = build_pool(pooling, hidden[0])
        self.rho = Trunk(width + 2 * hidden[0], hidden, dropout)
        self.width, self.columns = hidden[-1], width

    def forward(self, z: Tensor) -> Tensor:
        """Features (b x q x hidden[-1]) of what `AtomInputs` gives."""
        z, share = z[..., : self.columns], z[..., self.columns :]
        each = self.phi(torch.cat([self.embedding, self.table.to(self.embedding)], dim=-1))
        features: Tensor = self.rho(torch.cat([self.pool(share, each), z], dim=-1))
        return features


def find_view(views: Mapping[str, slice], view: str | Sequence[str] | None) -> str:
    """The view whose columns are fractions of the elements.

    Raises:
        UnknownNameError: no such view, or several.
    """
    named = [name for name in views if name.endswith("fractions")]
    if view in views:
        return str(view)
    if view is None and len(named) == 1:
        return named[0]
    if view is None and len(views) == 1:
        return next(iter(views))
    raise UnknownNameError(
        f"view={view!r}",
        expected=f"one of {', '.join(map(repr, views))}",
        fix=nearest(str(view or ""), views) + f"view={(named or list(views) or ['formula.fractions'])[0]!r}",
    )


def build_inputs(facts: Facts, network: str, view: str | Sequence[str] | None) -> Inputs:
    """What comes into a `"dense"` network or one on a `"set"`."""
    views = views_of(facts)
    if network == "dense":
        return Inputs(views, facts["width"])
    return AtomInputs(views, facts["width"], find_view(views, view))


def build_trunk(inputs: Inputs, hidden: Sequence[int], dropout: float, pooling: Pooling = "mean") -> Trunk | AtomTrunk:
    """The trunk that these inputs are made for."""
    if not isinstance(inputs, AtomInputs):
        return Trunk(len(inputs.scale), hidden, dropout)
    count = inputs.members.stop - inputs.members.start
    return AtomTrunk(len(inputs.scale), hidden, dropout, _properties(count), pooling)


def _properties(count: int) -> Tensor:
    """The element table where there is one column for each element, else nothing."""
    matrix = torch.from_numpy(load_elements().matrix.copy())
    if count != len(matrix):
        return torch.zeros(count, 0)
    table: Tensor = (matrix - matrix.mean(0)) / matrix.std(0)
    return table.float()
