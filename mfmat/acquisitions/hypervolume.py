"""Hypervolume: how much one measurement is expected to add to the best compromises between several values."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import torch
from botorch.utils.multi_objective.box_decompositions.non_dominated import FastNondominatedPartitioning
from botorch.utils.multi_objective.hypervolume import infer_reference_point
from botorch.utils.multi_objective.pareto import is_non_dominated
from botorch.utils.safe_math import logdiffexp
from torch import Tensor

from mfmat.acquisitions.acquisition import Acquisition
from mfmat.acquisitions.improvement import imagine, imagine_outcomes
from mfmat.acquisitions.rise import BLOCK, log_improvement
from mfmat.errors import SchemaError, UnknownNameError, nearest
from mfmat.prospects import Known, Prospects, moments_at

FAR = 1e10
"""Stands for infinity where a number is needed that is masked afterwards."""


@dataclass(frozen=True, kw_only=True)
class Hypervolume(Acquisition, kind="hypervolume"):
    r"""Expected growth of the hypervolume that the known compromises between several values dominate.

    $u(x, s) = E[HV(F \cup \{\mu_T(x) + \tau_s(x) \circ Z\}) - HV(F)]$, HV the volume between a reference point and the
    front F of the means of the materials measured in the target, and $\tau_{s,i}^2 = Cov(f_{T,i}, y_{s,i})^2 /
    Var(y_{s,i})$: how far a measurement in source s moves the target's mean of value i. One measurement gives all
    values in its source; their errors are taken for independent. For noise-free measurements of the target it is
    expected hypervolume improvement (Emmerich et al. 2006, doi:10.1109/TEVC.2005.851275), over BoTorch's boxes (Yang et
    al. 2019, doi:10.1007/s10898-019-00798-7) and from differences of LogEI, so that it does not vanish far below the
    front.

    Where pairs are asked and not yet told, u is an average over 64 imagined outcomes of them all, as for `Improvement`:
    in each, the means are what they would then be, and those of the asked materials join F (Daulton et al. 2020,
    arXiv:2006.05078).

    Args:
        reference: for each value the worst that is still of use; those left out lie a tenth of the front's range
            below its worst, of a front of one material a tenth of the range of all that was measured (BoTorch's
            `infer_reference_point`).
        minimize: the values that should be small.

    Raises:
        SchemaError: fewer than two values, a reference that is no number, or nothing known of what was measured.
        UnknownNameError: a reference or a value to minimize that no surrogate predicts.

    >>> Hypervolume(reference={"strength": 300.0}, minimize=("cost",)).minimize
    ('cost',)
    """

    reference: Mapping[str, float] = field(default_factory=dict)
    minimize: Sequence[str] = ()

    def __post_init__(self) -> None:
        names = (self.minimize,) if isinstance(self.minimize, str) else tuple(self.minimize)
        object.__setattr__(self, "minimize", names)
        for name, worst in self.reference.items():
            if isinstance(worst, bool) or not isinstance(worst, int | float) or not math.isfinite(worst):
                raise SchemaError(
                    f"a reference of {worst!r} for {name!r}",
                    expected="a finite number in the units of the value",
                    fix=f"reference={{{name!r}: 0.0}}, or leave it out",
                )

    @property
    def context(self) -> int:
        """See `Acquisition.context`."""
        return 0

    @property
    def remembers(self) -> bool:
        """See `Acquisition.remembers`."""
        return True

    @property
    def several(self) -> bool:
        """See `Acquisition.several`."""
        return True

    def log_utility(self, prospects: Prospects) -> Tensor:
        """See `Acquisition.log_utility`."""
        frame = self._frame(prospects)
        every = prospects.objectives
        drawn = imagine_outcomes(len(prospects.asked), len(every), seed=prospects.seed)
        imagined = [imagine(each, prospects.asked, normals) for each, normals in zip(every, drawn, strict=True)]
        means = frame.place(torch.stack([means for means, _ in imagined], dim=-1))
        asked = frame.place(torch.stack([at_asked for _, at_asked in imagined], dim=-1))
        moved = torch.stack([each.moved for each in every], dim=-1)
        grown = [
            _log_volumes(means[:, s], moved / frame.scale.square(), torch.cat([frame.front, asked[:, s]]))
            for s in range(means.shape[1])
        ]
        tells = (moved > 1e-9 * moved.amax(dim=(0, 1))).any(dim=-1)
        volume = torch.stack(grown).logsumexp(dim=0) - math.log(len(grown)) + frame.scale.log().sum()
        return torch.where(tells, volume, -math.inf)

    def meaning(self, utility: float, prospects: Prospects, unit: str) -> str:
        """See `Acquisition.meaning`."""
        frame, names = self._frame(prospects), _known(prospects).names
        worst = zip(names, (frame.sign * frame.reference).tolist(), strict=True)
        said = " and ".join(f"{name} {value:.3g}" for name, value in worst)
        return f"expected to add {utility:.2g} {unit}".rstrip() + f" to the volume of what is better than {said}"

    def _frame(self, prospects: Prospects) -> _Frame:
        known = _known(prospects)
        self._check(known.names)
        sign = torch.tensor([-1.0 if name in self.minimize else 1.0 for name in known.names]).double()
        # Where nothing has all values, the best compromises that are expected stand in.
        means = [moments_at(each.model, known.X)[0] if len(known.X) else each.mean for each in prospects.objectives]
        good = sign * torch.stack(means, dim=-1)
        front = good[is_non_dominated(good)]
        spread = torch.stack([each.variance.max().sqrt() for each in prospects.objectives]).clamp_min(1e-150)
        highest, reach = good.max(dim=0).values, good.max(dim=0).values - good.min(dim=0).values
        # BoTorch's rule takes its lengths from the values themselves, which are best 1 for that.
        unit = torch.where(reach > 0, reach, spread)
        inferred = highest + unit * (infer_reference_point((front - highest) / unit + 1) - 1)
        given = torch.tensor([self.reference.get(name, math.nan) for name in known.names]).double()
        reference = torch.where(given.isnan(), inferred, sign * given)
        above = front.max(dim=0).values - reference
        scale = torch.where(above > 0, above, spread)
        return _Frame(sign, reference, scale, (front - reference) / scale)

    def _check(self, names: tuple[str, ...]) -> None:
        for name in (*self.reference, *self.minimize):
            if name not in names:
                raise UnknownNameError(
                    f"the value {name!r} of a hypervolume",
                    expected=f"one of {', '.join(map(repr, names))}",
                    fix=nearest(name, names) + "name the value column of a surrogate",
                )


@dataclass(frozen=True)
class _Frame:
    """Signs that make large good, the reference, a length for each value, and the front in these lengths (k x o)."""

    sign: Tensor
    reference: Tensor
    scale: Tensor
    front: Tensor

    def place(self, values: Tensor) -> Tensor:
        """Values (... x o) from the reference, in these lengths."""
        return (self.sign * values - self.reference) / self.scale


def _known(prospects: Prospects) -> Known:
    if prospects.known is None or len(prospects.objectives) < 2:
        raise SchemaError(
            "the hypervolume of one value",
            expected="several values of the same measurements",
            fix='suggest([strength, ductility], pool, goal=Hypervolume()), or goal="max" for one',
        )
    return prospects.known


def _log_volumes(means: Tensor, moved: Tensor, front: Tensor) -> Tensor:
    r"""Logarithm of the volume that each pair is expected to add to a front above the origin (n x m).

    A box between l and u adds $\prod_i E[(\min(u_i, f_i) - l_i)_+]$, each factor the difference of two improvements.

    Args:
        means: n x o.
        moved: variances, n x m x o.
        front: k x o.
    """
    lower, upper = FastNondominatedPartitioning(means.new_zeros(means.shape[-1]), front).get_hypercell_bounds()
    volumes, size = [], max(1, BLOCK // (moved[0].numel() * len(lower)))
    for mean, variance in zip(means.split(size), moved.split(size), strict=True):
        at, spread = mean[:, None, None], variance[:, :, None]
        inside = log_improvement(at - lower, spread)
        # Nothing is improved beyond the end of a box that has none.
        beyond = log_improvement(at - upper.clamp_max(FAR), spread).masked_fill(upper.isinf(), -math.inf)
        # Rounding may put the end of a thin box before its beginning.
        volumes.append(logdiffexp(torch.minimum(beyond, inside), inside).sum(dim=-1).logsumexp(dim=-1))
    return torch.cat(volumes)
