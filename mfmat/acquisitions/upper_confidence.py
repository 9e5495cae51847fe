"""UpperConfidence: how far the target's mean may yet rise above the best known value."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from mfmat.acquisitions.acquisition import Acquisition
from mfmat.prospects import Prospects, log


@dataclass(frozen=True, kw_only=True)
class UpperConfidence(Acquisition, kind="upper_confidence"):
    r"""Optimism: $u(x, s) = (\mu_T(x) + \beta\,\tau_s(x) - y^*)_+$.

    $\tau_s^2 = Cov(f_T, y_s)^2 / Var(y_s)$ is how far a measurement in source s moves the target's mean, $y^*$ the best
    value measured in the target. Where nothing reaches it there is nothing left to ask. Srinivas et al. 2012,
    doi:10.1109/TIT.2011.2182033; over sources Kandasamy et al. 2016, arXiv:1603.06288.

    Args:
        beta: standard deviations of optimism.
        maximize: False to look for small values.

    >>> UpperConfidence().beta
    2.0
    """

    beta: float = 2.0
    maximize: bool = True

    @property
    def context(self) -> int:
        """See `Acquisition.context`."""
        return 0

    def log_utility(self, prospects: Prospects) -> Tensor:
        """See `Acquisition.log_utility`."""
        sign = 1.0 if self.maximize else -1.0
        above = sign * (prospects.mean - prospects.best(self.maximize))
        moved = prospects.moved
        return log((above[:, None] + self.beta * moved.sqrt()) * (moved > 1e-9 * moved.max()))

    def meaning(self, utility: float, prospects: Prospects, unit: str) -> str:
        """See `Acquisition.meaning`."""
        best, how = prospects.best(self.maximize), "better than" if self.maximize else "below"
        return f"at best {utility:.2g} {unit} ".rstrip() + f" {how} the best value ({best:.3g})"
