"""NoisyImprovement: improvement over the best that is measured, where no measured value is quite certain."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from mfmat.acquisitions.acquisition import Acquisition
from mfmat.acquisitions.improvement import imagine, imagine_outcomes
from mfmat.acquisitions.rise import log_rise
from mfmat.errors import SchemaError
from mfmat.prospects import Prospects, moments_at


@dataclass(frozen=True, kw_only=True)
class NoisyImprovement(Acquisition, kind="noisy_improvement"):
    r"""`Improvement` over the best noise-free value that was measured, which is not known where measurements are noisy.

    $u(x, s) = E_{f, y}[(\mu_T(x) + \tau_s(x) Z - \max_j f_T(x_j))_+]$ over joint draws of the noise-free values f at
    the materials measured in the target and of the outcomes y of pairs asked before; $\mu_T$ and $\tau_s$ are those
    given the draw. A lucky measurement is thus no bar that the rest has to clear. The average is over 64 draws, each
    in closed form: Letham et al. 2019, doi:10.1214/18-BA1110; where the measurement asked for has no noise it is that
    of BoTorch's qLogNEI (Ament et al. 2023, arXiv:2310.20708).

    Args:
        reference: measured materials that may be the best, at most.
        maximize: False to look for small values.

    Raises:
        SchemaError: nothing known of what was measured (a loaded surrogate without `suggest(..., seen=)`).

    >>> NoisyImprovement().reference
    32
    """

    reference: int = 32
    maximize: bool = True

    @property
    def context(self) -> int:
        """See `Acquisition.context`."""
        return 0

    @property
    def remembers(self) -> bool:
        """See `Acquisition.remembers`."""
        return True

    def log_utility(self, prospects: Prospects) -> Tensor:
        """See `Acquisition.log_utility`."""
        sign = 1.0 if self.maximize else -1.0
        rows = self._leading(prospects)
        inner = prospects.knowing(rows)
        normals = imagine_outcomes(len(inner.asked), seed=prospects.seed)[0]
        means, values = imagine(inner, torch.cat([rows, prospects.asked]), normals)
        # Where the target has no value, the best that is expected stands in.
        bar = values if len(rows) else torch.cat([torch.full_like(means[:1], prospects.best(self.maximize)), values])
        return log_rise(sign * means, inner.moved, (sign * bar).max(dim=0).values)

    def meaning(self, utility: float, prospects: Prospects, unit: str) -> str:
        """See `Acquisition.meaning`."""
        verb = "lift" if self.maximize else "lower"
        return f"expected to {verb} the best noise-free value by {utility:.2g} {unit}".rstrip()

    def _leading(self, prospects: Prospects) -> Tensor:
        """Measured rows that may have the best noise-free value, the likeliest first (k x (d+1))."""
        if prospects.known is None:
            raise SchemaError(
                "NoisyImprovement of prospects that do not hold what was measured",
                expected="the rows measured in the target",
                fix="Prospects(..., known=Known(X, Y, names))",
            )
        rows = prospects.known.X
        if not len(rows):
            return rows
        mean, variance = moments_at(prospects.model, rows)
        mean, doubt = mean if self.maximize else -mean, 3 * variance.sqrt()
        order = (mean + doubt).argsort(descending=True)
        possible = order[(mean + doubt)[order] >= (mean - doubt).max()]
        return rows[possible[: self.reference]]
