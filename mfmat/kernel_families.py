"""Families of kernels of one view: what two rows are compared by, and how like they are by that."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

Placed = tuple[Tensor, Tensor]
"""Rows as they lie in one view (b x q x d), and their squared norms (b x q)."""


def distance(a: Placed, b: Placed) -> Tensor:
    """Squared distances (b x q x p)."""
    ends = a[1].unsqueeze(-1) + b[1].unsqueeze(-2)
    # The floor keeps the square root differentiable where two rows are equal.
    return torch.sub(ends, a[0] @ b[0].mT, alpha=2).clamp_min(1e-20)


def product(a: Placed, b: Placed) -> Tensor:
    """Inner products with a constant column, halved: 1 on average between an average row and itself."""
    return (0.5 * (a[0] @ b[0].mT)).add_(0.5)


def overlap(a: Placed, b: Placed) -> Tensor:
    r"""$x \cdot x' / (|x|^2 + |x'|^2 - x \cdot x')$: what two rows share of all that they have together."""
    inner = a[0] @ b[0].mT
    union = a[1].unsqueeze(-1) + b[1].unsqueeze(-2) - inner
    # Two rows without anything are alike.
    return torch.where(union > 0, inner / torch.where(union > 0, union, 1.0), 1.0)


@dataclass(frozen=True)
class Family:
    """A family of positive definite functions, with value 1 between an average row and itself.

    Attributes:
        compare: two sets of placed rows, to a statistic of each pair.
        value: of the kernel from the statistic, times `stretch` over the squared lengthscale where there is one,
            and the shape.
        stretch: of squared distances; None for a family without a lengthscale.
        shaped: it has a shape parameter.
        standardised: it compares standardised columns, not the columns as they are.
        smooth: rounding the statistic moves the value no more than itself, as a kink at 0 would.
    """

    compare: Callable[[Placed, Placed], Tensor]
    value: Callable[[Tensor, Tensor | None], Tensor]
    stretch: float | None = None
    shaped: bool = False
    standardised: bool = True
    smooth: bool = True

    def diagonal(self, placed: Placed) -> Tensor:
        """The kernel of each placed row with itself (b x q)."""
        return 0.5 * (1 + placed[1]) if self.compare is product else torch.ones_like(placed[1])


@dataclass(frozen=True)
class _Radial:
    r"""A function $p(r)\,e^{-r}$ of the squared distance u, with $r = \sqrt{v}$ (or v), $v = c u$.

    Attributes:
        reach: r from v.
        factor: p from r, in place where it can; None for 1.
        slope: of the function along v, from r and $e^{-r}$.
    """

    reach: Callable[[Tensor], Tensor]
    factor: Callable[[Tensor], Tensor] | None
    slope: Callable[[Tensor, Tensor], Tensor]

    def __call__(self, stretched: Tensor, _: Tensor | None) -> Tensor:
        value: Tensor = _Evaluate.apply(stretched, self)  # type: ignore[no-untyped-call]
        return value


class _Evaluate(torch.autograd.Function):
    """A radial function whose slope is known in closed form."""

    @staticmethod
    def forward(ctx: Any, stretched: Tensor, radial: _Radial) -> Tensor:
        r = radial.reach(stretched)
        decay = torch.neg(r).exp_()
        if ctx.needs_input_grad[0]:
            ctx.save_for_backward(radial.slope(r, decay))
        return decay if radial.factor is None else radial.factor(r).mul_(decay)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        (slope,) = ctx.saved_tensors
        return gradients[0] * slope, None


def _rational(stretched: Tensor, shape: Tensor | None) -> Tensor:
    assert shape is not None
    return (-shape * torch.log1p(stretched / shape)).exp()


def _as_it_is(statistic: Tensor, _: Tensor | None) -> Tensor:
    return statistic


_MATERN12 = _Radial(torch.sqrt, None, lambda r, decay: -0.5 * decay / r)
_MATERN32 = _Radial(torch.sqrt, lambda r: r + 1, lambda r, decay: -0.5 * decay)
_MATERN52 = _Radial(
    torch.sqrt, lambda r: (r / 3).add_(1).mul_(r).add_(1), lambda r, decay: (1 + r).mul_(decay).div_(-6)
)
_RBF = _Radial(torch.clone, None, lambda r, decay: -decay)

FAMILIES: dict[str, Family] = {
    "matern12": Family(distance, _MATERN12, 1.0, smooth=False),
    "matern32": Family(distance, _MATERN32, 3.0),
    "matern52": Family(distance, _MATERN52, 5.0),
    "rbf": Family(distance, _RBF, 0.5),
    "rq": Family(distance, _rational, 0.5, shaped=True),
    "linear": Family(product, _as_it_is),
    "tanimoto": Family(overlap, _as_it_is, standardised=False),
}
