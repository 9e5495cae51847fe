"""What many rows say through the features of a few."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from mfmat.experts.inducing import Basis
from mfmat.experts.process import NOISE_FLOOR, GPModel
from mfmat.posteriors import root
from mfmat.progress import track

CHUNK = 256
"""Rows compared with the inducing rows at a time: the result stays near the processor."""


@dataclass(frozen=True)
class Measured:
    """Rows as the process sees them, in standardised units.

    Attributes:
        x: n x d.
        y: n.
        extra: n, variance known of each row.
        learned: n, 1 where learned noise comes on top, else 0.
        source: n.
        trend: n x k, see `Data.trend`.
    """

    x: Tensor
    y: Tensor
    extra: Tensor
    learned: Tensor
    source: Tensor
    trend: Tensor

    @staticmethod
    def of(exact: GPModel, trend: Tensor | None) -> Measured:
        """The rows that an exact process holds."""
        X = exact.train_X
        s = X[:, -1].round().long()
        H = torch.zeros(len(X), 0).to(X) if trend is None else trend / exact.scale[s, None]
        return Measured(X[:, :-1], exact.residuals, exact.extra + NOISE_FLOOR, (~exact.known).to(X), s, H)

    def take(self, rows: Tensor | slice) -> Measured:
        """The rows at these positions."""
        return replace(self, **{name: getattr(self, name)[rows] for name in self.__dataclass_fields__})

    def to(self, device: torch.device) -> Measured:
        """The rows on a device."""
        return replace(self, **{name: getattr(self, name).to(device) for name in self.__dataclass_fields__})

    def noise(self, log_noise: Tensor, level: Tensor | float = 0.0) -> Tensor:
        """Variance of each row's measurement (n), from the learned noise of each source and the level there."""
        return self.extra + self.learned * (log_noise[self.source] + level).exp()


@dataclass(frozen=True)
class Told:
    r"""What all rows say of u: $B = I + V \Lambda V^T$ and $E u = B^{-1} \Phi^T D^{-1} y$.

    Attributes:
        rows: n.
        values: $\Lambda$ (m), ascending.
        vectors: V (m x m).
        mean: E u (m).
    """

    rows: int
    values: Tensor
    vectors: Tensor
    mean: Tensor

    def root(self, loss: float) -> Tensor:
        """R (m x r) with R R^T = I - B^-1, but for directions that explain `loss` of the mean predicted variance."""
        share = self.values / (1 + self.values)
        # Weighted by the rows' precision, the mean square of the features along a direction is its value.
        explained = (self.values * share).cumsum(0) / (self.rows + share.sum())
        kept = explained > loss
        return (self.vectors[:, kept] * share[kept].sqrt()).flip(1)

    def left_out(self, basis: Basis, rows: Measured, log_noise: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Features of some of the rows; error of each when left out, its variance, and the noise in that."""
        phi, left = basis.features(rows.x)
        D = rows.noise(log_noise) + left
        wide = phi.double()
        leverage = ((wide @ self.vectors).square() / (1 + self.values)).sum(-1) / D
        return phi, (rows.y - wide @ self.mean) / (1 - leverage), D / (1 - leverage), rows.noise(log_noise) - rows.extra


def gather(basis: Basis, rows: Measured, log_noise: Tensor, gamma: Tensor) -> Told:
    r"""$\Phi^T D^{-1} \Phi$ and $\Phi^T D^{-1} y$ of all rows, a chunk at a time."""
    m, device = len(basis.whiten), basis.whiten.device
    precision, pull = torch.zeros(m, m, device=device).double(), torch.zeros(m, device=device).double()
    chunk = CHUNK if device.type == "cpu" else 32 * CHUNK
    for start in track(range(0, len(rows.y), chunk), "taking in rows"):
        part = rows.take(slice(start, start + chunk)).to(device)
        phi, left = basis.features(part.x)
        weighed = phi / (part.noise(log_noise, phi.double() @ gamma) + left).to(phi)[:, None]
        precision += weighed.mT @ phi
        pull += (weighed.mT @ part.y.to(phi)).double()
    values, vectors = torch.linalg.eigh((precision + precision.mT) / 2)
    values = values.clamp_min(0)
    return Told(len(rows.y), values, vectors, vectors @ ((vectors.mT @ pull) / (1 + values)))


def evidence(phi: Tensor, D: Tensor, y: Tensor) -> Tensor:
    r"""The negative log density of y (n) under $N(0, \Phi\Phi^T + D)$, of features (m x n), up to a constant."""
    weighed = phi / D
    factor = root(weighed @ phi.mT + torch.eye(len(phi), dtype=phi.dtype, device=phi.device))
    told = torch.linalg.solve_triangular(factor, (weighed @ y)[:, None], upper=False)
    loss: Tensor = 0.5 * ((y * y / D).sum() - told.square().sum() + D.log().sum()) + factor.diagonal().log().sum()
    return loss
