"""A posterior whose intervals are distances from the median, in units of the spread."""

from __future__ import annotations

import torch
from torch import Tensor

from mfmat.posteriors.calibrated import CalibratedPosterior
from mfmat.posteriors.questions import RowPosterior, quantile
from mfmat.types import Values


class ConformalPosterior(CalibratedPosterior):
    r"""A posterior whose quantiles come from calibration scores; mean, variance and draws stay its own.

    With scores $R_i = |y_i - m_{k(i)}(x_i)| / s_{k(i)}(x_i)$ of n calibration rows, each from the model
    k(i) that had not seen it, the interval at level $1-\alpha$ runs from the
    $\lfloor\alpha(n+1)\rfloor$-th smallest of $m_{k(i)}(x) - R_i s_{k(i)}(x)$ to the
    $\lceil(1-\alpha)(n+1)\rceil$-th smallest of $m_{k(i)}(x) + R_i s_{k(i)}(x)$, and is widened where
    needed to hold the median. With one model this is the split conformal interval, with several CV+
    (Barber et al. 2021, doi:10.1214/20-AOS1965).

    Args:
        base: the posterior of the model fitted to all rows.
        centres: medians of the K models that gave the scores, K x b x q x 1.
        spreads: their standard deviations, same shape.
        scores: n scores.
        members: n, which of the K models gave each score.
    """

    def __init__(self, base: RowPosterior, centres: Tensor, spreads: Tensor, scores: Tensor, members: Tensor) -> None:
        super().__init__(base, scores)
        self.centres, self.spreads, self.members = centres, spreads, members

    def end(self, rank: int, side: float) -> Values:
        """See `CalibratedPosterior.end`."""
        ends = self._ends(side)
        return ends.kthvalue(rank if side > 0 else len(ends) + 1 - rank, dim=0).values

    def cdf(self, y: Values) -> Values:
        """See `CalibratedPosterior.cdf`."""
        beyond = (y - quantile(self.base, 0.5)).sign()
        inside = (torch.where(beyond > 0, self._ends(1.0) <= y, self._ends(-1.0) >= y)).sum(0)
        return 0.5 + 0.5 * beyond * inside / (len(self.scores) + 1)

    def _ends(self, side: float) -> Tensor:
        reach = self.scores.reshape(-1, *[1] * (self.spreads.ndim - 1))
        return self.centres[self.members] + side * reach * self.spreads[self.members]
