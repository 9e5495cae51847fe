"""Rising functions of a value, under which what is skewed may become Gaussian."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from mfmat.types import Covariance, Flags
from mfmat.values import Value

CENTRE, SCALES = 10.0, (0.01, 100.0)
"""How far an `Arcsinh` may lie from the median, and how sharp or straight it may be, in interquartile ranges."""
FAR = 200.0
"""Exponents of moments at most, so that what nothing is known of has large and yet finite ones; of Gaussians z with a
standard deviation of 14 or more, which no values have."""
BENT = 0.1
"""Bend (see `find_bend`) from which a transform is worth a trial: below it, nothing that was measured became better."""
STARTS = ((0.0, 1.0), (-1.0, 0.1), (1.0, 0.1))
"""Centres and scales from which the likeliest are looked for, in interquartile ranges from the median."""


class Transform(Value, ABC):
    """A rising function $z = g(y)$ of values, with the moments of $y = g^{-1}(z)$ of a Gaussian z in closed form.

    Exponents above 200 are taken for 200 in moments, which are finite for that; quantiles are exact everywhere.
    """

    name: ClassVar[str]
    """What it is called in a sentence."""

    @abstractmethod
    def forward(self, y: Tensor) -> Tensor:
        """g; minus infinity below where it is defined."""

    @abstractmethod
    def inverse(self, z: Tensor) -> Tensor:
        """The value again."""

    @abstractmethod
    def log_slope(self, y: Tensor) -> Tensor:
        r"""$\ln g'(y)$; minus infinity below where g is defined."""

    @abstractmethod
    def gain(self, mean: Tensor, variance: Tensor) -> Tensor:
        r"""$E[dy/dz]$ of Gaussians z: with any w, $Cov(y, w) = E[dy/dz]\,Cov(z, w)$ (Stein's lemma)."""

    @abstractmethod
    def moments(self, mean: Tensor, covariance: Covariance) -> tuple[Tensor, Covariance]:
        """Mean (b x q) and covariance (b x q x q) of values whose transforms are jointly Gaussian."""

    def allows(self, y: Tensor) -> Flags:
        """Which values have a transform."""
        return torch.isfinite(self.forward(y))


@dataclass(frozen=True)
class Logarithm(Transform, kind="log-transform"):
    r"""The natural logarithm of values above 0, $g(y) = \ln y$.

    $E[y_i] = e^{\mu_i + C_{ii} / 2} = m_i$ and $Cov(y_i, y_j) = m_i m_j (e^{C_{ij}} - 1)$.

    >>> Logarithm().moments(torch.zeros(1), torch.zeros(1, 1))
    (tensor([1.]), tensor([[0.]]))
    """

    name: ClassVar[str] = "the logarithm"

    def forward(self, y: Tensor) -> Tensor:
        """See `Transform.forward`."""
        return torch.where(y > 0, torch.where(y > 0, y, 1.0).log(), -math.inf)

    def inverse(self, z: Tensor) -> Tensor:
        """See `Transform.inverse`."""
        return z.exp()

    def log_slope(self, y: Tensor) -> Tensor:
        """See `Transform.log_slope`."""
        return torch.where(y > 0, -torch.where(y > 0, y, 1.0).log(), -math.inf)

    def gain(self, mean: Tensor, variance: Tensor) -> Tensor:
        """See `Transform.gain`."""
        return (mean + variance / 2).clamp_max(FAR).exp()

    def moments(self, mean: Tensor, covariance: Covariance) -> tuple[Tensor, Covariance]:
        """See `Transform.moments`."""
        m = self.gain(mean, covariance.diagonal(dim1=-2, dim2=-1))
        return m, m.unsqueeze(-1) * m.unsqueeze(-2) * torch.expm1(covariance.clamp_max(FAR))


