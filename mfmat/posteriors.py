"""The algebra of distributions: what can be asked of any posterior, row by row."""

from __future__ import annotations

import math
from typing import Protocol, runtime_checkable

import torch
from botorch.posteriors import GPyTorchPosterior, Posterior
from gpytorch.distributions import MultivariateNormal
from linear_operator.operators import DenseLinearOperator
from linear_operator.utils.cholesky import psd_safe_cholesky
from torch import Tensor
from torch.distributions import Normal

from mfmat.errors import CalibrationError
from mfmat.mixture_quantile import mixture_quantile
from mfmat.types import Covariance, Values


@runtime_checkable
class RowPosterior(Protocol):
    """What every posterior of this house answers for each row; BoTorch's Gaussian one does."""

    @property
    def mean(self) -> Tensor:
        """b x q x 1."""

    @property
    def variance(self) -> Tensor:
        """b x q x 1."""

    def quantile(self, value: Tensor) -> Tensor:
        """b x q x 1 for one level, k x b x q x 1 for k."""

    def rsample(self, sample_shape: torch.Size | None = None) -> Tensor:
        """s x b x q x 1."""


def normal(mean: Tensor, covariance: Covariance) -> GaussianPosterior:
    """The joint Gaussian of q rows (mean b x q, covariance b x q x q) as BoTorch's own posterior.

    >>> normal(torch.zeros(2), torch.eye(2)).mean.shape
    torch.Size([2, 1])
    """
    return GaussianPosterior(mean, covariance)


class GaussianPosterior(GPyTorchPosterior):
    """BoTorch's Gaussian posterior in any units: GPyTorch rounds variances below 1e-10 up to it, this does not."""

    def __init__(self, mean: Tensor, covariance: Covariance) -> None:
        # As an operator the covariance is factorised when draws are wanted, not before.
        super().__init__(MultivariateNormal(mean, DenseLinearOperator(covariance)))
        self._variance = covariance.diagonal(dim1=-2, dim2=-1).unsqueeze(-1)

    @property
    def variance(self) -> Values:
        """b x q x 1."""
        return self._variance


def root(covariance: Covariance) -> Tensor:
    """The lower Cholesky factor, with a jitter that is small in the covariance's own units where one is needed."""
    unit = covariance.diagonal(dim1=-2, dim2=-1).sum(dim=-1)[..., None, None] / max(covariance.shape[-1], 1)
    unit = torch.where(unit > 0, unit, 1.0)
    factor: Tensor = psd_safe_cholesky(covariance / unit) * unit.sqrt()
    return factor


def quantile(posterior: RowPosterior, level: float) -> Values:
    """The value below which a new draw falls with probability `level`, for each row (b x q x 1).

    >>> quantile(normal(torch.zeros(1), torch.eye(1)), 0.975).round(decimals=2)
    tensor([[1.9600]])
    """
    mean = posterior.mean
    return posterior.quantile(torch.tensor(level, dtype=mean.dtype, device=mean.device)).reshape(mean.shape)


def interval(posterior: RowPosterior, level: float) -> tuple[Values, Values]:
    """The central interval that holds a new draw with probability `level` (two of b x q x 1)."""
    return quantile(posterior, (1 - level) / 2), quantile(posterior, (1 + level) / 2)


def cdf(posterior: RowPosterior, y: Values) -> Values:
    """The probability that a new draw falls below `y`, for each row (b x q x 1).

    >>> cdf(normal(torch.zeros(1), torch.eye(1)), torch.zeros(1, 1))
    tensor([[0.5000]])
    """
    if isinstance(posterior, ConformalPosterior | MixturePosterior):
        return posterior.cdf(y)
    result: Tensor = Normal(posterior.mean, posterior.variance.sqrt()).cdf(y)
    return result


def log_density(posterior: RowPosterior, y: Values) -> Values:
    """The logarithm of the density of a new draw at `y`, for each row (b x q x 1); calibration leaves it as it is.

    >>> log_density(normal(torch.zeros(1), torch.eye(1)), torch.zeros(1, 1))
    tensor([[-0.9189]])
    """
    if isinstance(posterior, ConformalPosterior):
        return log_density(posterior.base, y)
    if isinstance(posterior, MixturePosterior):
        return posterior.log_density(y)
    result: Tensor = Normal(posterior.mean, posterior.variance.sqrt()).log_prob(y)
    return result


