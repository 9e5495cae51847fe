"""What the sources have in common: kernels over views, each with a matrix of the sources."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import cycle

import torch
from torch import Tensor

from mfmat.data import material_keys_of
from mfmat.kernel_families import Placed
from mfmat.kernels import ViewKernel
from mfmat.types import Covariance, Rows

START, OWN, SHARED = 0.7, 0.2, 0.2
"""Where loadings, a source's own part and a material's own part start."""
WIDEST = 2.0
"""The widest spread that any prior has: that of the logarithm of a part of its own."""
TYPICAL = 0.1
"""Prior centre of a part of its own."""
BOUNDS = {"loadings": (-20.0, 20.0), "log_own": (-12.0, 5.0), "shared": (-5.0, 5.0)}
"""Where a line search may look."""


@dataclass(frozen=True)
class Seated:
    """Rows (b x q) as the kernels see them, their sources and their materials."""

    placed: list[list[Placed]]
    source: Tensor
    keys: Tensor


class Coregion(torch.nn.Module):
    r"""The covariance of any two rows of any two sources, in standardised units.

    $k((x, s), (x', s')) = \sum_q B_q[s, s'] k_q(x, x') + u_s u_{s'} [x \sim x']$ with
    $B_q = W_q W_q^T + \mathrm{diag}(\kappa_q)$, where $[x \sim x']$ is 1 for two rows of one material: what no
    input tells of a material is common to its values in all sources, up to the signed size u.

    Priors: $W \sim N(0, 1)$ and $u \sim N(0, 0.3^2)$ shrink towards sources that tell nothing of each other,
    $\ln\kappa \sim N(\ln 0.1, 2^2)$ leaves each a part of its own.

    Args:
        kernels: $k_q$, one for each term.
        sources: their number m.
        rank: columns of each W.
        material: the column of X that names the material; None: all inputs together do.
    """

    def __init__(self, kernels: Sequence[ViewKernel], sources: int, rank: int, material: int | None) -> None:
        super().__init__()
        self.kernels, self.material = torch.nn.ModuleList(kernels), material
        self.terms = list(kernels)
        terms = len(kernels)
        self.loadings = torch.nn.Parameter(torch.zeros(terms, sources, rank).double())
        self.log_own = torch.nn.Parameter(torch.full((terms, sources), math.log(OWN)).double())
        self.shared = torch.nn.Parameter(torch.zeros(sources).double())

    @property
    def relevant(self) -> bool:
        """Whether every column has a relevance, which moves what rows are compared by."""
        return len(self.terms[0].log_relevance) > 0

    def begin(self, signs: Tensor, seed: int, common: bool) -> None:
        """Start where the sources agree, or oppose each other, as the signs (m) say.

        Args:
            signs: 1 or -1 for each source.
            seed: of the small differences between columns of W.
            common: some materials have values of several sources.
        """
        generator = torch.Generator().manual_seed(seed)
        with torch.no_grad():
            small = 0.05 * torch.randn(self.loadings.shape, generator=generator, dtype=torch.double)
            small[:, :, 0] += START / len(self.terms) ** 0.5
            self.loadings.copy_(small.to(self.loadings) * signs[:, None])
            # From 0, where its slope is 0, a part that no row can tell of does not move.
            self.shared.copy_(SHARED * signs if common else torch.zeros_like(signs))

    def measure(self, x: Tensor) -> None:
        """Learn the columns' centres and scales (n x d)."""
        for kernel in self.terms:
            kernel.measure(x)

    def seat(self, X: Rows) -> Seated:
        """Rows (b x q x (d+1)), to be compared many times."""
        x = X[..., :-1]
        keys = material_keys_of(X, self.material).to(X.device)
        return Seated([kernel.place(x) for kernel in self._distinct()], X[..., -1].round().long(), keys)

    def matrices(self) -> Tensor:
        """B of each term (terms x m x m)."""
        both: Tensor = self.loadings @ self.loadings.mT + torch.diag_embed(self.log_own.exp())
        return both

    def values(self) -> Covariance:
        """Covariance of the noise-free values of one average material in all sources (m x m)."""
        variances = torch.stack([kernel.variance for kernel in self.terms])
        return (variances[:, None, None] * self.matrices()).sum(0) + torch.outer(self.shared, self.shared)

    def forward(self, here: Seated, there: Seated) -> Tensor:
        """Covariance of seated rows (b x q and b x p, to b x q x p)."""
        total = self.smooth(here, there)
        if not bool(self.shared.any()):
            return total
        same = here.keys.unsqueeze(-1) == there.keys.unsqueeze(-2)
        return total + same * self.shared[here.source].unsqueeze(-1) * self.shared[there.source].unsqueeze(-2)

    def smooth(self, here: Seated, there: Seated) -> Tensor:
        """The same without what is a material's own."""
        pairs = here.source.unsqueeze(-1) * self.loadings.shape[1] + there.source.unsqueeze(-2)
        return self.covariance(self.squares(here, there), pairs)

    def squares(self, here: Seated, there: Seated) -> list[list[Tensor]]:
        """What seated rows are compared by, for each kernel that sees them differently."""
        return [k.squares(a, b) for k, a, b in zip(self._distinct(), here.placed, there.placed, strict=True)]

    def covariance(self, squares: Sequence[Sequence[Tensor]], pairs: Tensor) -> Tensor:
        """The sum of terms from what rows are compared by, and the place in B of each pair (of one shape)."""
        total = torch.zeros(()).to(self.loadings)
        for kernel, matrix, compared in zip(self.terms, self.matrices(), cycle(squares), strict=False):
            weight = matrix.reshape(-1).index_select(0, pairs.reshape(-1)).reshape(pairs.shape)
            total = total + weight * kernel.covariance(compared)
        return total

    def diagonal(self, rows: Seated) -> Tensor:
        """The prior variance of seated rows (b x q)."""
        total = self.shared.square()[rows.source]
        for kernel, matrix, placed in zip(self.terms, self.matrices(), cycle(rows.placed), strict=False):
            total = total + matrix.diagonal()[rows.source] * kernel.diagonal(placed)
        return total

    def log_prior(self) -> Tensor:
        """The logarithm of the prior density of the parameters, up to a constant."""
        scores = self.loadings.square().sum() + ((self.log_own - math.log(TYPICAL)) / WIDEST).square().sum()
        scores = scores + (self.shared / 0.3).square().sum()
        kernels = torch.stack([kernel.log_prior() for kernel in self.terms]).sum()
        return kernels - 0.5 * scores

    def _distinct(self) -> list[ViewKernel]:
        """The kernels that see rows differently: all where columns have a relevance, else one stands for all."""
        return self.terms if self.relevant else self.terms[:1]
