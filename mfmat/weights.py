"""Bayesian linear regression on given features: a Gaussian over their weights, in closed form."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from mfmat.descent import descend
from mfmat.posteriors import root
from mfmat.types import Codes

NOISE_FLOOR = 1e-6
"""Variance added to every row, in standardised units."""
BOUNDS = {"log_noise": (-14.0, 3.0), "log_precision": (-12.0, 16.0)}
"""Where a line search may look; the priors keep the optimum far inside."""


class Weights(torch.nn.Module):
    r"""The Gaussian $N(\mu, A^{-1})$ over the weights w of k features, from rows $y_i = \phi_i^T w + \epsilon_i$.

    A priori $w_j \sim N(0, 1/\alpha_{b(j)})$ with one precision for each block b of features, and
    $\epsilon_i \sim N(0, \sigma_{s(i)}^2 r_i + v_i)$: a noise learned for each source s, times a relative
    noise that is given, plus what is known of the row. Then $A = diag(\alpha) + \Phi^T D^{-1} \Phi$ and
    $\mu = A^{-1} \Phi^T D^{-1} y$. Precisions and noise maximise the evidence (`learn`) times the priors
    $\ln\alpha \sim N(0, 3^2)$ and $\ln\sigma^2 \sim N(-3, 1.5^2)$, for y and features in standardised units.

    Args:
        blocks: the number of features in each block.
        sources: m.

    MacKay 1992, doi:10.1162/neco.1992.4.3.415; Bishop 2006, ISBN 0387310738, section 3.5.
    """

    mean: Tensor
    reach: Tensor
    block: Tensor

    def __init__(self, blocks: Sequence[int], sources: int) -> None:
        super().__init__()
        k = sum(blocks)
        self.log_precision = torch.nn.Parameter(torch.zeros(len(blocks)).double())
        self.log_noise = torch.nn.Parameter(torch.full((sources,), -3.0).double())
        order = torch.repeat_interleave(torch.arange(len(blocks)), torch.tensor(blocks))
        self.register_buffer("block", order, persistent=False)
        self.register_buffer("mean", torch.zeros(k).double())
        self.register_buffer("reach", torch.eye(k).double())

    @property
    def noise(self) -> Tensor:
        """The learned variance of a measurement of each source (m)."""
        return NOISE_FLOOR + self.log_noise.exp()

    def learn(self, rows: Evidence, given: Evidence | None = None, steps: int = 100) -> None:
        r"""Precisions and noise that maximise $p(y)$, or $p(y | given)$ for rows kept apart from `given`.

        The second form does not reward features for having been fitted to the given rows (conditional
        evidence: Lotfi et al. 2022, arXiv:2202.11678).
        """
        parameters: dict[str, Tensor] = dict(self.named_parameters())
        every = rows if given is None else given.join(rows)

        def closure() -> tuple[Tensor, list[Tensor]]:
            loss, precision, noise = self._slopes(every)
            if given is not None:
                less = self._slopes(given)
                loss, precision, noise = loss - less[0], precision - less[1], noise - less[2]
            with torch.no_grad():
                loss = loss + 0.5 * ((self.log_noise + 3) / 1.5).square().sum()
                loss = loss + 0.5 * (self.log_precision / 3).square().sum()
                return loss, [precision + self.log_precision / 9, noise + (self.log_noise + 3) / 1.5**2]

        descend(closure, parameters, BOUNDS, steps)

    def _slopes(self, rows: Evidence) -> tuple[Tensor, Tensor, Tensor]:
        r"""`surprise`, and its slopes along the logarithms of the precisions and of the noise.

        $\frac12 [\alpha_b \sum_{j \in b} (\mu_j^2 + A^{-1}_{jj}) - k_b]$ for each block, and
        $\frac12 \sum_i d_i' [1 - (e_i^2 + \phi_i^T A^{-1} \phi_i) / d_i] / d_i$ for each source, with $e = y - \Phi\mu$
        and d the noise of a row. Written out, as a graph for derivatives takes several times as long.
        """
        if self._keeps_few(rows):
            loss = self.surprise(rows)
            precision, noise = torch.autograd.grad(loss, [self.log_precision, self.log_noise])
            return loss.detach(), precision, noise
        with torch.no_grad():
            moments, precision, noise = rows.moments(self), self.log_precision.exp(), self.noise
            gram = self._precision(moments.gram)
            factor, failed = torch.linalg.cholesky_ex(gram)
            factor = root(gram) if int(failed) else factor
            inverse = torch.cholesky_inverse(factor)
            mean = inverse @ moments.along
            size = factor.diagonal().log().sum() - 0.5 * self.log_precision[self.block].sum()
            loss = 0.5 * (moments.energy - moments.along @ mean + moments.volume) + size
            each = precision[self.block] * (mean.square() + inverse.diagonal()) - 1
            along = torch.zeros_like(precision).index_add(0, self.block, 0.5 * each)
            second = inverse + torch.outer(mean, mean)
            left = rows.energy - 2 * rows.along @ mean + (rows.gram * second).sum((1, 2))
            rate = (rows.count - left / noise) / noise
            if len(rows.y):
                single = rows.extra + rows.relative * noise[rows.source]
                off = rows.y.square() - 2 * rows.y * (rows.features @ mean)
                off = off + ((rows.features @ second) * rows.features).sum(1)
                rate = rate.index_add(0, rows.source, rows.relative * (1 - off / single) / single)
            return loss, along, 0.5 * self.log_noise.exp() * rate

    def condition(self, rows: Evidence) -> None:
        """Take in the rows: the posterior of the weights, at the precisions and the noise as they are."""
        with torch.no_grad():
            moments = rows.moments(self)
            factor = root(self._precision(moments.gram))
            unit = torch.eye(len(factor)).to(factor)
            self.reach.copy_(torch.linalg.solve_triangular(factor, unit, upper=False).mT)
            self.mean.copy_(self.reach @ (self.reach.mT @ moments.along))

    def _precision(self, gram: Tensor) -> Tensor:
        precision: Tensor = gram + torch.diag(self.log_precision.exp()[self.block])
        return precision

    def surprise(self, rows: Evidence) -> Tensor:
        """The negative log evidence of the rows."""
        if self._keeps_few(rows):
            return self._surprise_of_few(rows)
        moments = rows.moments(self)
        factor = root(self._precision(moments.gram))
        explained = torch.linalg.solve_triangular(factor, moments.along[:, None], upper=False).square().sum()
        size = factor.diagonal().log().sum() - 0.5 * self.log_precision[self.block].sum()
        total: Tensor = 0.5 * (moments.energy - explained + moments.volume) + size
        return total

    def _keeps_few(self, rows: Evidence) -> bool:
        return 0 < len(rows.y) < len(self.mean) and not bool(rows.count.any())

    def _surprise_of_few(self, rows: Evidence) -> Tensor:
        """The same for fewer rows than features, by their covariance (n x n)."""
        noise = rows.extra + rows.relative * self.noise[rows.source]
        spread = rows.features * (-self.log_precision).exp()[self.block]
        factor = root(spread @ rows.features.mT + torch.diag(noise))
        energy = torch.linalg.solve_triangular(factor, rows.y[:, None], upper=False).square().sum()
        total: Tensor = 0.5 * (energy + len(rows.y) * math.log(2 * math.pi)) + factor.diagonal().log().sum()
        return total


class Moments(NamedTuple):
    r"""What the posterior needs of rows with noise D."""

    gram: Tensor
    r"""$\Phi^T D^{-1} \Phi$."""
    along: Tensor
    r"""$\Phi^T D^{-1} y$."""
    energy: Tensor
    """$y^T D^{-1} y$."""
    volume: Tensor
    r"""$\ln |2 \pi D|$."""


@dataclass(frozen=True)
class Evidence:
    """Rows to learn from: sums for each source where the noise is learned, single rows where some of it is known.

    Attributes:
        gram, along, energy, volume, count: of each source, in units of its learned noise (m x k x k, m x k, m, m, m).
        features: p x k, the rows that come with a known noise.
        y: p.
        source: p.
        relative: p, the share of the learned noise that a row gets.
        extra: p, known noise.
    """

    gram: Tensor
    along: Tensor
    energy: Tensor
    volume: Tensor
    count: Tensor
    features: Tensor
    y: Tensor
    source: Tensor
    relative: Tensor
    extra: Tensor

    @classmethod
    def of(
        cls,
        features: Tensor,
        y: Tensor,
        source: Codes,
        sources: int,
        *,
        relative: Tensor,
        extra: Tensor,
        few: bool = False,
    ) -> Evidence:
        """The evidence of n rows (n x k features; y, source, relative noise > 0 or 0 for none, known noise: n each).

        With `few` every row is kept, which is quicker where all rows together are fewer than features.
        """
        plain = (extra == 0) & (relative > 0) & (not few)
        parts = [
            _sums(features[rows], y[rows], relative[rows]) for rows in (plain & (source == s) for s in range(sources))
        ]
        gram, along, energy, volume, count = (torch.stack(column) for column in zip(*parts, strict=True))
        rest = (x[~plain] for x in (features, y, source, relative, extra))
        return cls(gram, along, energy, volume, count, *rest)

    def join(self, other: Evidence) -> Evidence:
        """All rows of both."""
        added = [getattr(self, name) + getattr(other, name) for name in ("gram", "along", "energy", "volume", "count")]
        joined = [
            torch.cat([getattr(self, name), getattr(other, name)])
            for name in ("features", "y", "source", "relative", "extra")
        ]
        return Evidence(*added, *joined)

    def moments(self, weights: Weights) -> Moments:
        """At the noise that the weights have learned."""
        noise = weights.noise
        single = self.extra + self.relative * noise[self.source]
        scaled = self.features / single[:, None]
        return Moments(
            (self.gram / noise[:, None, None]).sum(0) + self.features.mT @ scaled,
            (self.along / noise[:, None]).sum(0) + scaled.mT @ self.y,
            (self.energy / noise).sum() + (self.y.square() / single).sum(),
            (self.volume + self.count * (2 * math.pi * noise).log()).sum() + (2 * math.pi * single).log().sum(),
        )


def _sums(features: Tensor, y: Tensor, relative: Tensor) -> tuple[Tensor, ...]:
    scaled = features / relative[:, None]
    count = torch.tensor(float(len(y))).to(y)
    return features.mT @ scaled, scaled.mT @ y, (y.square() / relative).sum(), relative.log().sum(), count
