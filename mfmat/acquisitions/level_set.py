"""LevelSet and TopK: which candidates lie above a threshold, and which are the k best."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.special import ndtr

from mfmat.acquisitions.acquisition import Acquisition
from mfmat.prospects import Prospects, log


@dataclass(frozen=True)
class LevelSet(Acquisition, kind="level_set"):
    r"""Expected fall of the probability that a candidate is put on the wrong side of a threshold t.

    $u(x, s) = \Phi(-|h|) - 2\,T(h, \sqrt{1 - \rho_s^2} / \rho_s)$ with $h = (\mu_T - t) / \sigma_T$, $\rho_s$ the
    correlation of a measurement in source s with the target's value there, and T Owen's function (Owen 1956,
    doi:10.1214/aoms/1177728074): what is wrong before the measurement, less what is wrong after it on average. The
    question is that of Bryan et al. 2005 (NeurIPS 18) and Gotovos et al. 2013 (IJCAI).

    Args:
        threshold: t, in the units of the values.

    >>> LevelSet(1.5).threshold
    1.5
    """

    threshold: float

    @property
    def context(self) -> int:
        """See `Acquisition.context`."""
        return 0

    def log_utility(self, prospects: Prospects) -> Tensor:
        """See `Acquisition.log_utility`."""
        return _resolves(prospects, self.threshold)

    def meaning(self, utility: float, prospects: Prospects, unit: str) -> str:
        """See `Acquisition.meaning`."""
        side = f"side of {self.threshold:.3g} {unit}".rstrip()
        return f"expected to make the wrong {side} less probable by {utility:.2g}"


@dataclass(frozen=True, kw_only=True)
class TopK(Acquisition, kind="top_k"):
    r"""`LevelSet` at the value that parts the k best candidates of the pool from the rest, as it is believed now.

    The threshold lies halfway between the k-th and the next of the target's means.

    Args:
        k: candidates wanted.
        maximize: False for the k smallest.

    >>> TopK(k=5).k
    5
    """

    k: int = 10
    maximize: bool = True

    def log_utility(self, prospects: Prospects) -> Tensor:
        """See `Acquisition.log_utility`."""
        return _resolves(prospects, self._threshold(prospects))

    def meaning(self, utility: float, prospects: Prospects, unit: str) -> str:
        """See `Acquisition.meaning`."""
        among = f"the {self.k} best ({self._threshold(prospects):.3g} {unit}".rstrip()
        return f"expected to make a wrong answer to whether it is among {among}) less probable by {utility:.2g}"

    def _threshold(self, prospects: Prospects) -> float:
        ordered = prospects.mean.sort(descending=self.maximize).values
        k = min(self.k, len(ordered) - 1)
        return float(ordered[max(k - 1, 0) : k + 1].mean())


def _resolves(prospects: Prospects, threshold: float) -> Tensor:
    # Half a second that only those who ask for suggestions should wait for.
    from scipy.special import owens_t

    far = ((prospects.mean - threshold) / prospects.variance.sqrt())[:, None]
    told = prospects.tells.clamp(1e-300, 1)
    slope = ((1 - told) / told).sqrt()
    fall = ndtr(-far.abs()) - 2 * torch.from_numpy(owens_t(far.expand_as(slope).numpy(), slope.numpy()))
    return log(torch.where(told > 1e-9, fall, 0.0))
