"""What the last hidden layer of a source's network says of a material, in a few numbers."""

from __future__ import annotations

import torch
from torch import Tensor

from mfmat.learner import FittedModel

ROWS = 2000
"""Rows at most by which the directions of a layer are found."""


def find_axes(model: FittedModel, X: Tensor, components: int) -> Tensor:
    r"""The leading principal directions of a model's hidden units over its rows: an offset and k columns.

    Returns (h + 1) x k numbers A, so that $[1, h(x)] A$ has mean 0 and variance 1 over the rows; 1 x 0 for a model
    without hidden layers.

    Args:
        model: of one source.
        X: n x (d+1), its rows.
        components: k, at most.
    """
    if not components or len(X) < 2:
        return X.new_zeros(1, 0)
    some = torch.linspace(0, len(X) - 1, min(len(X), ROWS)).long()
    with torch.no_grad():
        units = model.hidden(X[some].unsqueeze(1))
    if units is None:
        return X.new_zeros(1, 0)
    units = units[:, 0]
    centre = units.mean(0)
    values, vectors = torch.linalg.svd(units - centre, full_matrices=False)[1:]
    size = values / (len(units) - 1) ** 0.5
    kept = (size > 1e-6 * size[0].clamp_min(1e-12)).nonzero().flatten()[:components]
    directions = vectors[kept]
    # A direction has no sign of its own.
    largest = directions.gather(1, directions.abs().argmax(1, keepdim=True))
    directions = (directions * largest.sign() / size[kept, None]).mT
    return torch.cat([-(centre @ directions).unsqueeze(0), directions])


def place(model: FittedModel, X: Tensor, axes: Tensor) -> Tensor:
    """Where rows lie along these axes (n x (d+1) to n x k)."""
    if not axes.shape[1]:
        return X.new_zeros(len(X), 0)
    units = model.hidden(X.unsqueeze(1))
    if units is None:
        raise TypeError("axes of a model that has no hidden layer")
    return axes[0] + units[:, 0] @ axes[1:]
