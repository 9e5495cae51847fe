"""MaxValueEntropy: how much a measurement tells about the best value of the pool."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor
from torch.distributions import Normal
from torch.special import log_ndtr

from mfmat.acquisitions.acquisition import Acquisition
from mfmat.prospects import Prospects, log


@dataclass(frozen=True, kw_only=True)
class MaxValueEntropy(Acquisition, kind="max_value_entropy"):
    r"""Information about the target's best value in the pool, in closed form for every source.

    $u(x, s) = -\frac1{2M}\sum_m \log\left(1 - \rho_s^2 \frac{\phi(\gamma_m)}{\Phi(\gamma_m)}
    \left[\gamma_m + \frac{\phi(\gamma_m)}{\Phi(\gamma_m)}\right]\right)$ with $\gamma_m = (y^*_m - \mu_T) / \sigma_T$,
    $\rho_s$ the correlation of a measurement in source s with the target's value there, and $y^*_m$ the largest value
    in M joint draws of the most promising candidates, all in nats. Wang & Jegelka 2017, arXiv:1703.01968; over sources
    Moss et al. 2021 (GIBBON, for a batch of one), arXiv:2102.03324.

    Args:
        draws: M.
        reference: candidates that are drawn, at most.
        maximize: False to look for small values.

    >>> MaxValueEntropy().draws
    64
    """

    draws: int = 64
    reference: int = 500
    maximize: bool = True

    def log_utility(self, prospects: Prospects) -> Tensor:
        """See `Acquisition.log_utility`."""
        sign = 1.0 if self.maximize else -1.0
        rows = prospects.promising(self.reference, self.maximize)
        drawn = sign * prospects.draw(rows, self.draws, prospects.seed)
        # What has been measured is not beaten by less.
        best = drawn.max(dim=0).values.clamp_min(sign * prospects.best(self.maximize))
        spread = prospects.variance.sqrt()[:, None]
        gamma = (best - sign * prospects.mean[:, None]) / spread
        normal = Normal(0.0, 1.0)
        # Far below the best the ratio tends to 0, far above it to -gamma.
        ratio = (normal.log_prob(gamma) - log_ndtr(gamma)).exp()
        shrinks = (ratio * (gamma + ratio)).clamp(0, 1)
        told = prospects.tells.clamp(0, 1)
        return log(-0.5 * (-told.unsqueeze(-1) * shrinks.unsqueeze(1)).log1p().mean(dim=-1))

    def meaning(self, utility: float, prospects: Prospects, unit: str) -> str:
        """See `Acquisition.meaning`."""
        return f"expected to tell {utility:.2g} nats about the best value of the pool"
