"""The rows that a multi-task process is conditioned on: all of them exactly, or through some that stand for all."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from mfmat.posteriors import root
from mfmat.stacks.coregion import Coregion, Seated
from mfmat.types import Codes

CHUNK = 2048
"""Rows compared at a time."""
JITTER = 1e-6
"""Added to the variance of rows that stand for others, in units of it."""


@dataclass(frozen=True)
class Told:
    r"""What the held rows tell of N others: $\Sigma' = \Sigma - A^T A + B^T B - [x \sim x'] v v^T$.

    Attributes:
        mean: N, standardised.
        less: A (k x N).
        more: B (j x N).
        own: v (N), of the part that is a material's own.
    """

    mean: Tensor
    less: Tensor
    more: Tensor
    own: Tensor


@dataclass(frozen=True)
class Exact:
    """All rows: the Cholesky factor of their covariance, and their weights."""

    kernels: Coregion
    rows: Seated
    factor: Tensor
    weights: Tensor

    @staticmethod
    def of(kernels: Coregion, X: Tensor, y: Tensor, noise: Tensor) -> Exact:
        """The process given rows (n x (d+1)), values and noise (n each)."""
        rows = kernels.seat(X)
        factor = root(kernels(rows, rows) + torch.diag(noise))
        return Exact(kernels, rows, factor, torch.cholesky_solve(y[:, None], factor)[:, 0])

    def tell(self, flat: Seated) -> Told:
        """What is known of N seated rows."""
        cross = self.kernels(flat, self.rows)
        less = torch.linalg.solve_triangular(self.factor, cross.mT, upper=False)
        return Told(cross @ self.weights, less, less[:0], cross.new_zeros(len(cross)))

    def solve(self, B: Tensor) -> Tensor:
        """The inverse covariance of the rows, applied to B (n x k)."""
        return torch.cholesky_solve(B, self.factor)


@dataclass(frozen=True)
class Sparse:
    r"""M inducing rows Z stand for n: $f \approx K_{xZ} K_{ZZ}^{-1} f_Z$, with what is a material's own kept exactly.

    A row is $f_s(x) + u_s \xi + \epsilon$, $\xi$ of its material. With $\Lambda$ the covariance of
    $u_s \xi + \epsilon$, one block for each material, and whitened features $V = L^{-1} K_{Zn}$, $L L^T = K_{ZZ}$,
    the posterior of f has the precision $I + V \Lambda^{-1} V^T$ (Titsias 2009, https://proceedings.mlr.press/v5/titsias09a),
    and $\xi$ follows from what f leaves of its material's values: cost n M^2.

    Attributes:
        kernels: of the process.
        Z: the inducing rows.
        factor: L.
        inner: the Cholesky factor of that precision.
        weights: its inverse times $V \Lambda^{-1} y$ (M).
        X: n x (d+1), ordered by material.
        order: where those rows were.
        keys: their materials, in order.
        pull: $u_s / \sigma^2$ of each.
        heavy: $1 + \sum u_s^2 / \sigma^2$ over its material.
        precision: $1 / \sigma^2$.
        y: their values.
    """

    kernels: Coregion
    Z: Seated
    factor: Tensor
    inner: Tensor
    weights: Tensor
    X: Tensor
    order: Codes
    keys: Codes
    pull: Tensor
    heavy: Tensor
    precision: Tensor
    y: Tensor

    @staticmethod
    def of(kernels: Coregion, X: Tensor, y: Tensor, noise: Tensor, inducing: Codes) -> Sparse:
        """The process given rows (n x (d+1)), values and noise (n each), through those at `inducing`."""
        keys, order = torch.sort(kernels.seat(X).keys)
        Z = kernels.seat(X[inducing])
        K = kernels.smooth(Z, Z)
        factor = root(K + torch.diag(JITTER * K.diagonal()))
        X, y, precision = X[order], y[order], 1 / noise[order]
        pull = kernels.shared[X[:, -1].long()] * precision
        twins = keys.unique_consecutive(return_inverse=True)[1]
        sums = torch.zeros(len(keys)).to(y).index_add(0, twins, pull * kernels.shared[X[:, -1].long()])
        eye = torch.eye(len(inducing)).to(factor)
        half = Sparse(kernels, Z, factor, eye, eye[0], X, order, keys, pull, 1 + sums[twins], precision, y)
        weighed = half.weigh(y[:, None])
        inner, told = eye.clone(), torch.zeros(len(eye), 1).to(eye)
        for at in half.chunks():
            V = half.features(X[at])
            inner += V @ half.weigh(V.mT, at)
            told += V @ weighed[at]
        inner = root(inner)
        weights = torch.cholesky_solve(told, inner)[:, 0]
        return Sparse(kernels, Z, factor, inner, weights, *(getattr(half, name) for name in LISTS))

    def features(self, X: Tensor) -> Tensor:
        """V of rows (n x (d+1) to M x n)."""
        cross = self.kernels.smooth(self.Z, self.kernels.seat(X))
        whitened: Tensor = torch.linalg.solve_triangular(self.factor, cross, upper=False)
        return whitened

    def chunks(self) -> Iterator[slice]:
        """Parts of the rows that hold each material whole."""
        ends = (self.keys.diff() != 0).nonzero().flatten() + 1
        start, n = 0, len(self.keys)
        while start < n:
            later = ends[ends >= start + CHUNK]
            end = int(later[0]) if len(later) else n
            yield slice(start, end)
            start = end

    def weigh(self, B: Tensor, at: slice = slice(None)) -> Tensor:
        r"""$\Lambda^{-1} B$ of these rows (n x k), by Sherman and Morrison's formula in each material."""
        twins = self.keys[at].unique_consecutive(return_inverse=True)[1]
        pull = self.pull[at, None]
        sums = torch.zeros_like(B).index_add(0, twins, pull * B)
        weighed: Tensor = self.precision[at, None] * B - pull / self.heavy[at, None] * sums[twins]
        return weighed

    def tell(self, flat: Seated) -> Told:
        """What is known of N seated rows."""
        less = torch.linalg.solve_triangular(self.factor, self.kernels.smooth(self.Z, flat), upper=False)
        shared = self.kernels.shared[flat.source]
        here, there = self._twins(flat.keys)
        # What of a measured value its own material explains, and no other.
        share = shared[here] * self.pull[there] / self.heavy[there]
        features = less.index_add(1, here, -share * self.features(self.X[there]))
        mean = features.mT @ self.weights + torch.zeros_like(shared).index_add(0, here, share * self.y[there])
        heavy = torch.ones_like(shared).index_copy(0, here, self.heavy[there])
        own = shared * (1 - 1 / heavy).sqrt()
        return Told(mean, less, torch.linalg.solve_triangular(self.inner, features, upper=False), own)

    def solve(self, B: Tensor) -> Tensor:
        """The inverse covariance of the rows, applied to B (n x k)."""
        weighed = self.weigh(B[self.order])
        told = torch.zeros(len(self.weights), B.shape[1]).to(B)
        for at in self.chunks():
            told += self.features(self.X[at]) @ weighed[at]
        inward = torch.cholesky_solve(told, self.inner)
        solved = torch.empty_like(B)
        for at in self.chunks():
            solved[self.order[at]] = weighed[at] - self.weigh(self.features(self.X[at]).mT, at) @ inward
        return solved

    def _twins(self, keys: Tensor) -> tuple[Tensor, Tensor]:
        """Pairs of a row with one of these keys and a held row of its material (positions of both)."""
        first, last = torch.searchsorted(self.keys, keys), torch.searchsorted(self.keys, keys, right=True)
        counts = last - first
        here = torch.repeat_interleave(torch.arange(len(keys)), counts)
        before = torch.repeat_interleave(counts.cumsum(0) - counts, counts)
        return here, first[here] + torch.arange(len(here)) - before


LISTS = ("X", "order", "keys", "pull", "heavy", "precision", "y")
"""What a `Sparse` keeps of every row."""
