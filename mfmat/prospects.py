"""What a model says of every pair of a pool, and goes on saying while pairs are asked and not yet told."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping

import numpy as np
import torch
from torch import Tensor

from mfmat.data import at_fidelity
from mfmat.learner import FittedModel
from mfmat.posteriors import root
from mfmat.types import Codes, Rows

CHUNK = 1024
"""Candidates asked at a time."""
PAIRS = 256
"""Pairs asked at a time together with the reference."""
KEPT = 2**26
"""Covariances of pairs with the reference that are kept (512 MB); of larger pools they are computed anew."""


class Prospects:
    r"""Moments of the pool: for each of n candidates the target's, for each pair (n x m) what measuring it would teach.

    `believe` takes in a pair that is asked and not yet told, at its expected value: means stay as they are, and each
    pair adds one column $c$ to the Cholesky factor of the asked measurements, which takes $c c^T$ off every covariance.
    So k pairs cost k passes over the pool, and no pass more than the first.

    Args:
        model: fitted; its `joint` is asked.
        candidates: n x (d+1), at the target.
        best: the best means of what was measured in the target, by `"max"` and `"min"`; None where nothing was: the
            best that is expected in the pool stands in.
        seed: of whatever an acquisition draws.
        reference: further candidates, after the others, that stand for the whole pool where these are a part of it
            (r x (d+1)); n counts them, too.

    Attributes:
        mean, variance: of the target's noise-free value at each candidate (n).
        measured: variance of a measurement of each pair (n x m).
        shared: its covariance with the target's value of the same candidate (n x m).
        asked: rows believed so far (k x (d+1)).
    """

    def __init__(
        self,
        model: FittedModel,
        candidates: Tensor,
        best: Mapping[str, float] | None,
        seed: int = 0,
        reference: Tensor | None = None,
    ) -> None:
        self._sampled = None if reference is None else torch.arange(len(reference)) + len(candidates)
        candidates = candidates if reference is None else torch.cat([candidates, reference])
        self.model, self.candidates, self.seed = model, candidates, seed
        self.sources = len(model.facts["sources"])
        means, covariances = self._ask(None, lambda mean, C: (mean[:, 0], C))
        self.mean = means
        self.variance, self.shared = covariances[:, 0, 0], covariances[:, 0, 1:]
        self.measured = covariances.diagonal(dim1=-2, dim2=-1)[:, 1:]
        self.asked = candidates[:0]
        self._factor = candidates.new_zeros(0, 0)
        self._columns = candidates.new_zeros(len(candidates), self.sources + 1, 0)
        self._kept: dict[tuple[int, ...], list[Tensor]] = {}
        self._best = best

    @property
    def moved(self) -> Tensor:
        r"""Variance of the target's mean after measuring each pair, $Cov(f_T, y_s)^2 / Var(y_s)$ (n x m)."""
        return self.shared.square() / self.measured

    @property
    def tells(self) -> Tensor:
        """The share of the target's variance that each pair would take away at its own candidate (n x m)."""
        return self.moved / self.variance.clamp_min(1e-300)[:, None]

    def best(self, maximize: bool) -> float:
        """The best mean of what was measured in the target, never in a cheaper source."""
        if self._best is not None:
            return self._best["max" if maximize else "min"]
        return float(self.mean.max() if maximize else self.mean.min())

    def believe(self, row: Tensor) -> None:
        """Take in one asked row (d+1), which need not be of the pool, as if it had come out as expected."""
        asked = torch.cat([self.asked, row[None]])
        with torch.no_grad():
            _, among = self.model.joint(asked, torch.ones(len(asked), dtype=torch.bool))
        reach = torch.linalg.solve_triangular(self._factor, among[:-1, -1:], upper=False)[:, 0]
        # A repeat of what is known exactly adds nothing; rounding must not make it negative.
        pivot = (among[-1, -1] - reach.square().sum()).clamp_min(1e-12 * among[-1, -1]).sqrt()
        _, column = self._ask(row, lambda mean, C: (mean[:, 0], C[:, :-1, -1]))
        column = (column - self._columns @ reach) / pivot
        self.variance = (self.variance - column[:, 0].square()).clamp_min(1e-12 * self.variance)
        self.shared = self.shared - column[:, :1] * column[:, 1:]
        self.measured = (self.measured - column[:, 1:].square()).clamp_min(1e-12 * self.measured)
        self._columns = torch.cat([self._columns, column.unsqueeze(-1)], dim=-1)
        below = torch.cat([reach, pivot[None]])
        wider = torch.cat([self._factor, self._factor.new_zeros(len(reach), 1)], dim=1)
        self._factor, self.asked = torch.cat([wider, below[None]]), asked

    def across(self, reference: Codes) -> Iterator[Tensor]:
        """Covariance of the target's value at r candidates with measurements, in blocks of pairs (r x some of n m).

        The pairs follow each other candidate by candidate, each in every source.
        """
        key = tuple(reference.tolist())
        if key not in self._kept and len(reference) * self.measured.numel() <= KEPT:
            self._kept[key] = list(self._across(reference))
        blocks = self._kept.get(key) or self._across(reference)
        mine = self._columns[reference, 0]
        theirs = self._columns[:, 1:].flatten(0, 1).split(PAIRS)
        for block, other in zip(blocks, theirs, strict=True):
            yield block - mine @ other.mT

    def sample(self, n: int) -> Codes:
        """At most n candidates that stand for the whole pool."""
        if self._sampled is not None:
            return self._sampled
        # Of a pool that comes in chunks the same candidates are the smallest, whatever the chunks.
        order = np.argsort(np.random.default_rng(self.seed).random(len(self.mean)))
        return torch.from_numpy(order[:n])

    def promising(self, n: int, maximize: bool) -> Codes:
        """The n candidates that may well be the best: the highest (lowest) by mean and two standard deviations."""
        sign = 1.0 if maximize else -1.0
        reach = sign * self.mean + 2 * self.variance.sqrt()
        return reach.argsort(descending=True)[:n]

    def draw(self, rows: Codes, n: int, seed: int) -> Tensor:
        """Draws of the target's noise-free values at r candidates, together (r x n)."""
        generator = torch.Generator().manual_seed(seed)
        with torch.no_grad():
            _, covariance = self.model.joint(self.candidates[rows], torch.zeros(len(rows), dtype=torch.bool))
        columns = self._columns[rows, 0]
        normals = torch.randn(len(rows), n, dtype=self.mean.dtype, generator=generator)
        return self.mean[rows, None] + root(covariance - columns @ columns.mT) @ normals

    def _across(self, reference: Codes) -> Iterator[Tensor]:
        every = at_every_source(self.candidates, self.sources).flatten(0, 1)
        rows = self.candidates[reference]
        for pairs in every.split(PAIRS):
            observed = torch.arange(len(pairs) + len(rows)) < len(pairs)
            with torch.no_grad():
                _, covariance = self.model.joint(torch.cat([pairs, rows]), observed)
            yield covariance[len(pairs) :, : len(pairs)]

    def _ask(
        self, row: Tensor | None, take: Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]
    ) -> tuple[Tensor, Tensor]:
        """What `take` leaves of mean and covariance of each candidate's value, its measurements, and one more row."""
        taken = []
        observed = torch.tensor([False] + [True] * (self.sources + (row is not None)))
        for chunk in self.candidates.split(CHUNK):
            block = torch.cat([chunk.unsqueeze(1), at_every_source(chunk, self.sources)], dim=1)
            if row is not None:
                block = torch.cat([block, row.expand(len(block), 1, -1)], dim=1)
            with torch.no_grad():
                taken.append(take(*self.model.joint(block, observed)))
        return torch.cat([mean for mean, _ in taken]), torch.cat([rest for _, rest in taken])


def at_every_source(X: Tensor, sources: int) -> Rows:
    """Each row (n x (d+1)) at each fidelity (n x m x (d+1))."""
    return torch.stack([at_fidelity(X, fidelity) for fidelity in range(sources)], dim=1)


def log(x: Tensor) -> Tensor:
    """The logarithm, minus infinity where there is nothing or less."""
    return torch.where(x > 0, x.clamp_min(1e-300).log(), -math.inf)
