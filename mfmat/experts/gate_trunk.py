"""A gate over views of equal width, and the head on the sum that it makes of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase

import torch
from torch import Tensor

from mfmat.errors import FitError, UnknownNameError, nearest
from mfmat.experts.multi_head import MultiHead
from mfmat.learner import Facts
from mfmat.networks import Inputs, Trunk
from mfmat.scaling import Scaling

LAYERS = (".hidden", ".pooled")
"""How the views of source networks end, which are taken unless others are named."""
UNEVEN = 0.1
"""Standard deviation of the first logits."""
PACE = 10.0
"""Logits move so many times as fast as other weights: else training ends before a gate has made up its mind."""


class Layers(Scaling):
    """Columns centred, and one scale for each view: the units of a layer keep their proportions.

    A unit that hardly ever moves would be as loud as any other, were each on a scale of its own.

    Args:
        views: each view's columns.
        width: columns in all.
    """

    def measure(self, X: Tensor) -> None:
        """Learn centres and scales (n x d)."""
        super().measure(X)
        for view in self.views.values():
            self.scale[view] = self.scale[view].square().mean().sqrt()


class Gate(torch.nn.Module):
    r"""Weights $g = \mathrm{softmax}$ of the k largest of m free logits, 0 for the others; they sum to 1.

    With k = 1 the weight is 1 whatever the logit, so that no gradient could ever choose: logits are then not trained.

    Args:
        count: m.
        k: how many weights are above 0.
    """

    def __init__(self, count: int, k: int) -> None:
        super().__init__()
        self.free = torch.nn.Parameter(UNEVEN / PACE * torch.randn(count), requires_grad=k > 1)
        self.k = k

    @property
    def logits(self) -> Tensor:
        """The logits (m)."""
        return PACE * self.free

    def forward(self) -> Tensor:
        """The weights (m)."""
        largest, where = self.logits.topk(self.k)
        return torch.zeros_like(self.free).scatter(0, where, largest.softmax(0))

    def choose(self, i: int) -> None:
        """Put the i-th in front of all others."""
        with torch.no_grad():
            self.free.zero_()[i] = 1.0


class GateTrunk(torch.nn.Module):
    r"""$h = (s, \rho(s))$ with $s = \sum_v g_v z_v$ and one weight $g_v$ for each view v, the same for every row.

    Args:
        views: m slices of w columns each.
        k: how many of the weights are above 0.
        hidden: units of each layer of rho; none: h is s.
        dropout: share of units left out in training.
    """

    columns: Tensor

    def __init__(self, views: Sequence[slice], k: int, hidden: Sequence[int], dropout: float) -> None:
        super().__init__()
        self.gate = Gate(len(views), k)
        size = views[0].stop - views[0].start
        self.rho = Trunk(size, hidden, dropout)
        self.parts = [size, *([self.rho.width] if hidden else [])]
        self.width = sum(self.parts)
        columns = torch.stack([torch.arange(view.start, view.stop) for view in views])
        self.register_buffer("columns", columns, persistent=False)

    def forward(self, z: Tensor) -> Tensor:
        """Features (b x q x width) of rows on one scale (b x q x d)."""
        total = (self.gate().unsqueeze(-1) * z[..., self.columns]).sum(-2)
        return torch.cat([total, self.rho(total)], dim=-1) if len(self.parts) > 1 else total


class GateHead(MultiHead):
    """Heads for the value and its noise on a gated trunk.

    Args:
        facts: views, width and sources.
        views: those to weigh, by name.
        k: how many of them have a weight above 0.
        hidden: units of each layer.
        dropout: share of units left out in training.
        uneven: a second head for the noise.
    """

    trunk: GateTrunk  # type: ignore[assignment]

    def __init__(
        self, facts: Facts, views: Mapping[str, slice], *, k: int, hidden: Sequence[int], dropout: float, uneven: bool
    ) -> None:
        super().__init__(facts, hidden, dropout, own=False, uneven=uneven)
        # Views that are not weighed are no input: they change nothing, not even what is taken for familiar.
        layers = all(name.endswith(LAYERS) for name in views)
        self.inputs = (Layers if layers else Inputs if hidden else Scaling)(views, facts["width"])
        self.trunk = GateTrunk(list(views.values()), k, hidden, dropout)
        self.head = torch.nn.Parameter(torch.zeros(sum(self.blocks)))
        self.spread = torch.nn.Parameter(torch.zeros(self.trunk.width + 1)) if uneven else None
        self.double()

    @property
    def blocks(self) -> list[int]:
        """A constant, the sum, and what rho makes of it."""
        # Asked for once before the gate has taken the place of a plain trunk.
        return [1, *self.trunk.parts] if isinstance(self.trunk, GateTrunk) else super().blocks


def find_gated(views: Mapping[str, slice], wanted: Sequence[str]) -> dict[str, slice]:
    """The views to weigh: those of these names or patterns; without any, the layers of source networks, or all.

    Raises:
        UnknownNameError: a name or pattern that fits no view.
        FitError: views that differ in their number of columns.

    >>> list(find_gated({"a.hidden": slice(0, 2), "b.hidden": slice(2, 4), "predictions": slice(4, 7)}, ()))
    ['a.hidden', 'b.hidden']
    """
    for pattern in wanted:
        if not any(_fits(name, pattern) for name in views):
            raise UnknownNameError(
                f"views={pattern!r}",
                expected=f"names or patterns of {', '.join(map(repr, views))}",
                fix=nearest(pattern, views) + 'GatedTransfer(views="*.hidden")',
            )
    layers = [name for name in views if name.endswith(LAYERS)] or list(views)
    names = [name for name in views if any(_fits(name, pattern) for pattern in wanted)] if wanted else layers
    widths = {name: views[name].stop - views[name].start for name in names}
    usual = Counter(widths.values()).most_common(1)[0][0]
    if odd := [f"{name!r} ({width})" for name, width in widths.items() if width != usual]:
        raise FitError(
            f"{', '.join(odd)} beside views of {usual} columns",
            expected="views with equal numbers of columns, which a gate can add up",
            fix="the names of those to weigh, or a pattern of them: GatedTransfer(views='*.hidden')",
        )
    return {name: views[name] for name in names}


def _fits(name: str, pattern: str) -> bool:
    # A name may hold brackets, which mean something else in a pattern.
    return name == pattern or fnmatchcase(name, pattern)
