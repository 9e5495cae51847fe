"""A posterior whose intervals are its own, at levels that held-out rows have set."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from mfmat.posteriors.calibrated import CalibratedPosterior
from mfmat.posteriors.questions import RowPosterior, cdf, log_mass
from mfmat.types import Values


class DistributionalPosterior(CalibratedPosterior):
    r"""A posterior whose levels are mended: distributional conformal prediction.

    With the score $R_i = |\Phi^{-1}(F_i(y_i))|$ of a calibration row, how far out its value lies in what was predicted
    of it, the interval at level $1-\alpha$ runs from $F^{-1}(\Phi(-R))$ to $F^{-1}(\Phi(R))$, R the
    $\lceil(1-\alpha)(n+1)\rceil$-th smallest score: the distribution keeps its shape, with several peaks or an
    atom. Of a Gaussian, R counts standard deviations. Where some values lie on an atom, which intervals hold more often
    than they say, R is at least what the other scores alone ask for: these must not pay for the atom.

    Args:
        base: the posterior of the model fitted to all rows.
        scores: n scores, see `outlyingness`.
        smooth: n, True where the value is on no atom; None: all are.

    Chernozhukov et al. 2021, doi:10.1073/pnas.2107794118.

    >>> from mfmat.posteriors import normal
    >>> base = normal(torch.zeros(1, 1).double(), torch.ones(1, 1, 1).double())
    >>> twice_too_sure = DistributionalPosterior(base, 2 * torch.linspace(0, 1.645, 100).double())
    >>> twice_too_sure.quantile(torch.tensor(0.95)).round(decimals=1)
    tensor([[[3.]]], dtype=torch.float64)
    """

    def __init__(self, base: RowPosterior, scores: Tensor, smooth: Tensor | None = None) -> None:
        super().__init__(base, scores)
        off = scores if smooth is None else scores[smooth]
        # Too few to tell, they follow the others.
        self.sets = [scores] if len(off) in (0, len(scores)) else [scores, off]

    def end(self, rank: int, side: float) -> Values:
        """See `CalibratedPosterior.end`."""
        level = rank / (len(self.scores) + 1)
        ranks = [min(math.ceil(round(level * (len(each) + 1), 9)), len(each)) for each in self.sets]
        found = [each.kthvalue(rank).values for each, rank in zip(self.sets, ranks, strict=True)]
        reach = torch.stack(found).max()
        return self.base.quantile(torch.special.ndtr(side * reach)).reshape(self.base.mean.shape)

    def cdf(self, y: Values) -> Values:
        """See `CalibratedPosterior.cdf`."""
        below = cdf(self.base, y)
        reach = torch.special.ndtri(below).abs()
        counts = [torch.searchsorted(each.sort().values, reach.contiguous(), right=True) for each in self.sets]
        inside = torch.stack([count / (len(each) + 1) for count, each in zip(counts, self.sets, strict=True)]).amin(0)
        return 0.5 + 0.5 * (below - 0.5).sign() * inside


def outlyingness(posterior: RowPosterior, y: Values, window: Tensor, seed: int) -> Tensor:
    r"""How far out each value lies, $|\Phi^{-1}(u)|$ with u its cumulative probability (b x q x 1).

    A value on an atom lies at all probabilities between $F(y - d)$ and $F(y + d)$ alike; u is drawn from them, so that
    a right model stays as it is (Czado et al. 2009, doi:10.1111/j.1541-0420.2009.01191.x).

    Args:
        posterior: what was predicted.
        y: what was measured.
        window: d (b x q x 1), 0 where the value is on no atom.
        seed: of the draws.
    """
    far = torch.full_like(y, math.inf)
    share = torch.rand(y.shape, dtype=y.dtype, generator=torch.Generator().manual_seed(seed))
    around = torch.where(window > 0, log_mass(posterior, y - window, y + window).exp(), 0.0)
    # Each tail on its own: beyond eight standard deviations one minus the other is 0.
    below = log_mass(posterior, -far, y - window).exp() + share * around
    above = log_mass(posterior, y + window, far).exp() + (1 - share) * around
    reach: Tensor = -torch.special.ndtri(torch.minimum(below, above).clamp(torch.finfo(y.dtype).tiny, 0.5))
    return reach
