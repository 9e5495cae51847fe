"""How well learned hyperparameters are known: the curvature of their loss."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from mfmat.experts.process import Closure

STEP = 1e-3
"""Of the differences that the second derivatives are taken by; hyperparameters are of the order of 1."""


def spread(closure: Closure, parameters: Sequence[Tensor], least: float) -> Tensor:
    """Covariance of p parameters (p x p) as a Gaussian around their minimum, where they are left.

    Args:
        closure: the loss and its slopes, at the present parameters.
        parameters: in the order of the slopes.
        least: curvature that the prior alone has; where the loss is flatter, as between starts that are alike by
            symmetry, this stands.

    Laplace 1774; MacKay 1992, doi:10.1162/neco.1992.4.3.448.

    >>> place = torch.tensor([1.0, 2.0]).double()
    >>> round(float(spread(lambda: ((2 * place**2).sum(), [4 * place]), [place], 0.1)[0, 0]), 6)
    0.25
    """
    rows = []
    with torch.no_grad():
        for parameter in parameters:
            flat = parameter.view(-1)
            for k in range(len(flat)):
                kept = flat[k].clone()
                ends = []
                for step in (STEP, -STEP):
                    flat[k] = kept + step
                    with torch.enable_grad():
                        ends.append(torch.cat([slope.reshape(-1) for slope in closure()[1]]))
                flat[k] = kept
                rows.append((ends[0] - ends[1]) / (2 * STEP))
        bend = torch.stack(rows)
        values, vectors = torch.linalg.eigh((bend + bend.mT) / 2)
        covariance: Tensor = (vectors / values.clamp_min(least)) @ vectors.mT
        return covariance
