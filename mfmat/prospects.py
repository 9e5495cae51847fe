"""What a model says of every pair of a pool, and goes on saying while pairs are asked and not yet told."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from copy import copy
from dataclasses import dataclass, field

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
EXPLAINED = 1e-4
"""Share of a value's variance that the others leave, below which it is taken for what they say of it."""


@dataclass(frozen=True)
class Known:
    """What was measured in the target.

    Attributes:
        X: rows of which every value was measured (k x (d+1)).
        names: of the values.
    """

    X: Tensor = field(repr=False)
    names: tuple[str, ...]


class Prospects:
    r"""Moments of the pool: for each of n candidates the target's, for each pair (n x m) what measuring it would teach.

    `believe` takes in a pair that is asked and not yet told, at its expected value: means stay as they are (`imagine`
    says what they may become), and each pair adds one column $c$ to the Cholesky factor of the asked measurements,
    which takes $c c^T$ off every covariance.
    So k pairs cost k passes over the pool, and no pass more than the first.

    Args:
        model: fitted; its `joint` is asked.
        candidates: n x (d+1), at the target.
        measured_means: the target's means wherever it was measured, in order of size; empty where nothing was: those
            of the pool stand in.
        seed: of whatever an acquisition draws.
        reference: further candidates, after the others, that stand for the whole pool where these are a part of it
            (r x (d+1)); n counts them, too.
        known: what was measured in the target, for acquisitions that look at more than the best of it.
        others: prospects of the same candidates in further values that the same measurement gives.
        prices: of each pair, those of the reference left out; None: they are not known.

    Attributes:
        mean, variance: of the target's noise-free value at each candidate (n).
        measured: variance of a measurement of each pair (n x m).
        shared: its covariance with the target's value of the same candidate (n x m).
        asked: rows believed so far (k x (d+1)).
        prices: of each pair (n x m), those of the reference on average; None: they are not known.
    """

    def __init__(
        self,
        model: FittedModel,
        candidates: Tensor,
        measured_means: Sequence[float],
        seed: int = 0,
        reference: Tensor | None = None,
        *,
        known: Known | None = None,
        others: Sequence[Prospects] = (),
        prices: Tensor | None = None,
    ) -> None:
        self._sampled = None if reference is None else torch.arange(len(reference)) + len(candidates)
        candidates = candidates if reference is None else torch.cat([candidates, reference])
        self.model, self.candidates, self.seed = model, candidates, seed
        self.sources = len(model.facts["sources"])
        means, covariances = self._ask(None, lambda mean, C: (mean[:, 0], C))
        self.mean = means
        self.variance, self.shared = covariances[:, 0, 0], covariances[:, 0, 1:]
        self.measured = covariances.diagonal(dim1=-2, dim2=-1)[:, 1:]
        self.asked, self.known, self.others = candidates[:0], known, tuple(others)
        self._observed = torch.zeros(0, dtype=torch.bool)
        self._factor = candidates.new_zeros(0, 0)
        self._columns = candidates.new_zeros(len(candidates), self.sources + 1, 0)
        self._kept: dict[tuple[int, ...], list[Tensor]] = {}
        self._measured_means = tuple(measured_means)
        self.prices = prices
        if prices is not None and reference is not None:
            self.prices = torch.cat([prices, prices.mean(dim=0).expand(len(reference), -1)])

    @property
    def moved(self) -> Tensor:
        r"""Variance of the target's mean after measuring each pair, $Cov(f_T, y_s)^2 / Var(y_s)$ (n x m)."""
        return self.shared.square() / self.measured

    @property
    def tells(self) -> Tensor:
        """The share of the target's variance that each pair would take away at its own candidate (n x m)."""
        return self.moved / self.variance.clamp_min(1e-300)[:, None]

    @property
    def stands_in(self) -> Tensor:
        """How far each pair stands in for one in the target: what it tells of its own candidate, of what that would.

        Between 0 and 1 (n x m). The target's noise, which all candidates share, is no reason to prefer one of them.
        """
        tells = self.tells
        return torch.where(tells > 1e-9, (tells / tells[:, -1:].clamp_min(1e-300)).clamp(0, 1), 0.0)

    @property
    def objectives(self) -> tuple[Prospects, ...]:
        """These prospects and those of the further values."""
        return self, *self.others

    def best(self, maximize: bool, share: float = 0.0) -> float:
        """The best mean of what was measured in the target, never in a cheaper source; the last of the best share."""
        if not self._measured_means:
            return float(self.mean.max() if maximize else self.mean.min())
        place = max(1, math.ceil(share * len(self._measured_means)))
        return self._measured_means[-place if maximize else place - 1]

    def believe(self, row: Tensor) -> None:
        """Take in one asked row (d+1), which need not be of the pool, as if it had come out as expected."""
        for each in self.objectives:
            each._believe(row)

    def knowing(self, rows: Tensor) -> Prospects:
        """What would be left to learn if the target's noise-free values at these rows (k x (d+1)) were known.

        A row of which the others leave too little open to compute with (`EXPLAINED`) adds nothing.
        """
        asked = len(self.asked)
        every = torch.cat([self.asked, rows])
        observed = torch.cat([self._observed, torch.zeros(len(rows), dtype=torch.bool)])
        with torch.no_grad():
            _, among = self.model.joint(every, observed)
        reach = torch.linalg.solve_triangular(self._factor, among[:asked, asked:], upper=False)
        kept, factor = _independent(among[asked:, asked:] - reach.mT @ reach, among.diagonal()[asked:])
        reach, chosen = reach[:, kept], asked + kept
        # A measurement of the target has the covariances of its noise-free value.
        pairs = torch.cat([each.mT for each in self._across(rows[kept])]).reshape(*self.measured.shape, len(kept))
        block = torch.cat([pairs[:, -1:], pairs], dim=1) - self._columns @ reach
        columns = torch.linalg.solve_triangular(factor, block.flatten(0, 1).mT, upper=False).mT.reshape(block.shape)
        inner = copy(self)
        inner.variance = self.variance - columns[:, 0].square().sum(-1)
        inner.shared = self.shared - (columns[:, :1] * columns[:, 1:]).sum(-1)
        inner.measured = self.measured - columns[:, 1:].square().sum(-1)
        inner.variance = inner.variance.clamp_min(1e-12 * self.variance)
        inner.measured = inner.measured.clamp_min(1e-12 * self.measured)
        inner._columns = torch.cat([self._columns, columns], dim=-1)
        upper = torch.cat([self._factor, reach.new_zeros(asked, len(kept))], dim=1)
        inner._factor = torch.cat([upper, torch.cat([reach.mT, factor], dim=1)])
        inner.asked = torch.cat([self.asked, every[chosen]])
        inner._observed = torch.cat([self._observed, observed[chosen]])
        return inner

    def imagine(self, rows: Tensor, normals: Tensor) -> tuple[Tensor, Tensor]:
        """The target's means at each candidate (n x s) and at k rows (k x s), had all that is asked come out so.

        Args:
            rows: at the target (k x (d+1)).
            normals: independent standard normal outcomes, one for each row asked, by the Cholesky factor (asked x s).
        """
        if not len(rows):
            return self.mean[:, None] + self._columns[:, 0] @ normals, normals.new_zeros(0, normals.shape[1])
        observed = torch.cat([torch.zeros(len(rows), dtype=torch.bool), self._observed])
        with torch.no_grad():
            mean, C = self.model.joint(torch.cat([rows, self.asked]), observed)
        columns = torch.linalg.solve_triangular(self._factor, C[len(rows) :, : len(rows)], upper=False)
        return self.mean[:, None] + self._columns[:, 0] @ normals, mean[: len(rows), None] + columns.mT @ normals

    def _believe(self, row: Tensor) -> None:
        asked, observed = torch.cat([self.asked, row[None]]), torch.cat([self._observed, torch.tensor([True])])
        with torch.no_grad():
            _, among = self.model.joint(asked, observed)
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
        self._factor, self.asked, self._observed = torch.cat([wider, below[None]]), asked, observed

    def across(self, reference: Codes) -> Iterator[Tensor]:
        """Covariance of the target's value at r candidates with measurements, in blocks of pairs (r x some of n m).

        The pairs follow each other candidate by candidate, each in every source.
        """
        key = tuple(reference.tolist())
        if key not in self._kept and len(reference) * self.measured.numel() <= KEPT:
            self._kept[key] = list(self._across(self.candidates[reference]))
        blocks = self._kept.get(key) or self._across(self.candidates[reference])
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

    def _across(self, rows: Tensor) -> Iterator[Tensor]:
        """Covariance of the target's value at r rows with measurements, before anything is believed."""
        every = at_every_source(self.candidates, self.sources).flatten(0, 1)
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


