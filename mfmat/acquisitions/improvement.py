"""Improvement: how far one measurement is expected to lift the best known value of the target."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from botorch.models.model import Model
from botorch.posteriors import GPyTorchPosterior
from torch import Tensor

from mfmat.acquisitions.acquisition import Acquisition
from mfmat.posteriors import normal
from mfmat.prospects import Prospects


@dataclass(frozen=True, kw_only=True)
class Improvement(Acquisition, kind="improvement"):
    r"""Expected improvement of the target's posterior mean at the candidate, for a measurement in any source.

    $u(x, s) = E[(\mu_T(x) + \tau_s(x) Z - y^*)_+]$, with $\tau_s^2 = Cov(f_T, y_s)^2 / Var(y_s)$: how far a
    measurement in source s moves the target's mean there, and $y^*$ the best mean of the materials measured *in the
    target*, never in a cheaper source: what noise has added to the best value seen is not to be beaten (Picheny
    et al. 2013, doi:10.1007/s00158-013-0919-4). For a noise-free measurement of the target it is
    expected improvement (Jones et al. 1998, doi:10.1023/A:1008306431147); for a cheap source it is as large as that
    source is informative. Computed by BoTorch's LogEI (Ament et al. 2023, arXiv:2310.20708).

    Args:
        maximize: False to look for small values.

    >>> Improvement(maximize=False).config()
    {'kind': 'improvement', 'maximize': False}
    """

    maximize: bool = True

    @property
    def context(self) -> int:
        """See `Acquisition.context`."""
        return 0

    def log_utility(self, prospects: Prospects) -> Tensor:
        """See `Acquisition.log_utility`."""
        # Half a second that only those who ask for suggestions should wait for.
        from botorch.acquisition import LogExpectedImprovement

        moved = prospects.moved
        given = torch.stack([prospects.mean[:, None].expand_as(moved), moved], dim=-1).reshape(-1, 1, 2)
        with torch.no_grad():
            best = prospects.best(self.maximize)
            value = LogExpectedImprovement(_Given(), best_f=best, maximize=self.maximize)(given)
        tells = moved > 1e-9 * moved.max()
        result: Tensor = torch.where(tells, value.reshape(moved.shape), -math.inf)
        return result

    def meaning(self, utility: float, prospects: Prospects, unit: str) -> str:
        """See `Acquisition.meaning`."""
        verb, best = "lift" if self.maximize else "lower", prospects.best(self.maximize)
        return f"expected to {verb} the best value ({best:.3g}) by {utility:.2g} {unit}".rstrip()


class _Given(Model):
    """A model whose rows are means and variances: BoTorch's formulas on moments at hand."""

    num_outputs = 1

    def posterior(self, X: Tensor, *args: Any, **kwargs: Any) -> GPyTorchPosterior:
        return normal(X[..., 0], X[..., 1:])
