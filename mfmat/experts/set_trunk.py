"""Networks on small sets whose members have numbers of their own: what comes in, and the trunk."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from mfmat.errors import FitError, UnknownNameError, nearest
from mfmat.experts.pooling import Pooling, build_pool
from mfmat.networks import Inputs, Trunk, squash
from mfmat.small_sets import PRESENT, Members, SetColumns


class SetInputs(torch.nn.Module):
    """The columns of all other views as normal scores, then weights, then members on one scale.

    Args:
        views: each view's columns.
        sets: those that are looked at, by the name of their view, whose own columns are left out.
    """

    columns: Tensor

    def __init__(self, views: Mapping[str, slice], sets: Mapping[str, SetColumns]) -> None:
        super().__init__()
        self.sets = tuple(sets.values())
        self.views = {name: view for name, view in views.items() if name not in sets}
        columns = [torch.arange(view.start, view.stop) for view in self.views.values()]
        none = torch.zeros(0, dtype=torch.long)
        self.register_buffer("columns", torch.cat([none, *columns]), persistent=False)
        starts = torch.tensor([0, *map(len, columns)]).cumsum(0).tolist()
        beside = {name: slice(a, b) for name, a, b in zip(self.views, starts[:-1], starts[1:], strict=True)}
        self.scores = Inputs(beside, len(self.columns))
        self.members = Members(self.sets)

    def measure(self, X: Tensor) -> None:
        """Learn the scores and the members' scale (n x d)."""
        if len(self.columns):
            self.scores.measure(X[:, self.columns])
        self.members.measure(X)

    def forward(self, x: Tensor) -> Tensor:
        """Scores, weights and members (b x q x d to b x q x (columns + m + m w))."""
        z = squash(self.members(x))
        beside = [self.scores(x[..., self.columns])] if len(self.columns) else []
        return torch.cat([*beside, self.members.share(x), z.flatten(-2)], dim=-1)


class SetTrunk(torch.nn.Module):
    r"""$h = \rho(\mathrm{pool}_i(w_i, \phi(x_i)),\ z)$ over the members i of a row's own set; z are the other columns.

    Args:
        inputs: what comes in.
        hidden: units of each layer of rho; phi has two of the first width.
        dropout: share of units left out in training.
        pooling: of members.
    """

    def __init__(self, inputs: SetInputs, hidden: Sequence[int], dropout: float, pooling: Pooling) -> None:
        super().__init__()
        self.count = inputs.members.count
        self.columns = len(inputs.columns)
        self.phi = Trunk(inputs.members.width, [hidden[0]] * 2)
        self.pool = build_pool(pooling, hidden[0])
        self.rho = Trunk(self.columns + 2 * hidden[0], hidden, dropout)
        self.width = hidden[-1]

    def forward(self, z: Tensor) -> Tensor:
        """Features (b x q x hidden[-1]) of what `SetInputs` gives."""
        z, weights, members = z.tensor_split([self.columns, self.columns + self.count], dim=-1)
        present = weights > PRESENT
        known = self.phi(members.unflatten(-1, (self.count, -1))[present])
        # Most sets are far from full: padding is not worth a pass through phi.
        each = known.new_zeros(*weights.shape, known.shape[-1]).index_put((present,), known)
        features: Tensor = self.rho(torch.cat([self.pool(weights, each), z], dim=-1))
        return features


def find_sets(
    views: Mapping[str, slice], sets: Mapping[str, SetColumns], view: str | Sequence[str] | None
) -> dict[str, SetColumns]:
    """The sets to look at, by their views: those of these names, all unless named; none where it is no set.

    Raises:
        UnknownNameError: several names, of which one is that of no set.
        FitError: sets that do not have the same members.

    >>> V0, V1 = (SetColumns(slice(0, 2), slice(start, start + 6)) for start in (2, 8))
    >>> list(find_sets({"V0": slice(14, 17), "V1": slice(17, 20)}, {"V0": V0, "V1": V1}, "V1"))
    ['V1']
    """
    known = {name: found for name, found in sets.items() if name in views}
    names = list(known) if view is None else [view] if isinstance(view, str) else list(view)
    unknown = [name for name in names if name not in known]
    if unknown and isinstance(view, str):
        return {}
    if unknown:
        raise UnknownNameError(
            f"view {unknown[0]!r} as a set",
            expected=f"one of {', '.join(map(repr, known)) or 'none: no view is a set'}",
            fix=nearest(unknown[0], known) + 'Structure(..., moments=("mean", "std", "set"))',
        )
    chosen = {name: known[name] for name in names}
    if len({found.weights.start for found in chosen.values()}) > 1:
        raise FitError(
            f"sets of different members ({', '.join(map(repr, chosen))})",
            expected="levels of one featurizer, whose members are the same elements",
            fix=f"AtomSet(view={names[0]!r})",
        )
    return chosen