def moments_at(model: FittedModel, rows: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and variance of the noise-free value of each of k rows (k x (d+1)), before anything is believed."""
    blocks = []
    for chunk in rows.unsqueeze(1).split(CHUNK):
        with torch.no_grad():
            blocks.append(model.joint(chunk, torch.tensor([False])))
    return torch.cat([mean[:, 0] for mean, _ in blocks]), torch.cat([C[:, 0, 0] for _, C in blocks])


def at_every_source(X: Tensor, sources: int) -> Rows:
    """Each row (n x (d+1)) at each fidelity (n x m x (d+1))."""
    return torch.stack([at_fidelity(X, fidelity) for fidelity in range(sources)], dim=1)


def _independent(C: Tensor, variance: Tensor) -> tuple[Codes, Tensor]:
    """The rows of a covariance that those before leave something open of, and the Cholesky factor of these."""
    kept: list[int] = []
    factor = C.new_zeros(0, 0)
    for i in range(len(C)):
        reach = torch.linalg.solve_triangular(factor, C[kept, i][:, None], upper=False)[:, 0]
        left = C[i, i] - reach.square().sum()
        if left > EXPLAINED * variance[i]:
            wider = torch.cat([factor, factor.new_zeros(len(kept), 1)], dim=1)
            factor = torch.cat([wider, torch.cat([reach, left.sqrt()[None]])[None]])
            kept.append(i)
    return torch.tensor(kept, dtype=torch.long), factor


def log(x: Tensor) -> Tensor:
    """The logarithm, minus infinity where there is nothing or less."""
    return torch.where(x > 0, x.clamp_min(1e-300).log(), -math.inf)