class MixturePosterior(GaussianPosterior):
    r"""A mixture of K joint Gaussians, $p(y) = \sum_k w_k N(y; \mu_k, \Sigma_k)$.

    Its `mean`, `variance` and `distribution` are those of the Gaussian with the same moments,
    $\mu = \sum_k w_k \mu_k$ and $\Sigma = \sum_k w_k [\Sigma_k + (\mu_k - \mu)(\mu_k - \mu)^T]$. Quantiles, `cdf`,
    densities and draws are the mixture's own. A draw takes all its q rows from one component. Where weights differ
    from row to row, $w_k$ between rows i and j is $\sqrt{w_{ki} w_{kj}}$, and what holds exactly are the marginals.

    Args:
        means: K x b x q.
        covariances: K x b x q x q, each with variances above 0.
        weights: K, or K x b x q; they sum to 1 over K.

    >>> two = MixturePosterior(torch.tensor([[-1.0], [1.0]]), torch.ones(2, 1, 1), torch.tensor([0.5, 0.5]))
    >>> two.variance.round(decimals=2)
    tensor([[2.]])
    """

    def __init__(self, means: Tensor, covariances: Covariance, weights: Tensor) -> None:
        self.means, self.covariances = means, covariances
        self.weights = (
            weights.reshape(-1, *[1] * (means.ndim - 1)).expand(means.shape) if weights.ndim == 1 else weights
        )
        mean = (self.weights * means).sum(0)
        shares, apart = self.weights.sqrt(), means - mean
        within = covariances * shares.unsqueeze(-1) * shares.unsqueeze(-2)
        spread = shares * apart
        super().__init__(mean, (within + spread.unsqueeze(-1) * spread.unsqueeze(-2)).sum(0))
        self._stds = covariances.diagonal(dim1=-2, dim2=-1).sqrt()

    @property
    def components(self) -> tuple[Tensor, Tensor, Tensor]:
        """Weights, means and standard deviations of each row's components (three of K x b x q x 1)."""
        return self.weights.unsqueeze(-1), self.means.unsqueeze(-1), self._stds.unsqueeze(-1)

    def cdf(self, y: Values) -> Values:
        """The probability of a new draw below `y` (b x q x 1)."""
        weights, means, stds = self.components
        # Through erfc, which keeps its digits far below the mean; torch's ndtr does not.
        below: Tensor = 0.5 * (weights * torch.erfc((means - y) / (math.sqrt(2) * stds))).sum(0)
        return below

    def log_density(self, y: Values) -> Values:
        """The logarithm of the density of a new draw at `y` (b x q x 1)."""
        weights, means, stds = self.components
        return torch.logsumexp(weights.log() + Normal(means, stds).log_prob(y), dim=0)

    def density(self, value: Tensor) -> Tensor:
        """BoTorch's name for the density, of one value or of several in front."""
        if value.numel() > 1:
            return torch.stack([self.density(each) for each in value])
        return self.log_density(value.expand(self.mean.shape)).exp()

    def quantile(self, value: Tensor) -> Tensor:
        """The value below which a draw falls with that probability (b x q x 1; k x b x q x 1 for k levels).

        See `mixture_quantile`; gradients are the implicit ones.
        """
        if value.numel() > 1:
            return torch.stack([self.quantile(each) for each in value])
        level = float(value)
        weights, means, stds = (part.flatten(1) for part in self.components)
        # From the nearer end: the cumulative probability of a far upper value rounds to 1.
        side, level = (-1, float(1 - value)) if level > 0.5 else (1, level)
        with torch.no_grad():
            found = side * mixture_quantile(weights, side * means, stds, level).reshape(self.mean.shape)
        if not torch.is_grad_enabled():
            return found
        # Between far components the density is 0 where the probability is exactly reached.
        slope = self.log_density(found).exp().clamp_min(torch.finfo(found.dtype).tiny).detach()
        below = self.cdf(found)
        result: Tensor = found - (below - below.detach()) / slope
        return result

    @property
    def base_sample_shape(self) -> torch.Size:
        """One number that chooses the component, then one for each row (b x (q+1))."""
        *batch, q = self.means.shape[1:]
        return torch.Size([*batch, q + 1])

    def rsample(self, sample_shape: torch.Size | None = None) -> Tensor:
        """Draws from the mixture (s x b x q x 1), differentiable within each component."""
        shape = torch.Size([1]) if sample_shape is None else sample_shape
        base = torch.randn(*shape, *self.base_sample_shape, dtype=self.means.dtype, device=self.means.device)
        return self.rsample_from_base_samples(shape, base)

    def rsample_from_base_samples(self, sample_shape: torch.Size, base_samples: Tensor) -> Tensor:
        """The draws that these standard normal numbers stand for (s x b x (q+1) to s x b x q x 1)."""
        base = base_samples.expand(*sample_shape, *self.base_sample_shape)
        ends = self.weights.cumsum(0)
        chosen = torch.special.ndtr(base[..., :1])
        draws = torch.zeros_like(base[..., 1:])
        for k, (mean, factor) in enumerate(zip(self.means, root(self.covariances), strict=True)):
            # The last component ends at 1, whatever the weights' rounded sum.
            below = chosen < ends[k] if k < len(ends) - 1 else torch.ones_like(draws, dtype=torch.bool)
            mine = below & (chosen >= ends[k - 1]) if k else below
            draws = torch.where(mine, mean + (factor @ base[..., 1:, None])[..., 0], draws)
        return draws.unsqueeze(-1)


