"""Rows that stand for all others: how they are chosen, and the features that they give."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from mfmat.kernel_families import Placed
from mfmat.kernels import ViewKernel

BLOCK = 64
"""Rows proposed at a time: enough for fast products, few enough that most are kept."""


@torch.no_grad()
def choose(kernel: ViewKernel, placed: list[Placed], count: int, seed: int) -> Tensor:
    r"""Positions of at most `count` of n placed rows, each drawn by the variance that those before leave unexplained.

    $P(i) \propto d_i = k_{ii} - k_{iS} K_{SS}^{-1} k_{Si}$, which reaches every part of the data, a twin never, and
    an outlier no more often than its share. Takes n x count numbers of memory. Fewer rows come back where
    the rest is explained up to rounding.

    Randomly pivoted Cholesky, drawn in blocks with rejection: Chen et al. 2025, doi:10.1002/cpa.22234; Epperly et
    al. 2024, arXiv:2410.03969.
    """
    generator = torch.Generator().manual_seed(seed)
    variance = kernel.diagonal(placed)
    left, reach = variance.clone(), variance.new_zeros(count, len(variance))
    rounding = 100 * torch.finfo(variance.dtype).eps * variance
    chosen: list[int] = []
    while len(chosen) < count and bool((left > rounding).any()):
        odds = torch.where(left > rounding, left, 0.0)
        proposed = torch.multinomial(
            odds.double().cpu(), BLOCK, replacement=True, generator=generator
        ).unique_consecutive()
        at = proposed.to(left.device)
        known = reach[: len(chosen)]
        cross = kernel.covariance(kernel.squares(_rows(placed, at), placed)) - known[:, at].mT @ known
        cross[torch.arange(len(at)), at] = left[at]
        kept, factor = _accept(cross[:, at].double().cpu(), generator, count - len(chosen))
        if kept:
            block = torch.linalg.solve_triangular(factor.to(cross), cross[kept], upper=False)
            reach[len(chosen) : len(chosen) + len(kept)] = block
            left = (left - block.square().sum(0)).clamp_min(0)
            left[at[kept]] = 0.0
            chosen += proposed[kept].tolist()
    return torch.tensor(chosen, dtype=torch.long)


def _accept(covariance: Tensor, generator: torch.Generator, most: int) -> tuple[list[int], Tensor]:
    """Proposals kept one by one, each by the share of its variance that those before leave; and their factor."""
    odds = torch.rand(len(covariance), generator=generator, dtype=covariance.dtype)
    before, rest = covariance.diagonal().clone(), covariance.clone()
    kept: list[int] = []
    columns: list[Tensor] = []
    for i in range(len(rest)):
        # What is left of a twin is rounding.
        if len(kept) < most and rest[i, i] > 1e-3 * before[i] and rest[i, i] > odds[i] * before[i]:
            column = rest[:, i] / rest[i, i].sqrt()
            rest = rest - torch.outer(column, column)
            kept.append(i)
            columns.append(column)
    factor = torch.stack(columns, dim=1)[kept].tril() if kept else covariance[:0, :0]
    return kept, factor


@dataclass(frozen=True)
class Basis:
    r"""Features $\phi(x) = L^{-1} k(Z, x)$ of chosen rows Z, $L L^T = K_{ZZ}$: $\phi \cdot \phi' \approx k(x, x')$.

    Attributes:
        kernel: compares rows.
        placed: Z.
        whiten: $L^{-T}$ (m x m).
    """

    kernel: ViewKernel
    placed: list[Placed]
    whiten: Tensor

    @staticmethod
    def of(kernel: ViewKernel, Z: Tensor, jitter: float, dtype: torch.dtype) -> Basis:
        """The features of rows Z (m x d), `jitter` in units of the prior variance added to each."""
        placed = kernel.place(Z)
        K = kernel.covariance(kernel.squares(placed, placed))
        K.diagonal().copy_(kernel.diagonal(placed) * (1 + jitter))
        factor = torch.linalg.cholesky(K)
        eye = torch.eye(len(K), dtype=K.dtype, device=K.device)
        whiten = torch.linalg.solve_triangular(factor, eye, upper=False).mT.contiguous()
        return Basis(kernel, cast(placed, dtype), whiten.to(dtype))

    def features(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Features of rows (n x d) as n x m, and the prior variance that they leave out (n)."""
        dtype = self.whiten.dtype
        placed = self.kernel.place(x)
        cross = self.kernel.covariance(self.kernel.squares(cast(placed, dtype), self.placed))
        phi = cross @ self.whiten
        return phi, (self.kernel.diagonal(placed) - phi.double().square().sum(-1)).clamp_min(0)


def cast(placed: list[Placed], dtype: torch.dtype) -> list[Placed]:
    """Placed rows in another precision, their squared norms those of the rounded rows."""
    parts = [part.to(dtype) for part, _ in placed]
    return [(part, part.square().sum(-1)) for part in parts]


def _rows(placed: list[Placed], at: Tensor) -> list[Placed]:
    return [(part[at], square[at]) for part, square in placed]
