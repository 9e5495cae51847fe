"""Improvement: how far one measurement is expected to lift the best known value of the target."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from mfmat.acquisitions.acquisition import Acquisition, Lookahead
from mfmat.learner import FittedModel


@dataclass(frozen=True)
class Improvement(Acquisition, kind="improvement"):
    r"""Expected improvement of the target's posterior mean at the candidate, for a measurement in any source.

    $u(x, s) = E[(\mu_T(x) + \tau_s(x) Z - y^*)_+]$, with $\tau_s$ how far a measurement in source s moves the
    target's mean there (`Lookahead`). For a noise-free measurement of the target it is expected improvement
    (Jones et al. 1998, doi:10.1023/A:1008306431147); for a cheap source it is as large as that source is
    informative. Computed by BoTorch's LogEI (Ament et al. 2023, arXiv:2310.20708).

    Args:
        best: $y^*$, the best value measured *in the target*, never in a cheaper source.
        maximize: False to look for small values.
    """

    best: float
    maximize: bool = True

    def log_utility(self, model: FittedModel, pairs: Tensor, pool: Tensor) -> Tensor:
        """See `Acquisition.log_utility`."""
        # Half a second that only those who ask for suggestions should wait for.
        from botorch.acquisition import LogExpectedImprovement

        target = int(pool[0, -1])
        lookahead = Lookahead(model, target)
        with torch.no_grad():
            value = LogExpectedImprovement(lookahead, best_f=self.best, maximize=self.maximize)(pairs.unsqueeze(1))
            moved = lookahead.joint(pairs.unsqueeze(1), torch.zeros(1, dtype=torch.bool))[1]
        tells = moved.flatten() > 1e-9 * moved.max()
        result: Tensor = torch.where(tells, value, -math.inf)
        return result

    def meaning(self, utility: float, unit: str) -> str:
        """See `Acquisition.meaning`."""
        verb = "lift" if self.maximize else "lower"
        return f"expected to {verb} the best value ({self.best:.3g}) by {utility:.2g} {unit}".rstrip()
