"""How one source leads to the next: a slope, and how far a measured cheap value is trusted."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

PRIOR_SLOPE = 1.0
"""Before any target row is seen the next source is believed to follow the cheap one, spread for spread..."""
PRIOR_SPREAD = 1.0
"""...give or take this much."""

PRIOR_TURN = 0.5
"""A slope that differs from place to place is believed to do so by this much, spread for spread, along a component."""

MOST_TRUST = 1 - 1e-6
"""A repeated measurement keeps this little of its noise, so that its variance is not exactly 0."""


@dataclass(frozen=True)
class Link:
    r"""The regression of a source's values on those of the source below.

    $y = \rho\,z + b^T \phi(x) (z - \bar z) + \delta(x)$ with $z = p + t\,(c - p)$ where a material's cheap value c is
    measured and z = p, the prediction, where it is not.

    Attributes:
        slope: $\rho$.
        trust: t in [0, 1], the part of c - p (what no feature tells) that carries over; the rest is
            measurement noise of the cheap source.
        variance: of the slope.
        means: of p and of c - p where the slope was learned; there it adds no variance.
        turns: b, the change of the slope along each component of $\phi$; empty where it is the same everywhere.
        doubt: rows of a factor of the covariance of $\rho$, $\rho t$ and b; empty where all are known.
    """

    slope: float
    trust: float
    variance: float
    means: tuple[float, float] = (0.0, 0.0)
    turns: tuple[float, ...] = ()
    doubt: tuple[tuple[float, ...], ...] = ()

    @classmethod
    def of(cls, facts: Mapping[str, Any]) -> Link:
        """The link that had these fields, of which JSON makes lists."""
        if "centre" in facts:
            return cls.of(_told_of_one_doubt(facts))
        lists = {"means": tuple(facts["means"]), "turns": tuple(facts["turns"])}
        return cls(**{**facts, **lists, "doubt": tuple(map(tuple, facts["doubt"]))})

    @property
    def centre(self) -> float:
        r"""$\bar z$, the mean of z where the slope was learned."""
        return self.means[0] + self.trust * self.means[1]

    def slopes(self, basis: Tensor | None) -> Tensor | float:
        """The slope at rows of this basis (... x (1 + J), a one first; None without turns)."""
        if basis is None:
            return self.slope
        return basis @ basis.new_tensor([self.slope, *self.turns])

    def follow(self, z: Tensor, basis: Tensor | None) -> Tensor:
        """What of the source is that of the source below, whose values are z."""
        return self.slope * z + (self.slopes(basis) - self.slope) * (z - self.centre)

    def errors(self, predicted: Tensor, surprise: Tensor, basis: Tensor | None) -> list[Tensor]:
        """One standard deviation of `follow` along each independent error, by p and c - p (0 where not measured)."""
        if not self.doubt:
            return []
        columns = [predicted - self.means[0], surprise - self.means[1]]
        if basis is not None:
            z = columns[0] + self.trust * columns[1]
            columns += [z * component for component in basis[..., 1:].movedim(-1, 0)]
        return list((torch.stack(columns, dim=-1) @ predicted.new_tensor(self.doubt)).movedim(-1, 0))


def _told_of_one_doubt(facts: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of a link as they were when what p says and what c - p says were doubted as one."""
    known = dict(facts)
    slope, *turns = known["doubt"] or [[known["variance"] ** 0.5]]
    carried = [known["trust"] * each for each in slope]
    return known | {"means": (known.pop("centre"), 0.0), "doubt": [slope, carried, *turns]}


@torch.no_grad()
def regress(H: Tensor, inverse: Tensor, scales: tuple[float, float], predicted: Tensor, surprise: Tensor) -> Link:
    r"""The posterior mean of the link, by generalised least squares.

    With H the columns of `design` and $K$ the covariance of the residuals,
    $\beta = (H^T K^{-1} H + P)^{-1} (H^T K^{-1} y + P \beta_0)$; $\rho = \beta_1$, $t = \beta_2 / \rho$ and
    $b = \beta_{3:}$; where that t is not in [0, 1], the most probable $\beta$ with t = 0 or t = 1. The prior is
    $\rho, \rho t \sim N(1, 1)$ and $b \sim N(0, 0.5^2)$ in units of both sources' spreads (Le Gratiet & Garnier 2014,
    doi:10.1615/Int.J.UncertaintyQuantification.2014006914, section 3).

    Args:
        H: n x (3 + J).
        inverse: $K^{-1}[H, y]$ (n x (4 + J)), y the values of the source.
        scales: spread of the source below and of this one.
        predicted: n predictions p of the source below.
        surprise: n differences c - p; 0 where c is not measured.
    """
    ratio, turns = scales[1] / scales[0], H.shape[1] - 3
    # A flat prior on the intercept up to what a factorisation can bear.
    slopes = [(PRIOR_SPREAD * ratio) ** -2] * 2 + [(PRIOR_TURN * ratio) ** -2] * turns
    precision = torch.tensor([1e-12 / scales[1] ** 2, *slopes]).to(H)
    believed = torch.tensor([0.0, PRIOR_SLOPE * ratio, PRIOR_SLOPE * ratio, *[0.0] * turns]).to(H)
    P, towards = H.mT @ inverse[:, :-1] + torch.diag(precision), H.mT @ inverse[:, -1] + precision * believed
    trust, beta, doubt = _find(P, towards, bool((surprise != 0).any()))
    means = (float(predicted.mean()), float(surprise.mean())) if len(predicted) else (0.0, 0.0)
    variance, rows = float(doubt[0].square().sum()), tuple(map(tuple, doubt.tolist()))
    return Link(float(beta[1]), trust, variance, means, tuple(beta[3:].tolist()), rows)


def _find(P: Tensor, towards: Tensor, told: bool) -> tuple[float, Tensor, Tensor]:
    """The trust, and what `_solve` says of it; 0 where no cheap value was measured beside one of this source."""
    beta, doubt = _solve(P, towards)
    slope, carried = float(beta[1]), float(beta[2])
    if told and slope and 0 <= carried / slope <= MOST_TRUST:
        return carried / slope, beta, doubt
    # Where none was, what it would carry over is part of the noise.
    ends = {end: _solve(P, towards, end) for end in ((0.0, MOST_TRUST) if told else (0.0,))}
    trust = max(ends, key=lambda end: float(towards @ ends[end][0]))
    return trust, *ends[trust]


def _solve(P: Tensor, towards: Tensor, trust: float | None = None) -> tuple[Tensor, Tensor]:
    """Coefficients that keep to a trust (None: any), by their precision and its product with their mean.

    And a factor of the covariance of all but the first.
    """
    ways = torch.eye(len(P)).to(P)
    if trust is not None:
        ways[2, 1] = trust
        ways = ways[:, [i for i in range(len(P)) if i != 2]]
    covariance = torch.linalg.inv(ways.mT @ P @ ways)
    factor = ways[1:, 1:] @ torch.linalg.cholesky(covariance[1:, 1:])
    return ways @ covariance @ ways.mT @ towards, factor


def design(predicted: Tensor, surprise: Tensor, trust: float = 0.0, basis: Tensor | None = None) -> Tensor:
    """The regression's columns: 1, p about its mean, c - p, and z about its mean times each component (n x (3 + J))."""
    columns = [torch.ones_like(predicted), _centred(predicted), surprise]
    if basis is not None:
        z = _centred(predicted + trust * surprise)
        columns += [z * component for component in basis[:, 1:].T]
    return torch.stack(columns, dim=1)


def _centred(values: Tensor) -> Tensor:
    return values - values.sum() / max(len(values), 1)
