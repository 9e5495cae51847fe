"""KnowledgeGradient: how far a measurement is expected to lift the best mean of the whole pool."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from mfmat.acquisitions.acquisition import Acquisition
from mfmat.prospects import Prospects, log


@dataclass(frozen=True, kw_only=True)
class KnowledgeGradient(Acquisition, kind="knowledge_gradient"):
    r"""Expected rise of the largest posterior mean of the target, wherever in the pool the measurement makes it rise.

    $u(x, s) = E_Z[\max_j(\mu_j + c_j Z)] - \max_j \mu_j$ with $c_j = Cov(f_T(x_j), y_s(x)) / \sqrt{Var(y_s(x))}$ over
    the `reference` most promising candidates, by Gauss-Hermite quadrature of Z. Frazier et al. 2009,
    doi:10.1287/ijoc.1080.0314; over sources Poloczek et al. 2017, arXiv:1603.00389.

    Args:
        reference: candidates whose means may rise, at most.
        points: of the quadrature.
        maximize: False to look for small values.

    >>> KnowledgeGradient().points
    32
    """

    reference: int = 128
    points: int = 32
    maximize: bool = True

    def log_utility(self, prospects: Prospects) -> Tensor:
        """See `Acquisition.log_utility`."""
        sign = 1.0 if self.maximize else -1.0
        rows = prospects.promising(self.reference, self.maximize)
        mean = sign * prospects.mean[rows]
        nodes, weights = map(torch.from_numpy, np.polynomial.hermite_e.hermegauss(self.points))
        weights = weights / math.sqrt(2 * math.pi)
        spread = prospects.measured.flatten().sqrt()
        risen, at = [], 0
        for block in prospects.across(rows):
            slopes = sign * block / spread[at : at + block.shape[1]]
            best = [(mean[:, None] + slopes * z).max(dim=0).values for z in nodes]
            risen.append(weights @ torch.stack(best) - mean.max())
            at += block.shape[1]
        # Of lines that never cross, rounding leaves 1e-15.
        found = torch.cat(risen).reshape(prospects.measured.shape)
        return log(torch.where(found > 1e-12 * spread.max(), found, 0.0))

    def meaning(self, utility: float, prospects: Prospects, unit: str) -> str:
        """See `Acquisition.meaning`."""
        verb = "lift the largest" if self.maximize else "lower the smallest"
        return f"expected to {verb} mean of the pool by {utility:.2g} {unit}".rstrip()