@dataclass(frozen=True)
class Arcsinh(Transform, kind="arcsinh-transform"):
    r"""$g(y) = \operatorname{arsinh}((y - c) / s)$: straight near c, a logarithm far away on either side.

    It takes every number to every number, so that no Gaussian reaches where no value is, as one does with the
    transforms of Box-Cox and Yeo-Johnson. Values with a Gaussian transform are Johnson's $S_U$. With
    $v_i = C_{ii}$, $E[y_i] = c + s\, e^{v_i / 2} \sinh \mu_i$ and $Cov(y_i, y_j) = \frac{s^2}{2} e^{(v_i + v_j) / 2}
    [(e^{C_{ij}} - 1) \cosh(\mu_i + \mu_j) - (e^{-C_{ij}} - 1) \cosh(\mu_i - \mu_j)]$.

    Args:
        centre: c, in the units of y.
        scale: s, above 0, in the units of y.

    Johnson 1949, doi:10.1093/biomet/36.1-2.149.

    >>> Arcsinh(centre=1.0, scale=2.0).forward(torch.tensor([1.0]))
    tensor([0.])
    """

    centre: float
    scale: float

    name: ClassVar[str] = "the inverse hyperbolic sine"

    @staticmethod
    def learn(y: Tensor) -> Arcsinh:
        """Centre and scale that make n values, as a Gaussian under the transform, most probable (Johnson's $S_U$)."""
        # Slow to import, and only some fits need it.
        from scipy.optimize import minimize

        values = y.detach().numpy()
        middle, unit = float(np.median(values)), float(np.subtract(*np.quantile(values, [0.75, 0.25])))
        unit = unit if unit > 1e-9 * float(np.abs(values).max()) else float(values.std()) or 1.0
        u = torch.from_numpy((values - middle) / unit)

        def loss(at: np.ndarray) -> float:
            return -_log_likelihood(Arcsinh(float(at[0]), math.exp(at[1])), u)

        bounds = [(-CENTRE, CENTRE), tuple(map(math.log, SCALES))]
        found = [minimize(loss, (a, math.log(b)), method="L-BFGS-B", bounds=bounds) for a, b in STARTS]
        best = min(found, key=lambda each: float(each.fun))
        return Arcsinh(middle + unit * float(best.x[0]), unit * math.exp(float(best.x[1])))

    def forward(self, y: Tensor) -> Tensor:
        """See `Transform.forward`."""
        return ((y - self.centre) / self.scale).arcsinh()

    def inverse(self, z: Tensor) -> Tensor:
        """See `Transform.inverse`."""
        return self.centre + self.scale * z.sinh()

    def log_slope(self, y: Tensor) -> Tensor:
        """See `Transform.log_slope`."""
        return -torch.hypot(y - self.centre, torch.full_like(y, self.scale)).log()

    def gain(self, mean: Tensor, variance: Tensor) -> Tensor:
        """See `Transform.gain`."""
        return self.scale * (variance / 2).clamp_max(FAR).exp() * mean.clamp(-FAR, FAR).cosh()

    def moments(self, mean: Tensor, covariance: Covariance) -> tuple[Tensor, Covariance]:
        """See `Transform.moments`."""
        covariance, mean = covariance.clamp(-FAR, FAR), mean.clamp(-FAR / 2, FAR / 2)
        half = covariance.diagonal(dim1=-2, dim2=-1) / 2
        one, other = mean.unsqueeze(-1), mean.unsqueeze(-2)
        size = 0.5 * self.scale**2 * (half.unsqueeze(-1) + half.unsqueeze(-2)).exp()
        rising = torch.expm1(covariance) * (one + other).cosh() - torch.expm1(-covariance) * (one - other).cosh()
        return self.centre + self.scale * half.exp() * mean.sinh(), size * rising


@dataclass(frozen=True)
class Partial(Transform):
    """A transform of some rows; the others, such as labels, stay as they are.

    Attributes:
        inner: the transform.
        rows: which rows it is of (b x q).
    """

    inner: Transform
    rows: Tensor

    def forward(self, y: Tensor) -> Tensor:
        """See `Transform.forward`."""
        return torch.where(self.rows.unsqueeze(-1), self.inner.forward(y), y)

    def inverse(self, z: Tensor) -> Tensor:
        """See `Transform.inverse`."""
        return torch.where(self.rows.unsqueeze(-1), self.inner.inverse(z), z)

    def log_slope(self, y: Tensor) -> Tensor:
        """See `Transform.log_slope`."""
        return torch.where(self.rows.unsqueeze(-1), self.inner.log_slope(y), 0.0)

    def gain(self, mean: Tensor, variance: Tensor) -> Tensor:
        """See `Transform.gain`."""
        return torch.where(self.rows, self.inner.gain(mean, variance), 1.0)

    def moments(self, mean: Tensor, covariance: Covariance) -> tuple[Tensor, Covariance]:
        """See `Transform.moments`."""
        m, C = self.inner.moments(mean, covariance)
        gain = self.gain(mean, covariance.diagonal(dim1=-2, dim2=-1))
        both = self.rows.unsqueeze(-1) & self.rows.unsqueeze(-2)
        straight = gain.unsqueeze(-1) * gain.unsqueeze(-2) * covariance
        return torch.where(self.rows, m, mean), torch.where(both, C, straight)


def find_bend(transform: Transform, y: Tensor) -> float:
    r"""How far n values and their transforms are from a straight line, $1 - r^2$ with r their correlation.

    0 where values agree, or some have no transform.

    >>> round(find_bend(Logarithm(), torch.linspace(-2, 2, 100).double().exp()), 1)
    0.2
    """
    if not bool(transform.allows(y).all()) or len(y.unique()) < 3:
        return 0.0
    return 1 - float(torch.corrcoef(torch.stack([y, transform.forward(y)]))[0, 1]) ** 2


def _log_likelihood(transform: Transform, y: Tensor) -> float:
    """Of values as a Gaussian under the transform with the mean and the variance that fit best, up to a constant."""
    variance = float(transform.forward(y).var(correction=0))
    slopes = float(transform.log_slope(y).sum())
    return slopes - 0.5 * len(y) * math.log(variance) if variance > 0 else -math.inf
