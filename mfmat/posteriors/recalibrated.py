"""A posterior whose probabilities are those with which its like has come true."""

from __future__ import annotations

import torch
from torch import Tensor

from mfmat.posteriors.calibrated import CalibratedPosterior
from mfmat.posteriors.questions import RowPosterior, cdf, log_density
from mfmat.types import Values

ROWS_A_KNOT, KNOTS = 5, 20
"""Held-out rows for each step of the map, and steps at most: between them it is straight."""
BELIEVED = 10
"""Rows that the belief counts for that the learner is right as it is."""


class RecalibratedPosterior(CalibratedPosterior):
    r"""A posterior with the cumulative probability $R(F(y))$, R the share of held-out rows that F put lower.

    R is the isotonic regression of that share on F at some of its quantiles, straight between them and out to 0 and 1,
    drawn towards the diagonal as if ten further rows had been predicted rightly.
    Where the shape is wrong (long tails, one side heavier), it is mended, which no factor on the spread does. Mean,
    variance and draws stay the learner's own.

    Args:
        base: the posterior of the model fitted to all rows.
        pits: n cumulative probabilities $F_i(y_i)$ of held-out rows.

    Kuleshov et al. 2018, arXiv:1807.00263.

    >>> from mfmat.posteriors import normal
    >>> base = normal(torch.zeros(1, 1).double(), torch.ones(1, 1, 1).double())
    >>> low = RecalibratedPosterior(base, torch.linspace(0.5, 1, 2000).double())
    >>> round(float(low.quantile(torch.tensor(0.5))), 1)
    0.7
    """

    def __init__(self, base: RowPosterior, pits: Tensor) -> None:
        super().__init__(base, pits)
        count = min(max(len(pits) // ROWS_A_KNOT, 1), KNOTS)
        inner = torch.arange(1, count + 1).to(pits) / (count + 1)
        share = len(pits) / (len(pits) + BELIEVED)
        said = share * pits.quantile(inner) + (1 - share) * inner
        ends = [torch.zeros(1).to(pits), torch.ones(1).to(pits)]
        # Equal probabilities would make the map steep without end.
        apart = torch.linspace(0, 1e-9, count + 2).to(pits)
        self.said = torch.cat([ends[0], said, ends[1]]).cummax(0).values * (1 - 1e-9) + apart
        self.seen = torch.cat([ends[0], inner, ends[1]])

    def quantile(self, value: Tensor) -> Tensor:
        """The value that is not exceeded with that probability (b x q x 1; k x b x q x 1 for k levels)."""
        if value.numel() > 1:
            return torch.stack([self.quantile(each) for each in value])
        level = _follow(value.reshape(1).to(self.said), self.seen, self.said)[0]
        return self.base.quantile(level).reshape(self.base.mean.shape)

    def end(self, level: float, side: float) -> Values:
        """See `CalibratedPosterior.end`."""
        return self.quantile(torch.tensor(0.5 + side * level / 2))

    def cdf(self, y: Values) -> Values:
        """The probability of at most `y` (b x q x 1)."""
        return _follow(cdf(self.base, y), self.said, self.seen)

    def log_density(self, y: Values) -> Values:
        """The logarithm of the density at `y` (b x q x 1): the base's, times the slope of the map."""
        return log_density(self.base, y) + self._slope(cdf(self.base, y)).log()

    def log_mass(self, low: Values, high: Values) -> Values:
        """The logarithm of the probability of more than `low` and up to `high` (each b x q x 1)."""
        tiny = torch.finfo(low.dtype).tiny
        return (self.cdf(high) - self.cdf(low)).clamp_min(tiny).log()

    def _slope(self, below: Tensor) -> Tensor:
        at = torch.searchsorted(self.said[1:-1].contiguous(), below.contiguous(), right=True)
        return (self.seen.diff() / self.said.diff())[at]


def _follow(x: Tensor, along: Tensor, to: Tensor) -> Tensor:
    """The straight lines between knots, from one scale to the other."""
    at = torch.searchsorted(along[1:-1].contiguous(), x.contiguous(), right=True)
    slope = to.diff() / along.diff()
    return (to[at] + slope[at] * (x - along[at])).clamp(0, 1)
