"""Joint draws of a fitted model, each row distributed as the model says of it alone."""

from __future__ import annotations

import torch
from torch import Tensor

from mfmat.learner import FittedModel
from mfmat.posteriors import CalibratedPosterior, MixturePosterior, RowPosterior, root

CHUNK = 512
"""Rows asked on their own at a time."""


def draw(model: FittedModel, X: Tensor, n: int, *, noise: bool, seed: int) -> Tensor:
    """Draws of all rows together (r x (d+1) to r x n).

    Rows depend on each other as in the model's joint Gaussian. Where what is said of a row alone is a mixture, with
    long tails, several peaks or an atom, draws of it take the places of the Gaussian ones, the smallest that of
    the smallest: ensemble copula coupling (Schefzik et al. 2013, doi:10.1214/13-STS443).

    Args:
        model: what is asked.
        X: the rows.
        n: number of draws.
        noise: whether of new measurements.
        seed: of the draws.
    """
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        mean, covariance, own = model.moments(X)
        covariance = covariance + torch.diag(own) if noise else covariance
        together = mean[:, None] + root(covariance) @ torch.randn(len(X), n, dtype=X.dtype, generator=generator)
        # A calibrated model answers for one source at a time.
        for source in X[:, -1].unique():
            for rows in torch.nonzero(X[:, -1] == source).flatten().split(CHUNK):
                said = model.posterior(X[rows].unsqueeze(1), observation_noise=noise)
                together[rows] = _couple(said, together[rows], generator)
    return together


def _couple(said: RowPosterior, drawn: Tensor, generator: torch.Generator) -> Tensor:
    """Draws of what is said of each row in the order of those drawn together (b x n)."""
    base = said.base if isinstance(said, CalibratedPosterior) else said
    if not isinstance(base, MixturePosterior):
        return drawn
    shape = torch.Size([drawn.shape[1]])
    normals = torch.randn(*shape, *base.base_sample_shape, dtype=drawn.dtype, generator=generator)
    alone = base.rsample_from_base_samples(shape, normals)[..., 0, 0].T.sort(dim=1).values
    return alone.gather(1, drawn.argsort(dim=1).argsort(dim=1))
