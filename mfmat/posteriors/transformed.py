"""What a posterior of transformed values says of the values themselves."""

from __future__ import annotations

import math
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor

from mfmat.posteriors.calibrated import CalibratedPosterior
from mfmat.posteriors.components import components
from mfmat.posteriors.gaussian import GaussianPosterior
from mfmat.posteriors.mixture import MixturePosterior
from mfmat.posteriors.questions import RowPosterior, cdf, log_density, log_mass
from mfmat.types import Covariance, Values

PIECES = ((4, 0.4), (32, 0.6))
"""Components of a posterior up to which each is taken in pieces, and how wide a piece is in its standard deviations."""
STEP, REACH = 1.25, 4.0
"""From piece to piece in their widths (their sum is a Gaussian within 0.0002), and how far out the last one lies."""


@runtime_checkable
class Rising(Protocol):
    """What is asked of a transform, see `mfmat.transforms.Transform`."""

    def forward(self, y: Tensor) -> Tensor:
        """The transform."""

    def inverse(self, z: Tensor) -> Tensor:
        """The value again."""

    def log_slope(self, y: Tensor) -> Tensor:
        """The logarithm of its slope."""

    def moments(self, mean: Tensor, covariance: Covariance) -> tuple[Tensor, Covariance]:
        """Mean and covariance of values whose transforms are Gaussian."""


def push(posterior: RowPosterior, transform: Rising) -> TransformedPosterior | TransformedIntervals:
    """What a posterior of transforms says of the values."""
    if isinstance(posterior, CalibratedPosterior):
        return TransformedIntervals(posterior, transform)
    return TransformedPosterior(posterior, transform)


class Through:
    """A distribution of values that is another of their transforms, seen through a rising function.

    Attributes:
        inner: what is said of the transforms.
        transform: the function.
    """

    inner: RowPosterior
    transform: Rising

    def quantile(self, value: Tensor) -> Tensor:
        """The value of the quantile of the transform (b x q x 1; k x b x q x 1 for k levels)."""
        return self.transform.inverse(self.inner.quantile(value))

    def cdf(self, y: Values) -> Values:
        """The probability of a new draw of at most `y` (b x q x 1)."""
        return cdf(self.inner, self.transform.forward(y))

    def log_density(self, y: Values) -> Values:
        """The logarithm of the density of a new draw at `y` (b x q x 1): that of its transform, times the slope."""
        z = self.transform.forward(y)
        inside = torch.isfinite(z)
        found = log_density(self.inner, torch.where(inside, z, 0.0)) + self.transform.log_slope(y)
        return torch.where(inside, found, -math.inf)

    def log_mass(self, low: Values, high: Values) -> Values:
        """The logarithm of the probability of a new draw above `low` and up to `high` (each b x q x 1)."""
        below, above = self.transform.forward(low), self.transform.forward(high)
        return torch.where(below < above, log_mass(self.inner, below, above), -math.inf)


class TransformedPosterior(Through, MixturePosterior):
    r"""The distribution of $y = g^{-1}(z)$, with z as a posterior of Gaussians or of mixtures of them says.

    Quantiles, cumulative probabilities, densities (with the slope of g) and draws are exact: those of z. Mean and
    covariance are exact, in closed form. As a mixture of Gaussians, which is what a `Mixture` and a CRPS take it for,
    it is close: each row's Gaussian of z is a mixture of narrower ones (0.4 of its standard deviation), and each of
    these is so short a piece of g that its values are nearly Gaussian. For q > 1 rows together a component of z is one
    of y, with the exact joint moments.

    Args:
        base: of the transforms.
        transform: a rising function g.

    >>> from mfmat.posteriors import normal
    >>> from mfmat.transforms import Logarithm
    >>> said = TransformedPosterior(normal(torch.zeros(1, 1), torch.ones(1, 1, 1)), Logarithm())
    >>> float(said.quantile(torch.tensor(0.5)))
    1.0
    """

    def __init__(self, base: RowPosterior, transform: Rising) -> None:
        self.inner, self.transform = base, transform
        means, covariances, weights = components(base)
        whole = MixturePosterior(*transform.moments(means, covariances), weights)
        width = next((width for most, width in PIECES if len(means) <= most), None)
        if means.shape[-1] > 1 or width is None:
            super().__init__(whole.means, whole.covariances, whole.weights)
            return
        super().__init__(*_cut(means, covariances, whole.weights, transform, width))
        # The pieces reach as far as a mean of a long tail may not: it is known exactly.
        GaussianPosterior.__init__(self, whole.mean[..., 0], whole.distribution.covariance_matrix)

    @property
    def base_sample_shape(self) -> torch.Size:
        """That of the transform's posterior."""
        return self.inner.base_sample_shape  # type: ignore[attr-defined, no-any-return]

    def rsample(self, sample_shape: torch.Size | None = None) -> Tensor:
        """Draws (s x b x q x 1), the rows of one together."""
        return self.transform.inverse(self.inner.rsample(sample_shape))

    def rsample_from_base_samples(self, sample_shape: torch.Size, base_samples: Tensor) -> Tensor:
        """The draws that these standard normal numbers stand for."""
        drawn: Tensor = self.inner.rsample_from_base_samples(sample_shape, base_samples)  # type: ignore[attr-defined]
        return self.transform.inverse(drawn)


class TransformedIntervals(Through, CalibratedPosterior):
    """A calibrated posterior of transforms: its quantiles as values; all else as of the transforms uncalibrated.

    Args:
        calibrated: of the transforms.
        transform: a rising function.
    """

    inner: CalibratedPosterior

    def __init__(self, calibrated: CalibratedPosterior, transform: Rising) -> None:
        super().__init__(TransformedPosterior(calibrated.base, transform), calibrated.scores, calibrated.weighing)
        self.inner, self.transform = calibrated, transform

    @property
    def highest(self) -> float:
        """See `CalibratedPosterior.highest`."""
        return self.inner.highest

    def end(self, level: float, side: float) -> Values:
        """See `CalibratedPosterior.end`."""
        return self.transform.inverse(self.inner.end(level, side))


def _cut(
    means: Tensor, covariances: Covariance, weights: Tensor, transform: Rising, width: float
) -> tuple[Tensor, Tensor, Tensor]:
    """Components of single rows, each as many narrower Gaussians, as components of values."""
    side = round(REACH * math.sqrt(1 - width**2) / (STEP * width))
    at = STEP * width * torch.arange(-side, side + 1).to(means)
    shares = torch.softmax(-at.square() / (2 * (1 - width**2)), dim=0)
    variances = covariances[..., 0, 0]
    # The root of 0, an atom's, has no slope.
    stds = torch.where(variances > 0, torch.where(variances > 0, variances, 1.0).sqrt(), 0.0)
    spread = [-1, *[1] * means.ndim]
    z = means + at.reshape(spread) * stds.unsqueeze(-1)
    found, around = transform.moments(z, (covariances * width**2).expand(len(at), *covariances.shape))
    pushed = (shares.reshape(spread) * weights).flatten(0, 1)
    return found.flatten(0, 1), around.flatten(0, 1), pushed
