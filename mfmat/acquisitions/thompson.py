"""Thompson: how often a candidate is the best in draws of the target's values."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from mfmat.acquisitions.acquisition import Acquisition
from mfmat.prospects import Prospects, log


@dataclass(frozen=True, kw_only=True)
class Thompson(Acquisition, kind="thompson"):
    r"""Probability of being the best of the pool, as far as a source tells.

    $u(x, s) = P(f_T(x) = \max_j f_T(x_j))\,\min(1, \rho_s^2/\rho_T^2)$: the share of joint draws of the `reference`
    most promising candidates in which x is the best, times the share of its doubt that a measurement in source s takes
    away, of that which one in the target would. One draw more is shared out by $P(f_T(x) > \max_j \mu_T(x_j))$, so that
    the candidates that are the best in no draw have an order, too. `suggest(..., temperature=1)` draws pairs by u,
    which is Thompson sampling, and records the probability; at temperature 0 the most probable best is taken. Thompson
    1933, doi:10.1093/biomet/25.3-4.285; Kandasamy et al. 2018 (batches), arXiv:1705.09236.

    Args:
        draws: of all values together.
        reference: candidates that are drawn, at most.
        maximize: False to look for small values.

    >>> Thompson().draws
    1000
    """

    draws: int = 1000
    reference: int = 500
    maximize: bool = True

    def log_utility(self, prospects: Prospects) -> Tensor:
        """See `Acquisition.log_utility`."""
        sign = 1.0 if self.maximize else -1.0
        rows = prospects.promising(self.reference, self.maximize)
        best = (sign * prospects.draw(rows, self.draws, prospects.seed)).argmax(dim=0)
        share = torch.zeros_like(prospects.mean)
        share[rows] = torch.bincount(best, minlength=len(rows)).to(share)
        gain = sign * prospects.mean
        hope = torch.special.log_ndtr((gain - gain.max()) / prospects.variance.clamp_min(1e-300).sqrt())
        drawn = torch.logaddexp(share.log(), hope - hope.logsumexp(0)) - math.log(self.draws + 1)
        return drawn[:, None] + log(prospects.stands_in)

    def meaning(self, utility: float, prospects: Prospects, unit: str) -> str:
        """See `Acquisition.meaning`."""
        return f"the best of the pool with a probability that makes the pair worth {utility:.2g}"
