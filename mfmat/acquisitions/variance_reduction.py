"""VarianceReduction: how much one measurement teaches about the target over the whole pool."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from mfmat.acquisitions.acquisition import Acquisition
from mfmat.prospects import Prospects, log


@dataclass(frozen=True, kw_only=True)
class VarianceReduction(Acquisition, kind="variance_reduction"):
    r"""Mean reduction of the target's variance over the pool, exact for a Gaussian joint distribution.

    $u(x, s) = \frac1n \sum_j Cov(f_T(x_j), y_s(x))^2 / Var(y_s(x))$, over at most `reference` candidates drawn
    from the pool. Cohn 1996, doi:10.1016/0893-6080(95)00137-9; Seo et al. 2000,
    doi:10.1109/IJCNN.2000.861310.

    Args:
        reference: candidates over which the variance is averaged, at most.

    >>> VarianceReduction().reference
    256
    """

    reference: int = 256

    @property
    def context(self) -> int:
        """See `Acquisition.context`."""
        return self.reference

    def log_utility(self, prospects: Prospects) -> Tensor:
        """See `Acquisition.log_utility`."""
        blocks = prospects.across(prospects.sample(self.reference))
        explained = torch.cat([block.square().mean(dim=0) for block in blocks])
        return log(explained.reshape(prospects.measured.shape) / prospects.measured)

    def meaning(self, utility: float, prospects: Prospects, unit: str) -> str:
        """See `Acquisition.meaning`."""
        return f"expected to cut the target's variance over the pool by {utility:.2g} {unit}{'²' * bool(unit)}".rstrip()
