"""How sure a process is of its hyperparameters: a Gaussian around the best ones, and what it says of the views."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor

from mfmat.kernels import ViewKernel
from mfmat.view_weights import ViewWeights

DRAWS = 4000
"""Of the weights: the ends of a 90% interval are then right by 3% of its width."""
STEP = 1e-4
"""Of a logarithm: small against the priors, large against the rounding of slopes."""


def name_terms(kernel: ViewKernel) -> tuple[str, ...]:
    """The views of a kernel, and `joint` where it has such a term."""
    return (*kernel.views, *(["joint"] if kernel.joint else []))


def share_out(kernel: ViewKernel, parameters: Mapping[str, Tensor], covariance: Tensor) -> ViewWeights:
    """The shares of the kernel's terms, drawn from a Gaussian over all hyperparameters (p x p) around their values."""
    centre = kernel.log_weight.detach()
    mine = torch.cat([torch.full((p.numel(),), p is kernel.log_weight) for p in parameters.values()])
    factor = torch.linalg.cholesky(covariance[mine][:, mine])
    normals = torch.randn(DRAWS, kernel.terms, generator=torch.Generator().manual_seed(0), dtype=torch.double)
    return ViewWeights(name_terms(kernel), centre.softmax(0), (centre + normals @ factor.mT).softmax(-1))


def doubt(
    closure: Callable[[], tuple[Tensor, Sequence[Tensor]]],
    parameters: Mapping[str, Tensor],
    spreads: Mapping[str, float],
) -> Tensor:
    r"""Laplace's covariance of parameters at the minimum of a loss, $H^{-1}$ (p x p).

    H is the slope of the slope, by differences. No direction is known less well than a priori: with S the prior's
    standard deviations, eigenvalues of $S H S$ below 1 count as 1. They lie there where training stopped short of the
    minimum, or where the loss bends the other way.

    Args:
        closure: the loss at the parameters and its slope along each, in their order.
        parameters: by name; as they were when this returns.
        spreads: prior standard deviation of every entry of a parameter, by the last part of its name.

    MacKay 1992, doi:10.1162/neco.1992.4.3.415.
    """
    S = torch.cat([torch.full((p.numel(),), spreads[name.split(".")[-1]]).double() for name, p in parameters.items()])
    values, vectors = torch.linalg.eigh(S[:, None] * _curvature(closure, list(parameters.values())) * S)
    half: Tensor = S[:, None] * vectors / values.clamp_min(1.0).sqrt()
    covariance: Tensor = half @ half.mT
    return covariance


def _curvature(closure: Callable[[], tuple[Tensor, Sequence[Tensor]]], parameters: Sequence[Tensor]) -> Tensor:
    def slope() -> Tensor:
        return torch.cat([part.reshape(-1) for part in closure()[1]]).detach().double()

    here, rows = slope(), []
    for p in parameters:
        for i in range(p.numel()):
            before = p.detach().clone()
            with torch.no_grad():
                p.view(-1)[i] += STEP
            rows.append((slope() - here) / STEP)
            with torch.no_grad():
                p.copy_(before)
    H = torch.stack(rows)
    return (H + H.mT) / 2
