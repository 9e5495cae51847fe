"""Improvement: how far one measurement is expected to lift the best known value of the target."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from botorch.utils.sampling import draw_sobol_normal_samples
from torch import Tensor

from mfmat.acquisitions.acquisition import Acquisition
from mfmat.acquisitions.follow_up import log_follow_up
from mfmat.acquisitions.rise import find_above, log_rise
from mfmat.data import at_fidelity
from mfmat.errors import SchemaError
from mfmat.prospects import Prospects

DRAWS = 64
"""Outcomes of asked pairs that are imagined."""


@dataclass(frozen=True, kw_only=True)
class Improvement(Acquisition, kind="improvement"):
    r"""Expected improvement of the target's posterior mean at the candidate, for a measurement in any source.

    $u(x, s) = E[(\mu_T(x) + \tau_s(x) Z - y^*)_+]$, with $\tau_s^2 = Cov(f_T, y_s)^2 / Var(y_s)$: how far a
    measurement in source s moves the target's mean there, and $y^*$ the best mean of the materials measured *in the
    target*, never in a cheaper source: what noise has added to the best value seen is not to be beaten (Picheny
    et al. 2013, doi:10.1007/s00158-013-0919-4). For a noise-free measurement of the target it is
    expected improvement (Jones et al. 1998, doi:10.1023/A:1008306431147); for a cheap source it is as large as that
    source is informative. Computed by BoTorch's LogEI (Ament et al. 2023, arXiv:2310.20708).

    Where prices are known (in `suggest`), whoever measures a cheap source may go on to the target where it came out
    well, and $u(x, s) = c_s \lambda_s(x)$, the price of s times the improvement per unit of cost that both are expected
    to bring (`mfmat.acquisitions.follow_up`); of a source that costs nothing u stays as above.

    Where pairs are asked and not yet told, u is an average over 64 imagined outcomes of them all: in each, $\mu_T(x)$
    is what it would then be, and the means at the asked materials are to be beaten, too. So a
    batch is chosen greedily by its joint improvement (Wilson et al. 2018, arXiv:1805.10196), and of candidates that
    tell the same one is asked.

    Args:
        maximize: False to look for small values.
        share: of what was measured: $y^*$ is the last of this best share instead of the best, so that whatever comes
            near the best counts, too (Bergstra et al. 2011, NeurIPS 24, took 0.15). Of one source that finds the best
            sooner, and more of it; with cheap sources beside it later.

    Raises:
        SchemaError: a share below 0, or of 1 or more.

    >>> Improvement(maximize=False).config()
    {'kind': 'improvement', 'maximize': False, 'share': 0.0}
    """

    maximize: bool = True
    share: float = 0.0

    def __post_init__(self) -> None:
        if not 0 <= self.share < 1:
            raise SchemaError(f"share={self.share!r}", expected="0 or more, and below 1", fix="share=0.2")

    @property
    def context(self) -> int:
        """See `Acquisition.context`."""
        return 0

    def log_utility(self, prospects: Prospects) -> Tensor:
        """See `Acquisition.log_utility`."""
        sign = 1.0 if self.maximize else -1.0
        normals = imagine_outcomes(len(prospects.asked), seed=prospects.seed)[0]
        means, at_asked = imagine(prospects, prospects.asked, normals)
        measured = torch.full_like(means[:1], prospects.best(self.maximize, self.share))
        best = (sign * torch.cat([measured, at_asked])).max(dim=0).values
        rise = log_rise(sign * means, prospects.moved, best)
        if prospects.prices is None or prospects.sources == 1:
            return rise
        cheap, target = rise[:, :-1], rise[:, -1:]
        # Of many imagined outcomes, the one at which the target's own rise would be what it is on average.
        single = len(best) == 1
        above = (sign * means - best)[:, 0] if single else find_above(target[:, 0], prospects.moved[:, -1])
        # No plan brings more than all that it may measure.
        followed = torch.minimum(_follow(cheap, above, prospects.moved, prospects.prices), torch.maximum(cheap, target))
        return torch.cat([followed, target], dim=1)

    def meaning(self, utility: float, prospects: Prospects, unit: str) -> str:
        """See `Acquisition.meaning`."""
        verb, best = "lift" if self.maximize else "lower", prospects.best(self.maximize, self.share)
        what = f"what is among the best {self.share:.0%} of the measured" if self.share else "the best value"
        return f"expected to {verb} {what} ({best:.3g}) by {utility:.2g} {unit}".rstrip()


def _follow(cheap: Tensor, above: Tensor, moved: Tensor, prices: Tensor) -> Tensor:
    """What cheap pairs are worth with a follow-up at the target, in logarithms (n x (m - 1)); what is free, alone."""
    followed = cheap.clone()
    for fidelity in range(cheap.shape[1]):
        able = (cheap[:, fidelity] > -math.inf) & (prices[:, fidelity] > 0)
        if bool(able.any()):
            both, pays = (each[able][:, [fidelity, -1]] for each in (moved, prices))
            followed[able, fidelity] = log_follow_up(above[able], both, pays)
    return followed


def imagine_outcomes(asked: int, values: int = 1, *, seed: int) -> Tensor:
    """Outcomes of the pairs asked in s draws, standard normal (values x asked x s); one empty draw where none is."""
    if not asked:
        return torch.zeros(values, 0, 1).double()
    half = draw_sobol_normal_samples(asked * values, DRAWS // 2, dtype=torch.double, seed=seed)
    # With its mirror image, so that the smallest values of -y are found as the largest of y are.
    return torch.cat([half, -half]).mT.reshape(values, asked, DRAWS)


def imagine(prospects: Prospects, rows: Tensor, normals: Tensor) -> tuple[Tensor, Tensor]:
    """The target's means at the candidates (n x s) and at the materials of k rows (k x s), had these come out."""
    return prospects.imagine(at_fidelity(rows, prospects.sources - 1), normals)