class ConformalPosterior(Posterior):
    r"""A posterior whose quantiles come from calibration scores; mean, variance and draws stay its own.

    With scores $R_i = |y_i - m_{k(i)}(x_i)| / s_{k(i)}(x_i)$ of n calibration rows, each from the model
    k(i) that had not seen it, the interval at level $1-\alpha$ runs from the
    $\lfloor\alpha(n+1)\rfloor$-th smallest of $m_{k(i)}(x) - R_i s_{k(i)}(x)$ to the
    $\lceil(1-\alpha)(n+1)\rceil$-th smallest of $m_{k(i)}(x) + R_i s_{k(i)}(x)$, and is widened where
    needed to hold the median. With one model this is the split conformal interval, with several CV+
    (Barber et al. 2021, doi:10.1214/20-AOS1965).

    Args:
        base: the posterior of the model fitted to all rows.
        centres: medians of the K models that gave the scores, K x b x q x 1.
        spreads: their standard deviations, same shape.
        scores: n scores.
        members: n, which of the K models gave each score.
    """

    def __init__(self, base: RowPosterior, centres: Tensor, spreads: Tensor, scores: Tensor, members: Tensor) -> None:
        self.base, self.centres, self.spreads = base, centres, spreads
        self.scores, self.members = scores, members

    @property
    def mean(self) -> Values:
        """Mean of the learner's own posterior (b x q x 1)."""
        return self.base.mean

    @property
    def variance(self) -> Values:
        """Variance of the learner's own posterior (b x q x 1)."""
        return self.base.variance

    @property
    def device(self) -> torch.device:
        """Where the tensors live."""
        return self.base.mean.device

    @property
    def dtype(self) -> torch.dtype:
        """Of the tensors."""
        return self.base.mean.dtype

    def rsample(self, sample_shape: torch.Size | None = None) -> Tensor:
        """Draws from the learner's own posterior."""
        return self.base.rsample(sample_shape)

    def quantile(self, value: Tensor) -> Tensor:
        """The end of the interval whose level is |2 value - 1|, on the side of `value`.

        Raises:
            CalibrationError: too few calibration rows for that level.
        """
        if value.numel() > 1:
            return torch.stack([self.quantile(each) for each in value])
        median, side = quantile(self.base, 0.5), 2 * float(value) - 1
        if side == 0:
            return median
        rank = conformal_rank(len(self.scores), abs(side))
        ends = self._ends(math.copysign(1.0, side))
        if side > 0:
            return torch.maximum(ends.kthvalue(rank, dim=0).values, median)
        return torch.minimum(ends.kthvalue(len(ends) + 1 - rank, dim=0).values, median)

    def cdf(self, y: Values) -> Values:
        """The probability that `quantile` gives to values below `y` (b x q x 1)."""
        beyond = (y - quantile(self.base, 0.5)).sign()
        inside = (torch.where(beyond > 0, self._ends(1.0) <= y, self._ends(-1.0) >= y)).sum(0)
        return 0.5 + 0.5 * beyond * inside / (len(self.scores) + 1)

    def _ends(self, side: float) -> Tensor:
        reach = self.scores.reshape(-1, *[1] * (self.spreads.ndim - 1))
        return self.centres[self.members] + side * reach * self.spreads[self.members]


def conformal_rank(n: int, level: float) -> int:
    r"""The rank $\lceil level\,(n+1)\rceil$ of the score that bounds the interval.

    Raises:
        CalibrationError: n rows cannot promise that level.

    >>> conformal_rank(9, 0.9)
    9
    """
    # Rounding first keeps 0.9 * 10 = 9.000000000000002 from becoming ten.
    rank = math.ceil(round(level * (n + 1), 9))
    if rank > n:
        reachable = math.floor(1000 * n / (n + 1)) / 1000
        needed = math.ceil(round(level / (1 - level), 9)) if level < 1 else math.inf
        raise CalibrationError(
            f"{n} calibration rows for intervals at level {level:g}",
            expected=f"at least {needed}",
            fix=f"a level of at most {reachable:g}, more target rows, or a learner without Conformal",
        )
    return max(rank, 1)
