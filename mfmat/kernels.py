"""A kernel over views: a family, a lengthscale and a weight each, and a joint term."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from gpytorch.kernels import Kernel
from torch import Tensor

from mfmat.errors import UnknownNameError, nearest
from mfmat.kernel_families import FAMILIES, Family, Placed, product

USUAL = "matern52"
"""The family of views for which none is named."""
FEW = 3
"""Terms up to which the prior on weights is of one width: two views and what they do together."""
PLUS = " + "
"""Between the families of one view that are summed."""
Families = str | Mapping[str, str]
"""One family (or a sum) for every view, or each view's own by its name."""


def prefer(families: Families, facts: Mapping[str, Any]) -> Families:
    """The families of the views in a model's facts: what was named for a view, else what suits it, else the rest's.

    What suits a view may be a family beside the rest's.

    >>> prefer("rq", {"views": {"x": [0, 1], "bits": [1, 9]}, "kernels": {"x": " + linear", "bits": "tanimoto"}})
    {'x': 'rq + linear', 'bits': 'tanimoto'}
    """
    rest = families if isinstance(families, str) else USUAL
    # Models of before did not say what suits a view.
    suits = {view: family for view, family in facts.get("kernels", {}).items() if view in facts["views"]}
    own = {view: rest + family if family.startswith(PLUS) else family for view, family in suits.items()}
    return dict.fromkeys(facts["views"], families) | own if isinstance(families, str) else own | dict(families)


