"""A fitted model that is linear in features of a row, with a Gaussian over the weights."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Sequence
from functools import reduce

import torch
from torch import Tensor

from mfmat.data import Data
from mfmat.familiarity import Familiarity
from mfmat.learner import Facts, FittedModel
from mfmat.types import Covariance, Flags, Rows
from mfmat.weights import NOISE_FLOOR, Evidence, Weights

CHUNK = 4096
"""Rows whose features are held at a time."""
ROUNDING = 1e-10
"""Share of its variance that a row has for itself."""


class FeatureModel(FittedModel):
    r"""$y = c_s + \sigma_s (o(x) + \phi(x)^T w + \epsilon)$ with $w \sim N(\mu, A^{-1})$ (`Weights`).

    c and $\sigma$ are the centre and the scale of the source. A concrete class says what the features
    $\phi$ are and, where they are not 0 and 1, the offset o and the relative noise of a row.

    Args:
        facts: what the model is built from.
        blocks: the number of features of each block, each with its own prior precision.
        familiarity: how far a row lies beyond the training rows, where the prior takes over; None: it never does.
    """

    centre: Tensor
    scale: Tensor
    typical: Tensor

    def __init__(self, facts: Facts, blocks: Sequence[int], familiarity: Familiarity | None = None) -> None:
        super().__init__()
        self.facts = facts
        self.familiarity = familiarity
        self.weights = Weights(blocks, len(facts["sources"]))
        scales = torch.tensor(facts["scales"], dtype=torch.double).reshape(-1, 2)
        self.register_buffer("centre", scales[:, 0], persistent=False)
        self.register_buffer("scale", scales[:, 1], persistent=False)
        self.register_buffer("typical", torch.full((len(scales),), math.nan).double())

    @abstractmethod
    def features(self, X: Rows) -> Tensor:
        """b x q x k of rows (b x q x (d+1))."""

    def offset(self, X: Rows) -> Tensor:
        """What the weights come on top of, in standardised units (b x q)."""
        return torch.zeros_like(X[..., -1])

    def relative(self, X: Rows) -> Tensor:
        """The noise of each row relative to its source's (b x q)."""
        return torch.ones_like(X[..., -1])

    def expand(self, X: Rows) -> tuple[Tensor, Tensor]:
        """Features and offset; a concrete class that finds both at once says so here."""
        return self.features(X), self.offset(X)

    def latent(self, X: Rows) -> tuple[Tensor, Tensor]:
        """Mean (b x q) and half the covariance, H of H H^T (b x q x r), in standardised units."""
        features, offset = self.expand(X)
        return offset + features @ self.weights.mean, features @ self.weights.reach

    def joint(self, X: Rows, observed: Flags) -> tuple[Tensor, Covariance]:
        """See `FittedModel.joint`."""
        mean, half = self.latent(X)
        left = None
        if self.familiarity is not None:
            x = X[..., :-1]
            trust = self.familiarity.trust(x)
            mean, half, left = trust * mean, trust.unsqueeze(-1) * half, self.familiarity.prior(x, trust)
        covariance = half.square().sum(-1, keepdim=True) if X.shape[-2] == 1 else half @ half.mT
        # More rows than features are singular but for rounding, on either side of 0.
        covariance = covariance + torch.diag_embed(ROUNDING * covariance.diagonal(dim1=-2, dim2=-1))
        covariance = covariance if left is None else covariance + left
        source = self.source(X)
        scale = self.scale[source]
        covariance = covariance * scale.unsqueeze(-1) * scale.unsqueeze(-2)
        mean = self.centre[source] + scale * mean
        # Finding the noise can take as long as the rest.
        return mean, covariance + torch.diag_embed(self.noise(X) * observed) if bool(observed.any()) else covariance

    def noise(self, X: Rows) -> Tensor:
        """See `FittedModel.noise`; where all noise of a source is known, its median."""
        source = self.source(X)
        learned = self.weights.noise[source] * self.relative(X)
        typical = self.typical[source]
        return torch.where(typical.isnan(), learned, NOISE_FLOOR + typical) * self.scale[source] ** 2

    def condition(self, data: Data) -> None:
        """Take in the rows, at the precisions and the noise as they are."""
        source, extra = data.fidelity, self.standardise(data)[1]
        for s in source.unique():
            if bool(data.known[source == s].all()):
                self.typical[s] = extra[source == s].median()
        self.weights.condition(self.evidence_of(data))

    def evidence_of(self, data: Data) -> Evidence:
        """What the rows say about the weights, in standardised units."""
        few = len(data) < len(self.weights.mean)
        parts = [self._evidence_of(data.take(rows), few) for rows in torch.arange(len(data)).split(CHUNK)]
        return reduce(Evidence.join, parts) if parts else self._evidence_of(data, few)

    def _evidence_of(self, data: Data, few: bool) -> Evidence:
        X, source = data.X.unsqueeze(1), data.fidelity
        with torch.no_grad():
            features, offset = self.expand(X)
            y, extra = self.standardise(data)
            relative = torch.where(data.known, 0.0, self.relative(X)[:, 0])
            # A row that is known exactly would have all the weight there is.
            extra = torch.where(data.known, extra.clamp_min(NOISE_FLOOR), extra)
            noise = {"relative": relative, "extra": extra}
            return Evidence.of(features[:, 0], y - offset[:, 0], source, len(self.centre), **noise, few=few)

    def standardise(self, data: Data) -> tuple[Tensor, Tensor]:
        """Values and what is known of their noise, in units of each source (n and n)."""
        source = data.fidelity
        return (data.Y[:, 0] - self.centre[source]) / self.scale[source], data.Yvar[:, 0] / self.scale[source] ** 2

    def source(self, X: Rows) -> Tensor:
        """Each row's fidelity (b x q)."""
        return X[..., -1].round().long()
