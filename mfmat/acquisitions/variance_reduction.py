"""VarianceReduction: how much one measurement teaches about the target over the whole pool."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from mfmat.acquisitions.acquisition import Acquisition
from mfmat.learner import FittedModel

CHUNK = 256


@dataclass(frozen=True, kw_only=True)
class VarianceReduction(Acquisition, kind="variance_reduction"):
    r"""Mean reduction of the target's variance over the pool, exact for a Gaussian joint distribution.

    $u(x, s) = \frac1n \sum_j Cov(f_T(x_j), y_s(x))^2 / Var(y_s(x))$, over at most `reference` candidates drawn
    from the pool. Cohn 1996, doi:10.1016/0893-6080(95)00137-9; Seo et al. 2000,
    doi:10.1109/IJCNN.2000.861310.

    Args:
        reference: candidates over which the variance is averaged, at most.
        seed: of their choice.
    """

    reference: int = 256
    seed: int = 0

    def log_utility(self, model: FittedModel, pairs: Tensor, pool: Tensor) -> Tensor:
        """See `Acquisition.log_utility`."""
        order = torch.randperm(len(pool), generator=torch.Generator().manual_seed(self.seed))
        reference = pool[order[: self.reference]]
        with torch.no_grad():
            return torch.cat([self._reduced(model, chunk, reference) for chunk in pairs.split(CHUNK)]).log()

    def meaning(self, utility: float, unit: str) -> str:
        """See `Acquisition.meaning`."""
        return f"expected to cut the target's variance over the pool by {utility:.2g} {unit}{'²' * bool(unit)}".rstrip()

    def _reduced(self, model: FittedModel, pairs: Tensor, reference: Tensor) -> Tensor:
        n = len(pairs)
        observed = torch.arange(n + len(reference)) < n
        _, covariance = model.joint(torch.cat([pairs, reference]), observed)
        return (covariance[:n, n:].square() / covariance.diagonal()[:n, None]).mean(dim=1)
