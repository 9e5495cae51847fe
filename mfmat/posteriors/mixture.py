"""A mixture of joint Gaussians and of single values."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.distributions import Normal

from mfmat.mixture_quantile import atomic_quantile, mixture_quantile
from mfmat.posteriors.gaussian import GaussianPosterior, root
from mfmat.posteriors.questions import log_strip
from mfmat.types import Covariance, Values


class MixturePosterior(GaussianPosterior):
    r"""A mixture of K joint Gaussians, $p(y) = \sum_k w_k N(y; \mu_k, \Sigma_k)$.

    Its `mean`, `variance` and `distribution` are those of the Gaussian with the same moments,
    $\mu = \sum_k w_k \mu_k$ and $\Sigma = \sum_k w_k [\Sigma_k + (\mu_k - \mu)(\mu_k - \mu)^T]$. Quantiles, `cdf`,
    densities and draws are the mixture's own. A draw takes all its q rows from one component. Where weights differ
    from row to row, $w_k$ between rows i and j is $\sqrt{w_{ki} w_{kj}}$, and what holds exactly are the marginals.

    A component whose variance at a row is exactly 0 is an **atom** there: all its weight is on one value. The
    cumulative probability jumps at it, a quantile is the smallest value that reaches its level, draws hit it
    exactly, and the density of all else is finite around it and infinite at it.

    Args:
        means: K x b x q.
        covariances: K x b x q x q, positive semi-definite; a row of variance 0 has covariances 0.
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
        variances = covariances.diagonal(dim1=-2, dim2=-1)
        self._atoms = variances == 0
        self.has_atoms = bool(self._atoms.any())
        # The root of 0 has no slope.
        self._stds = torch.where(self._atoms, 1.0, variances).sqrt() if self.has_atoms else variances.sqrt()

    @property
    def components(self) -> tuple[Tensor, Tensor, Tensor]:
        """Weights, means and standard deviations of each row's components (three of K x b x q x 1)."""
        stds = torch.where(self._atoms, 0.0, self._stds) if self.has_atoms else self._stds
        return self.weights.unsqueeze(-1), self.means.unsqueeze(-1), stds.unsqueeze(-1)

    def cdf(self, y: Values) -> Values:
        """The probability of a new draw of at most `y` (b x q x 1)."""
        weights, means, stds, atoms = self._parts
        # Through erfc, which keeps its digits far below the mean; torch's ndtr does not.
        below = 0.5 * torch.erfc((means - y) / (math.sqrt(2) * stds))
        if self.has_atoms:
            below = torch.where(atoms, (means <= y).to(below), below)
        total: Tensor = (weights * below).sum(0)
        return total

    def log_density(self, y: Values) -> Values:
        """The logarithm of the density of a new draw at `y` (b x q x 1); infinite at an atom."""
        weights, means, stds, atoms = self._parts
        each = weights.log() + Normal(means, stds).log_prob(y)
        if self.has_atoms:
            each = torch.where(atoms, torch.where((means == y) & (weights > 0), math.inf, -math.inf), each)
        return torch.logsumexp(each, dim=0)

    def log_mass(self, low: Values, high: Values) -> Values:
        """The logarithm of the probability of a new draw above `low` and up to `high` (b x q x 1)."""
        weights, means, stds, atoms = self._parts
        each = log_strip((low - means) / stds, (high - means) / stds)
        if self.has_atoms:
            each = torch.where(atoms, ((low < means) & (means <= high)).to(each).log(), each)
        return torch.logsumexp(weights.log() + each, dim=0)

    def density(self, value: Tensor) -> Tensor:
        """BoTorch's name for the density, of one value or of several in front."""
        if value.numel() > 1:
            return torch.stack([self.density(each) for each in value])
        return self.log_density(value.expand(self.mean.shape)).exp()

    def quantile(self, value: Tensor) -> Tensor:
        """The smallest value that a draw is at most with that probability (b x q x 1; k x b x q x 1 for k levels).

        See `mixture_quantile`; gradients are the implicit ones, at an atom that of its place.
        """
        if value.numel() > 1:
            return torch.stack([self.quantile(each) for each in value])
        with torch.no_grad():
            found, atom = self._solve(float(value), float(1 - value))
        if not torch.is_grad_enabled():
            return found
        if atom is not None:
            place = (atom * self.means).sum(0).unsqueeze(-1)
            at_atom = atom.any(0).unsqueeze(-1)
            return torch.where(at_atom, place, self._attach(torch.where(at_atom, self.mean.detach(), found)))
        return self._attach(found)

    def _solve(self, level: float, rest: float) -> tuple[Values, Tensor | None]:
        """The quantile, and which atom it is (K x b x q shares, 0 where it is none)."""
        weights, means, stds = (part.flatten(1) for part in self.components)
        if self.has_atoms:
            found, atom = atomic_quantile(weights, means, stds, level, rest)
            return found.reshape(self.mean.shape), atom.reshape(self.means.shape)
        # From the nearer end: the cumulative probability of a far upper value rounds to 1.
        side, level = (-1, rest) if level > 0.5 else (1, level)
        levels = torch.full_like(means[0], level)
        return side * mixture_quantile(weights, side * means, stds, levels).reshape(self.mean.shape), None

    def _attach(self, found: Values) -> Values:
        """The same values with the slopes of where the cumulative probability reaches the level."""
        # Between far components the density is 0 where the probability is exactly reached.
        slope = self.log_density(found).exp().clamp_min(torch.finfo(found.dtype).tiny).detach()
        below = self.cdf(found)
        result: Tensor = found - (below - below.detach()) / slope
        return result

    @property
    def _parts(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """The components with standard deviation 1 in place of 0, and where that is (four of K x b x q x 1)."""
        return tuple(part.unsqueeze(-1) for part in (self.weights, self.means, self._stds, self._atoms))  # type: ignore[return-value]

    def _root(self) -> Tensor:
        """The components' lower Cholesky factors; 0 in the rows of atoms."""
        if not self.has_atoms:
            return root(self.covariances)
        # A 1 on the diagonal in place of the 0 leaves the other rows as they are.
        factor = root(self.covariances + torch.diag_embed(self._atoms.to(self.covariances)))
        return factor * (~self._atoms).unsqueeze(-1)

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
        for k, (mean, factor) in enumerate(zip(self.means, self._root(), strict=True)):
            # The last component ends at 1, whatever the weights' rounded sum.
            below = chosen < ends[k] if k < len(ends) - 1 else torch.ones_like(draws, dtype=torch.bool)
            mine = below & (chosen >= ends[k - 1]) if k else below
            draws = torch.where(mine, mean + (factor @ base[..., 1:, None])[..., 0], draws)
        return draws.unsqueeze(-1)
