"""A kernel over views: one lengthscale and one weight each, and a joint term."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from gpytorch.kernels import Kernel
from torch import Tensor

Family = Literal["matern12", "matern32", "matern52", "rbf"]
Placed = tuple[Tensor, Tensor]


@dataclass(frozen=True)
class Radial:
    r"""A family of radial functions $p(r)\,e^{-r}$ of the squared distance u, with $r = \sqrt{v}$ (or v), $v = c u$.

    Attributes:
        stretch: c.
        reach: r from v.
        factor: p from r, in place where it can; None for 1.
        slope: of the function along v, from r and $e^{-r}$.
    """

    stretch: float
    reach: Callable[[Tensor], Tensor]
    factor: Callable[[Tensor], Tensor] | None
    slope: Callable[[Tensor, Tensor], Tensor]


FAMILIES = {
    "matern12": Radial(1.0, torch.sqrt, None, lambda r, decay: -0.5 * decay / r),
    "matern32": Radial(3.0, torch.sqrt, lambda r: r + 1, lambda r, decay: -0.5 * decay),
    "matern52": Radial(
        5.0, torch.sqrt, lambda r: (r / 3).add_(1).mul_(r).add_(1), lambda r, decay: (1 + r).mul_(decay).div_(-6)
    ),
    "rbf": Radial(0.5, torch.clone, None, lambda r, decay: -decay),
}


class _Evaluate(torch.autograd.Function):
    """A radial function whose slope is known in closed form."""

    @staticmethod
    def forward(ctx: Any, stretched: Tensor, radial: Radial) -> Tensor:
        r = radial.reach(stretched)
        decay = torch.neg(r).exp_()
        if ctx.needs_input_grad[0]:
            ctx.save_for_backward(radial.slope(r, decay))
        return decay if radial.factor is None else radial.factor(r).mul_(decay)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        (slope,) = ctx.saved_tensors
        return gradients[0] * slope, None


def _evaluate(stretched: Tensor, radial: Radial) -> Tensor:
    value: Tensor = _Evaluate.apply(stretched, radial)  # type: ignore[no-untyped-call]
    return value


class ViewKernel(Kernel):  # type: ignore[misc]
    r"""Sum over views plus a joint term, each of one family of radial functions.

    $k(x, x') = \sum_v w_v\,\kappa(D_v^2 / \ell_v^2) + w_J\,\kappa(\sum_v D_v^2 / \lambda_v^2)$, where $D_v$ is
    the distance between the view's standardised columns, divided by the root of their number, so that
    lengthscales near 1 suit views of any width. With one view there is no joint term.

    Priors (in standardised units), each with its effect: $\ln\ell, \ln\lambda \sim N(0.3, 0.8^2)$ keeps
    functions that vary neither within a typical distance nor not at all; $\ln w \sim N(\ln 0.5/k, 1^2)$
    over k terms shrinks a view that explains nothing without forbidding it.

    Args:
        views: each view's columns.
        width: columns in all.
        family: of the radial functions.
        ard: a relevance for every column as well, $\ln r \sim N(0, 0.5^2)$; distances are then recomputed at
            every step of training.

    Wilson & Adams 2013 for sums of stationary kernels; MacKay 1996 for ARD.
    """

    has_lengthscale = False

    def __init__(self, views: Mapping[str, slice], width: int, family: Family = "matern52", ard: bool = False) -> None:
        super().__init__()
        self.views, self.radial = dict(views), FAMILIES[family]
        count = len(self.views)
        self.terms = count + (count > 1)
        self.log_weight = torch.nn.Parameter(torch.full((self.terms,), math.log(1.0 / self.terms)).double())
        self.log_length = torch.nn.Parameter(torch.full((count,), 0.3).double())
        self.log_joint = torch.nn.Parameter(torch.full((count if count > 1 else 0,), 0.3).double())
        self.log_relevance = torch.nn.Parameter(torch.zeros(width if ard else 0).double())
        self.register_buffer("centre", torch.zeros(width).double())
        self.register_buffer("scale", torch.ones(width).double())

    def measure(self, X: Tensor) -> None:
        """Learn the columns' centres and scales (n x d): means and standard deviations.

        A constant column gets its view's median scale, so that it takes part as soon as a new row differs
        in it (an element not seen before).
        """
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

    def place(self, x: Tensor) -> list[Placed]:
        """Rows (b x q x d) as they lie in each view, with their squared norms, to be compared many times."""
        relevance = self.log_relevance.exp() if len(self.log_relevance) else 1.0
        scaled = (x - self.centre) / self.scale * relevance
        parts = [scaled[..., view] / max(view.stop - view.start, 1) ** 0.5 for view in self.views.values()]
        return [(part, part.square().sum(-1)) for part in parts]

    def squares(self, here: Sequence[Placed], there: Sequence[Placed]) -> list[Tensor]:
        """Squared distance in each view, of placed rows (b x q and b x p, to b x q x p for each view)."""
        return [_square(a, b) for a, b in zip(here, there, strict=True)]

    def covariance(self, squares: Sequence[Tensor]) -> Tensor:
        """The kernel from each view's squared distances (b x q x p)."""
        weights, radial = self.log_weight.exp(), self.radial
        rates = radial.stretch * (-2 * self.log_length).exp()
        total = weights[0] * _evaluate(squares[0] * rates[0], radial)
        for square, weight, rate in zip(squares[1:], weights[1:], rates[1:], strict=False):
            total = torch.addcmul(total, weight, _evaluate(square * rate, radial))
        if len(squares) == 1:
            return total
        shares = radial.stretch * (-2 * self.log_joint).exp()
        together = squares[0] * shares[0]
        for square, share in zip(squares[1:], shares[1:], strict=True):
            together = torch.addcmul(together, share, square)
        return torch.addcmul(total, weights[-1], _evaluate(together, radial))

    @property
    def smooth(self) -> bool:
        """Whether rounding a squared distance moves the kernel no more than itself: not with a kink at 0."""
        return self.radial is not FAMILIES["matern12"]

    @property
    def variance(self) -> Tensor:
        """The prior variance: the sum of the weights."""
        return self.log_weight.exp().sum()

    def forward(self, x1: Tensor, x2: Tensor, diag: bool = False, **params: Any) -> Tensor:
        """GPyTorch's contract; the diagonal is the prior variance."""
        if diag:
            return self.variance.expand(x1.shape[:-1])
        return self.covariance(self.squares(self.place(x1), self.place(x2)))

    def log_prior(self) -> Tensor:
        """The logarithm of the prior density of the parameters, up to a constant."""
        length = torch.cat([self.log_length, self.log_joint])
        weight = self.log_weight - math.log(0.5 / self.terms)
        scores = ((length - 0.3) / 0.8).square().sum() + weight.square().sum()
        return -0.5 * (scores + (self.log_relevance / 0.5).square().sum())


def _square(a: Placed, b: Placed) -> Tensor:
    ends = a[1].unsqueeze(-1) + b[1].unsqueeze(-2)
    # The floor keeps the square root differentiable where two rows are equal.
    return torch.sub(ends, a[0] @ b[0].mT, alpha=2).clamp_min(1e-20)