class ViewKernel(Kernel):  # type: ignore[misc]
    r"""Sum over views, each of its family, plus a joint term of those that have a lengthscale.

    $k(x, x') = \sum_v w_v\,\kappa_v(x, x') + w_J\,\kappa(\sum_v D_v^2 / \lambda_v^2)$, with
    $\kappa_v = \kappa(D_v^2 / \ell_v^2)$ where $D_v$ is the distance between the view's standardised columns, divided
    by the root of their number, so that lengthscales near 1 suit views of any width. `"linear"` is
    $(1 + z \cdot z')/2$ of the same columns, `"tanimoto"` $x \cdot x' / (|x|^2 + |x'|^2 - x \cdot x')$ of the
    columns as they are (counts, fingerprints, fractions); both have no lengthscale and no part in the joint term,
    which is of the family of the first view that has one. With one such view there is no joint term.

    Priors (in standardised units), each with its effect: $\ln\ell, \ln\lambda \sim N(0.3, 0.8^2)$ keeps
    functions that vary neither within a typical distance nor not at all; $\ln w \sim N(\ln 0.5/k, 1 + \ln\max(1, k/3))$
    over k terms shrinks a view that explains nothing without forbidding it, and that one of k explains all costs half
    as much as to say which; the shape of `"rq"`, a mixture of
    lengthscales that is narrow where it is large, has $\ln\alpha \sim N(0, 1^2)$.

    Args:
        views: each view's columns.
        width: columns in all.
        families: `"matern12"`, `"matern32"`, `"matern52"`, `"rbf"`, `"rq"`, `"linear"` or `"tanimoto"`, or the sum of
            several, each with a weight of its own (`"matern52 + linear"`), for every view or by the name of the view; a
            view that is not named is `"matern52"`.
        ard: a relevance for every column as well, $\ln r \sim N(0, 0.5^2)$; distances are then recomputed at
            every step of training.

    Raises:
        UnknownNameError: a family for a view that there is not.

    Wilson & Adams 2013 for sums of stationary kernels; MacKay 1996 for ARD; Ralaivola et al. 2005,
    doi:10.1016/j.neunet.2005.07.009, for the Tanimoto kernel.
    """

    has_lengthscale = False

    def __init__(self, views: Mapping[str, slice], width: int, families: Families = USUAL, ard: bool = False) -> None:
        super().__init__()
        self.views, self.families = _summed(views, families)
        self.radial = [i for i, family in enumerate(self.families) if family.stretch]
        """Positions of the views with a lengthscale."""
        joined = len(self.radial) if len(self.radial) > 1 else 0
        self.joint = self.families[self.radial[0]] if joined else None
        self.terms = len(self.families) + bool(joined)
        shaped = sum(family.shaped for family in self.families) + bool(self.joint and self.joint.shaped)
        self.log_weight = torch.nn.Parameter(torch.full((self.terms,), math.log(1.0 / self.terms)).double())
        self.log_length = torch.nn.Parameter(torch.full((len(self.radial),), 0.3).double())
        self.log_joint = torch.nn.Parameter(torch.full((joined,), 0.3).double())
        # Absent from the state of a kernel without shapes.
        self.log_shape = torch.nn.Parameter(torch.zeros(shaped).double()) if shaped else torch.zeros(0).double()
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
        scaled, plain = (x - self.centre) / self.scale * relevance, x * relevance
        parts = [
            scaled[..., view] / max(view.stop - view.start, 1) ** 0.5 if family.standardised else plain[..., view]
            for view, family in zip(self.views.values(), self.families, strict=True)
        ]
        return [(part, part.square().sum(-1)) for part in parts]

    def squares(self, here: Sequence[Placed], there: Sequence[Placed]) -> list[Tensor]:
        """What placed rows (b x q and b x p) are compared by in each view, b x q x p: most often squared distances."""
        return [family.compare(a, b) for family, a, b in zip(self.families, here, there, strict=True)]

    def covariance(self, squares: Sequence[Tensor]) -> Tensor:
        """The kernel from what rows are compared by in each view (b x q x p)."""
        weights, terms = self.log_weight.exp(), self._terms(squares)
        total = weights[0] * next(terms)
        for weight, term in zip(weights[1:], terms, strict=True):
            total = torch.addcmul(total, weight, term)
        return total

    def _terms(self, squares: Sequence[Tensor]) -> Iterator[Tensor]:
        """Each term without its weight: one a view, then the joint one."""
        rates, shapes = iter((-2 * self.log_length).exp()), iter(self.log_shape.exp())
        for family, square in zip(self.families, squares, strict=True):
            shape = next(shapes) if family.shaped else None
            yield family.value(square * (family.stretch * next(rates)) if family.stretch else square, shape)
        if self.joint and self.joint.stretch:
            shares = self.joint.stretch * (-2 * self.log_joint).exp()
            together = squares[self.radial[0]] * shares[0]
            for i, share in zip(self.radial[1:], shares[1:], strict=True):
                together = torch.addcmul(together, share, squares[i])
            yield self.joint.value(together, next(shapes) if self.joint.shaped else None)

    def diagonal(self, placed: Sequence[Placed]) -> Tensor:
        """The prior variance of placed rows (b x q)."""
        weights = self.log_weight.exp()
        total = weights[-1] if self.joint else 0.0 * weights[-1]
        for family, weight, rows in zip(self.families, weights, placed, strict=False):
            total = total + weight * family.diagonal(rows)
        return total

    @property
    def smooth(self) -> bool:
        """Whether rounding what rows are compared by moves the kernel no more than itself."""
        return all(family.smooth for family in self.families)

    @property
    def degenerate(self) -> bool:
        """Whether the covariance of many rows has a small rank: where every view is linear."""
        return all(family.compare is product for family in self.families)

    @property
    def variance(self) -> Tensor:
        """The prior variance of an average row: the sum of the weights."""
        return self.log_weight.exp().sum()

    def forward(self, x1: Tensor, x2: Tensor, diag: bool = False, **params: Any) -> Tensor:
        """GPyTorch's contract; the diagonal is the prior variance."""
        here = self.place(x1)
        return self.diagonal(here) if diag else self.covariance(self.squares(here, self.place(x2)))

    @property
    def priors(self) -> dict[str, tuple[float, float]]:
        """Centre and standard deviation of the Gaussian prior of each parameter's entries, by name."""
        weight = math.log(0.5 / self.terms), (1 + math.log(max(1.0, self.terms / FEW))) ** 0.5
        length, shape, relevance = (0.3, 0.8), (0.0, 1.0), (0.0, 0.5)
        return {
            "log_weight": weight,
            "log_length": length,
            "log_joint": length,
            "log_shape": shape,
            "log_relevance": relevance,
        }

    def log_prior(self) -> Tensor:
        """The logarithm of the prior density of the parameters, up to a constant."""
        scores = [((getattr(self, name) - m) / s).square().sum() for name, (m, s) in self.priors.items()]
        return -0.5 * torch.stack(scores).sum()


def _summed(views: Mapping[str, slice], families: Families) -> tuple[dict[str, slice], list[Family]]:
    """The columns and the family of each term; further families of a view stand behind all views."""
    named = dict.fromkeys(views, families) if isinstance(families, str) else families
    if unknown := [name for name in named if name not in views]:
        raise UnknownNameError(
            f"a kernel for a view {unknown[0]!r}",
            expected=f"one of the views {', '.join(map(repr, views))}",
            fix=nearest(unknown[0], views) + "name views that the inputs have",
        )
    # Twice the same would share one weight in two.
    parts = {name: list(dict.fromkeys(named.get(name, USUAL).split(PLUS))) for name in views}
    first = {name: (columns, parts[name][0]) for name, columns in views.items()}
    further = {
        f"{name}{PLUS}{family}": (columns, family) for name, columns in views.items() for family in parts[name][1:]
    }
    terms = first | further
    return {name: columns for name, (columns, _) in terms.items()}, [FAMILIES[family] for _, family in terms.values()]
