"""A posterior whose intervals are distances from the median, in units of the spread."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from mfmat.posteriors.calibrated import CalibratedPosterior, Ends
from mfmat.posteriors.questions import RowPosterior
from mfmat.posteriors.weighing import Weighing, need
from mfmat.types import Values


class ConformalPosterior(CalibratedPosterior):
    r"""A posterior whose quantiles come from calibration scores; mean, variance and draws stay its own.

    With scores $R_i = (y_i - m_{k(i)}(x_i)) / s_{k(i)}(x_i)$ of n calibration rows, each from the model
    k(i) that had not seen it, the interval at level $1-\alpha$ runs from the
    $\lfloor\alpha(n+1)\rfloor$-th smallest of $m_{k(i)}(x) - |R_i| s_{k(i)}(x)$ to the
    $\lceil(1-\alpha)(n+1)\rceil$-th smallest of $m_{k(i)}(x) + |R_i| s_{k(i)}(x)$, and is widened where
    needed to hold the median. With one model this is the split conformal interval, with several CV+
    (Barber et al. 2021, doi:10.1214/20-AOS1965). Where calibration rows differ in weight, ranks are sums of weights
    (`Weighing`). With `ends="each"`, each end is that of $m + R_i s$ at $1 - \alpha/2$ or $\alpha/2$.

    Args:
        base: the posterior of the model fitted to all rows.
        centres: medians of the K models that gave the scores, K x b x q x 1.
        spreads: the units of their scores, same shape.
        scores: n scores.
        members: n, which of the K models gave each score.
        weighing: how much each counts for each of the b x q rows; None: all alike.
        ends: what scores are about, see `CalibratedPosterior`.
    """

    def __init__(
        self,
        base: RowPosterior,
        centres: Tensor,
        spreads: Tensor,
        scores: Tensor,
        members: Tensor,
        *,
        weighing: Weighing | None = None,
        ends: Ends = "both",
    ) -> None:
        super().__init__(base, scores, weighing, ends)
        self.centres, self.spreads, self.members = centres, spreads, members

    def end(self, level: float, side: float) -> Values:
        """See `CalibratedPosterior.end`."""
        reaches = side * self._ends(side).flatten(1)
        found = torch.empty_like(reaches[0])
        for rows, weights, own in self.weighing.parts(reaches.shape[1]):
            needed = need(weights, own, level)
            if self.weighing.is_equal:
                found[rows] = reaches[:, rows].kthvalue(max(math.ceil(float(needed[0])), 1), dim=0).values
            else:
                found[rows] = _weighted(reaches[:, rows], weights, needed)
        return side * found.reshape(self.base.mean.shape)

    def cdf(self, y: Values) -> Values:
        """See `CalibratedPosterior.cdf`."""
        above = (y - self.median).sign()
        held = torch.where(above > 0, self._ends(1.0) <= y, self._ends(-1.0) >= y).flatten(1).to(y)
        inside = torch.empty_like(held[0])
        for rows, weights, own in self.weighing.parts(held.shape[1]):
            inside[rows] = weights.to(y) @ held[:, rows] / (weights.sum() + own)
        return self.below(above, inside.reshape(above.shape))

    def _ends(self, side: float) -> Tensor:
        scores = side * self.scores.abs() if self.ends == "both" else self.scores
        reach = scores.reshape(-1, *[1] * (self.spreads.ndim - 1))
        return self.centres[self.members] + reach * self.spreads[self.members]


def _weighted(values: Tensor, weights: Tensor, needed: Tensor) -> Tensor:
    """The smallest of each column's values (n x r) up to which the needed weight (r) lies; infinite without one."""
    ordered, order = values.sort(dim=0)
    at = (weights[order].cumsum(0) < needed).sum(0, keepdim=True)
    return torch.cat([ordered, torch.full_like(ordered[:1], math.inf)]).gather(0, at)[0]
