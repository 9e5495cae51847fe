"""UpperConfidence: how high the target's value may well be."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from mfmat.acquisitions.acquisition import Acquisition
from mfmat.prospects import Prospects, log


@dataclass(frozen=True, kw_only=True)
class UpperConfidence(Acquisition, kind="upper_confidence"):
    r"""Optimism: $u(x, s) = \min(1, \rho_s^2/\rho_T^2)\,[b(x) - \min_j b(x_j)]$ with $b = \mu_T + \beta\,\sigma_T$.

    The bound b of a candidate, counted from the lowest in the pool so that pairs of different prices compare, times the
    share of the candidate's doubt that a measurement in source s takes away, of that which one in the target would: of
    the target alone the highest bound comes first. Unlike `Improvement` it goes on among the best once the best is
    known: for those who want many good candidates. Srinivas et al. 2012, doi:10.1109/TIT.2011.2182033; over sources
    compare Kandasamy et al. 2016, arXiv:1603.06288.

    Args:
        beta: standard deviations of optimism.
        maximize: False to look for small values.

    >>> UpperConfidence().beta
    2.0
    """

    beta: float = 2.0
    maximize: bool = True

    def log_utility(self, prospects: Prospects) -> Tensor:
        """See `Acquisition.log_utility`."""
        sign = 1.0 if self.maximize else -1.0
        bound = sign * prospects.mean + self.beta * prospects.variance.sqrt()
        # The lowest of all is worth little, not nothing.
        above = bound - bound.min() + 1e-9 * prospects.variance.max().sqrt()
        return log(above[:, None] * prospects.stands_in)

    def meaning(self, utility: float, prospects: Prospects, unit: str) -> str:
        """See `Acquisition.meaning`."""
        side = "above the lowest upper" if self.maximize else "below the highest lower"
        return f"{utility:.2g} {unit} ".rstrip() + f" {side} bound of the pool, as far as the source tells"
