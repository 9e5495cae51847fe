"""How one source leads to the next: a slope, and how far a measured cheap value is trusted."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
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
        centre: $\bar z$, the mean of z where the slope was learned; there it adds no variance.
        turns: b, the change of the slope along each component of $\phi$; empty where it is the same everywhere.
        doubt: rows of the lower Cholesky factor of the covariance of slope and turns; empty where there are no turns.
    """

    slope: float
    trust: float
    variance: float
    centre: float
    turns: tuple[float, ...] = ()
    doubt: tuple[tuple[float, ...], ...] = ()

    @classmethod
    def of(cls, facts: Mapping[str, Any]) -> Link:
        """The link that had these fields, of which JSON makes lists."""
        return cls(**{**facts, "turns": tuple(facts["turns"]), "doubt": tuple(map(tuple, facts["doubt"]))})

    def slopes(self, basis: Tensor | None) -> Tensor | float:
        """The slope at rows of this basis (... x (1 + J), a one first; None without turns)."""
        if basis is None:
            return self.slope
        return basis @ basis.new_tensor([self.slope, *self.turns])

    def follow(self, z: Tensor, basis: Tensor | None) -> Tensor:
        """What of the source is that of the source below, whose values are z."""
        return self.slope * z + (self.slopes(basis) - self.slope) * (z - self.centre)

    def errors(self, z: Tensor, basis: Tensor | None) -> list[Tensor]:
        """One standard deviation of `follow` along each independent error of the slope."""
        departure = z - self.centre
        if basis is None:
            return [departure * self.variance**0.5]
        factor = basis.new_tensor(self.doubt)
        return list((departure.unsqueeze(-1) * (basis @ factor)).movedim(-1, 0))


@torch.no_grad()
def regress(H: Tensor, inverse: Tensor, scales: tuple[float, float], predicted: Tensor, surprise: Tensor) -> Link:
    r"""The posterior mean of the link, by generalised least squares.

    With H the columns of `design` and $K$ the covariance of the residuals,
    $\beta = (H^T K^{-1} H + P)^{-1} (H^T K^{-1} y + P \beta_0)$; $\rho = \beta_1$, $t = \beta_2 / \rho$ within
    [0, 1] and $b = \beta_{3:}$. The prior is $\rho, \rho t \sim N(1, 1)$ and $b \sim N(0, 0.5^2)$ in units of both
    sources' spreads (Le Gratiet & Garnier 2014, doi:10.1615/Int.J.UncertaintyQuantification.2014006914, section 3).

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
    covariance = torch.linalg.inv(H.mT @ inverse[:, :-1] + torch.diag(precision))
    beta = covariance @ (H.mT @ inverse[:, -1] + precision * believed)
    slope, carried = float(beta[1]), float(beta[2])
    # Where no cheap value was measured beside a target value, what it would carry over is part of the noise.
    told = bool((surprise != 0).any()) and abs(slope) > 1e-6 * ratio
    trust = min(max(carried / slope, 0.0), MOST_TRUST) if told else 0.0
    z = predicted + trust * surprise
    link = Link(slope, trust, float(covariance[1, 1]), float(z.mean()) if len(z) else 0.0)
    if not turns:
        return link
    kept = [1, *range(3, 3 + turns)]
    factor = torch.linalg.cholesky(covariance[kept][:, kept])
    return replace(link, turns=tuple(beta[3:].tolist()), doubt=tuple(map(tuple, factor.tolist())))


def design(predicted: Tensor, surprise: Tensor, trust: float = 0.0, basis: Tensor | None = None) -> Tensor:
    """The regression's columns: 1, p about its mean, c - p, and z about its mean times each component (n x (3 + J))."""
    columns = [torch.ones_like(predicted), _centred(predicted), surprise]
    if basis is not None:
        z = _centred(predicted + trust * surprise)
        columns += [z * component for component in basis[:, 1:].T]
    return torch.stack(columns, dim=1)


def _centred(values: Tensor) -> Tensor:
    return values - values.sum() / max(len(values), 1)
