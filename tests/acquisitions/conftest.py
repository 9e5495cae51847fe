"""Joint Gaussians written out: posteriors of a process over points of a square, whose kernel is known."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch

from mfmat.choosing import Terms
from mfmat.learner import FittedModel
from mfmat.prospects import Known, Prospects
from mfmat.purse import Purse


class Square(FittedModel):
    """A process over random points of a square, the last of them measured in the only source."""

    def __init__(self, seed: int, *, n: int = 100, measured: int = 8, noise: float = 0.0, scale: float = 0.25) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(seed)
        self.points = torch.rand(n + measured, 2, dtype=torch.double, generator=generator)
        K = (-0.5 * torch.cdist(self.points, self.points).square() / scale**2).exp() + 1e-8 * torch.eye(n + measured)
        normals = torch.randn(n + 2 * measured, dtype=torch.double, generator=generator)
        self.truth = torch.linalg.cholesky(K) @ normals[: n + measured]
        self.Y = self.truth[n:] + math.sqrt(noise) * normals[n + measured :]
        weights = torch.linalg.solve(K[n:, n:] + noise * torch.eye(measured), K[n:])
        self.means, self.C, self.n, self.spread = weights.T @ self.Y, K - K[:, n:] @ weights, n, noise
        self.jitter, self.facts = 1e-10, {"sources": ["measured"], "width": 1}

    def scaled(self, unit: float) -> Square:
        """The same in another unit."""
        self.means, self.Y, self.C = unit * self.means, unit * self.Y, unit**2 * self.C
        self.spread, self.jitter = unit**2 * self.spread, unit**2 * self.jitter
        return self

    def joint(self, X: torch.Tensor, observed: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        at = X[..., 0].long()
        block = self.C[at[..., :, None], at[..., None, :]]
        return self.means[at], block + torch.diag_embed(self.noise(X) * observed + self.jitter)

    def noise(self, X: torch.Tensor) -> torch.Tensor:
        return torch.full(X.shape[:-1], self.spread, dtype=torch.double)

    def rows(self, *, measured: bool = False) -> torch.Tensor:
        """The open points, or the measured ones, as rows."""
        numbers = torch.arange(len(self.points)).double()
        numbers = numbers[self.n :] if measured else numbers[: self.n]
        return torch.stack([numbers, torch.zeros_like(numbers)], dim=1)

    def prospects(self, seed: int = 0, **options: object) -> Prospects:
        """What is believed of the open points."""
        known = Known(self.rows(measured=True), ("y",))
        return Prospects(self, self.rows(), sorted(self.Y.tolist()), seed, **{"known": known, **options})

    def terms(self) -> Terms:
        """Every open point once, all at one price."""
        one = torch.ones(self.n, 1, dtype=torch.double)
        purse = Purse(left=torch.tensor([math.inf]).double(), rates=one[0], setup=0 * one[:1])
        return Terms(one.unsqueeze(-1), one.bool(), purse)

    def draws(self, n: int, seed: int = 99) -> torch.Tensor:
        """Joint draws of the noise-free values of all points (points x n)."""
        root = torch.linalg.cholesky(self.C + 1e-8 * torch.eye(len(self.C)))
        normals = torch.randn(len(self.C), n, dtype=torch.double, generator=torch.Generator().manual_seed(seed))
        return self.means[:, None] + root @ normals


@pytest.fixture(scope="session")
def square() -> Callable[..., Square]:
    """Makes a `Square`."""
    return Square
