"""What a process would say without each compound that it has seen, in closed form."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from mfmat.calibrators.conformal_model import ScoredModel
from mfmat.calibrators.held_out import Score, Scores, score
from mfmat.calibrators.relevance import Relevance
from mfmat.data import Data
from mfmat.errors import CalibrationError
from mfmat.learner import FittedModel
from mfmat.posteriors import CalibratedPosterior, Ends, RowPosterior, normal, quantile
from mfmat.types import Rows

CHUNK = 256
"""Rows asked at a time: each is compared with all that are held."""


@dataclass(frozen=True)
class Blocks:
    r"""The target's rows in G compounds of at most s rows each, and what taking one out does.

    A row's measurement with noise $\sigma^2$ is taken back by conditioning on it with $-\sigma^2$:
    $\mu_{-I} = \mu + C_{\cdot I} (C_{II} - \Sigma_I)^{-1} (y_I - \mu_I)$ and
    $v_{-I} = v - C_{\cdot I} (C_{II} - \Sigma_I)^{-1} C_{I \cdot}$, C the posterior covariance.

    Attributes:
        X: n x (d+1), the rows.
        places: G x s, positions of each compound's rows, 0 where it has fewer.
        gains: G x s x s, the inverses, 0 there.
        shifts: G x s, the inverses applied to what the values differ from their predictions by.
    """

    X: Tensor
    places: Tensor
    gains: Tensor
    shifts: Tensor

    @staticmethod
    def of(model: FittedModel, data: Data, noise: Tensor) -> Blocks:
        """Those of a model fitted to these data, with the noise of each of the target's rows (n)."""
        rows = data.take(data.fidelity == data.target)
        codes = rows.groups.unique(return_inverse=True)[1]
        counts = torch.bincount(codes)
        order = codes.argsort(stable=True)
        seat = torch.arange(len(order)) - (counts.cumsum(0) - counts)[codes[order]]
        places = torch.zeros(len(counts), int(counts.max()), dtype=torch.long)
        places[codes[order], seat] = order
        held = torch.arange(places.shape[1]) < counts[:, None]
        mean, covariance = model.joint(rows.X, torch.zeros(len(rows), dtype=torch.bool))
        inner = covariance[places.unsqueeze(-1), places.unsqueeze(-2)] - torch.diag_embed(noise[places])
        both = held.unsqueeze(-1) & held.unsqueeze(-2)
        # A place without a row is a block of its own, and then nothing.
        gains = torch.linalg.inv(torch.where(both, inner, -torch.eye(places.shape[1]).to(inner))) * both
        residuals = (rows.Y[:, 0] - mean)[places] * held
        return Blocks(rows.X, places, gains, (gains @ residuals.unsqueeze(-1)).squeeze(-1))

    def without(self, model: FittedModel, X: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and variance of noise-free values at rows (n x (d+1)) without each compound (two of G x n)."""
        parts = [self._without(model, part) for part in X.split(CHUNK)]
        means, variances = zip(*parts, strict=True)
        return torch.cat(means, dim=1), torch.cat(variances, dim=1)

    def _without(self, model: FittedModel, X: Tensor) -> tuple[Tensor, Tensor]:
        n = len(X)
        mean, covariance = model.joint(torch.cat([X, self.X]), torch.zeros(n + len(self.X), dtype=torch.bool))
        cross = covariance[n:, :n][self.places]
        shift = (cross * self.shifts.unsqueeze(-1)).sum(1)
        added = (cross * (self.gains @ cross)).sum(1)
        return mean[:n] + shift, (covariance.diagonal()[:n] - added).clamp_min(0)


def leave_out(model: FittedModel, data: Data, by: Score) -> tuple[Blocks, Scores]:
    """How to leave each of the target's compounds out of a fitted process, and what it would say of them.

    Raises:
        CalibrationError: a model whose posterior is not in closed form.
    """
    if bool(data.bounded.any()):
        raise CalibrationError(
            f'form="loo" with {int(data.bounded.sum())} limits in place of values',
            expected="values, which alone are taken out in closed form",
            fix='form="cross", which fits once for each fold',
        )
    noise = model.held_noise()
    if noise is None:
        raise CalibrationError(
            'form="loo" of a learner that leaves no row out in closed form',
            expected='GP or MultiTask up to their limits, alone or in TargetOnly, without noise="input" or nuts',
            fix='form="cross", which fits once for each fold',
        )
    with torch.no_grad():
        blocks = Blocks.of(model, data, noise)
        at = torch.nonzero(data.fidelity == data.target).flatten()
        member = data.groups[at].unique(return_inverse=True)[1]
        means, variances = blocks.without(model, blocks.X)
        own = torch.arange(len(at))
        spread = variances[member, own] + model.noise(blocks.X.unsqueeze(1))[:, 0]
        said = normal(means[member, own].unsqueeze(-1), spread.reshape(-1, 1, 1))
    heldout = score([said], [at], data)[0]
    off = (heldout[:, 1] - heldout[:, 2]) / (1.0 if by == "absolute" else heldout[:, 4])
    return blocks, Scores(heldout, off, torch.ones(len(at), dtype=torch.bool), member)


class JackknifeModel(ScoredModel):
    """A fitted process, what it would have said of each row, and how to leave compounds out of new answers."""

    places: Tensor
    gains: Tensor
    shifts: Tensor
    held: Tensor

    def __init__(
        self, inner: FittedModel, blocks: Blocks, held: Scores, relevance: Relevance, *, score: Score, ends: Ends
    ) -> None:
        super().__init__(inner, held, relevance, ends, None, score=score)
        for name in ("places", "gains", "shifts"):
            self.register_buffer(name, getattr(blocks, name))
        self.register_buffer("held", blocks.X)

    def calibrate(self, base: RowPosterior, X: Rows) -> CalibratedPosterior:
        """See `CalibratedModel.calibrate`: jackknife+, each compound a fold of its own."""
        blocks = Blocks(self.held, self.places, self.gains, self.shifts)
        with torch.no_grad():
            means, variances = blocks.without(self.inner, X.reshape(-1, X.shape[-1]))
            noise = self.inner.noise(X).reshape(1, -1)
        shape = (-1, *quantile(base, 0.5).shape)
        centres, spreads = means.reshape(shape), (variances + noise).sqrt().reshape(shape)
        spreads = torch.ones_like(spreads) if self.facts["score"] == "absolute" else spreads
        return self.by_distance(base, X, centres, spreads)
