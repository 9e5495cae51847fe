"""A posterior whose intervals are its own, at levels that held-out rows have set."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from mfmat.posteriors.calibrated import CalibratedPosterior, Ends
from mfmat.posteriors.questions import RowPosterior, log_mass
from mfmat.posteriors.weighing import Tally, Weighing, need
from mfmat.types import Values

FAR = 8.0
"""Normal score above which one minus a cumulative probability rounds to 0."""
DOUBLINGS, HALVINGS = 60, 80
"""Steps out from the median to a value beyond the end, and back to the end."""
CLOSE = 1e-12
"""Width of the bracket, in standard deviations, that counts as a point; a value so near to an atom is on it."""


class DistributionalPosterior(CalibratedPosterior):
    r"""A posterior whose levels are mended: distributional conformal prediction.

    The score $R_i = \Phi^{-1}(F_i(y_i))$ of a calibration row says how far out its value lies in what was predicted
    of it; of a Gaussian it counts standard deviations. With one model the interval at level $1-\alpha$ runs from
    $F^{-1}(\Phi(-R))$ to $F^{-1}(\Phi(R))$, R the $\lceil(1-\alpha)(n+1)\rceil$-th smallest $|R_i|$: the distribution
    keeps its shape, with several peaks or an atom. With several models, each having given scores to the rows it had
    not seen, y lies inside where fewer than $\lceil(1-\alpha)(n+1)\rceil$ rows have a score below that
    which their model gives to y (CV+). Where some values lie on an atom, which intervals hold more often than they
    say, y lies inside, too, where the other scores alone say so: these must not pay for the atom.

    Args:
        base: the posterior of the model fitted to all rows.
        scores: n scores, see `normal_score`.
        smooth: n, True where the value is on no atom; None: all are.
        said: the posteriors of the K models that gave the scores; None: the base did.
        members: n, which of these gave each score; None: the first.
        weighing: how much each counts for each of the b x q rows; None: all alike.
        ends: what scores are about, see `CalibratedPosterior`.

    Chernozhukov et al. 2021, doi:10.1073/pnas.2107794118; Barber et al. 2021, doi:10.1214/20-AOS1965.

    >>> from mfmat.posteriors import normal
    >>> base = normal(torch.zeros(1, 1).double(), torch.ones(1, 1, 1).double())
    >>> twice_too_sure = DistributionalPosterior(base, 2 * torch.linspace(0, 1.645, 100).double())
    >>> twice_too_sure.quantile(torch.tensor(0.95)).round(decimals=1)
    tensor([[[3.]]], dtype=torch.float64)
    """

    def __init__(
        self,
        base: RowPosterior,
        scores: Tensor,
        smooth: Tensor | None = None,
        *,
        said: Sequence[RowPosterior] | None = None,
        members: Tensor | None = None,
        weighing: Weighing | None = None,
        ends: Ends = "both",
    ) -> None:
        super().__init__(base, scores, weighing, ends)
        self.said = [base] if said is None else list(said)
        self.members = torch.zeros(len(scores), dtype=torch.long) if members is None else members
        every = torch.ones(len(scores), dtype=torch.bool)
        # Too few to tell, they follow the others.
        alone = smooth is None or int(smooth.sum()) in (0, len(scores))
        self.sets = [every] if smooth is None or alone else [every, smooth]

    def end(self, level: float, side: float) -> Values:
        """See `CalibratedPosterior.end`."""
        shape, r = self.base.mean.shape, self.base.mean.numel()
        judges = [(rows, self._judges(weights, own, level, side)) for rows, weights, own in self.weighing.parts(r)]
        if len(self.said) > 1:
            return self._search(lambda reach: self._inside(judges, reach), side)
        reach = self.base.mean.new_empty(r)
        for rows, tallies in judges:
            reach[rows] = torch.stack([tally.threshold(needed) for tally, needed in tallies]).amax(0)
        if bool((reach == reach[0]).all()) and float(reach[0]) < FAR:
            return self.base.quantile(torch.special.ndtr(side * reach[0])).reshape(shape)
        return self._search(lambda found: found[0] <= reach, side)

    def cdf(self, y: Values) -> Values:
        """See `CalibratedPosterior.cdf`."""
        own_score = normal_score(self.base, y)
        above = own_score.sign()
        found = torch.empty_like(above).flatten()
        reach = [above.flatten() * normal_score(each, y).flatten() for each in self.said]
        for side in (-1.0, 0.0, 1.0):
            for rows, weights, own in self.weighing.parts(y.numel()):
                tallies = self._judges(weights, own, 1.0, side)
                shares = [tally.below([e[rows] for e in reach], upto=True) / needed for tally, needed in tallies]
                here = above.flatten()[rows] == side
                found[rows[here]] = torch.stack(shares).amin(0).clamp_max(1)[here]
        return self.below(above, found.reshape(above.shape))

    def _judges(self, weights: Tensor, own: Tensor, level: float, side: float) -> list[tuple[Tally, Tensor]]:
        """The scores of each set of calibration rows, and the weight that the interval has to hold of them."""
        scores = self.scores.abs() if self.ends == "both" else side * self.scores
        found = []
        for i, held in enumerate(self.sets):
            needed = need(weights[held], own, level)
            # Those that lie on no atom may be too few to set an end that all together do set.
            needed = needed.clamp_max(float(weights[held].sum())) if i and level < 1 else needed
            found.append((Tally(scores[held], self.members[held], weights[held], len(self.said)), needed))
        return found

    def _inside(self, judges: list[tuple[Tensor, list[tuple[Tally, Tensor]]]], reach: list[Tensor]) -> Tensor:
        """Whether values whose scores on that side are these (K of r) lie inside."""
        inside = torch.empty_like(reach[0], dtype=torch.bool)
        for rows, tallies in judges:
            flags = [tally.below([each[rows] for each in reach]) < needed for tally, needed in tallies]
            inside[rows] = torch.stack(flags).any(0)
        return inside

    def _search(self, inside: Callable[[list[Tensor]], Tensor], side: float) -> Values:
        """The last value on that side of the median for which `inside` holds of the models' scores."""
        shape = self.base.mean.shape
        near = self.median.reshape(-1)
        step = self.base.variance.sqrt().reshape(-1)
        step = torch.where(step > 0, step, near.abs() + 1.0)

        def holds(y: Tensor) -> Tensor:
            return inside([side * normal_score(each, y.reshape(shape)).reshape(-1) for each in self.said])

        far, open_ = near + side * step, torch.ones_like(near, dtype=torch.bool)
        for doubling in range(DOUBLINGS):
            open_ = holds(far)
            if not bool(open_.any()):
                break
            near = torch.where(open_, far, near)
            far = torch.where(open_, far + side * step * 2.0**doubling, far)
        for _ in range(HALVINGS):
            if bool(((far - near).abs()[~open_] <= CLOSE * step[~open_]).all()):
                break
            middle = 0.5 * (near + far)
            held = holds(middle)
            near, far = torch.where(held, middle, near), torch.where(held, far, middle)
        return self._snap(torch.where(open_, side * math.inf, far), step).reshape(shape)

    def _snap(self, found: Tensor, step: Tensor) -> Tensor:
        """The values, on an atom of any of the models where they are as near as the search can tell."""
        for posterior in self.said:
            if getattr(posterior, "has_atoms", False):
                _, means, stds = (part.flatten(1) for part in posterior.components)  # type: ignore[attr-defined]
                for mean, std in zip(means, stds, strict=True):
                    on = (std == 0) & ((found - mean).abs() <= 2 * CLOSE * step)
                    found = torch.where(on, mean, found)
        return found


def normal_score(posterior: RowPosterior, y: Values, window: Tensor | None = None, seed: int = 0) -> Tensor:
    r"""How far out each value lies, $\Phi^{-1}(u)$ with u its cumulative probability (b x q x 1), with its sign.

    A value on an atom lies at all probabilities between $F(y - d)$ and $F(y + d)$ alike; u is drawn from them, so that
    a right model stays as it is (Czado et al. 2009, doi:10.1111/j.1541-0420.2009.01191.x).

    Args:
        posterior: what was predicted.
        y: what was measured.
        window: d (b x q x 1), 0 where the value is on no atom; None: none is.
        seed: of the draws.

    >>> from mfmat.posteriors import normal
    >>> normal_score(normal(torch.zeros(1), torch.eye(1)), torch.full((1, 1), -3.0)).round(decimals=3)
    tensor([[-3.]])
    """
    far = torch.full_like(y, math.inf)
    if window is None or not bool((window > 0).any()):
        below, above = log_mass(posterior, -far, y).exp(), log_mass(posterior, y, far).exp()
    else:
        share = torch.rand(y.shape, dtype=y.dtype, generator=torch.Generator().manual_seed(seed))
        around = torch.where(window > 0, log_mass(posterior, y - window, y + window).exp(), 0.0)
        # Each tail on its own: beyond eight standard deviations one minus the other is 0.
        below = log_mass(posterior, -far, y - window).exp() + share * around
        above = log_mass(posterior, y + window, far).exp() + (1 - share) * around
    reach: Tensor = -torch.special.ndtri(torch.minimum(below, above).clamp(torch.finfo(y.dtype).tiny, 0.5))
    return torch.where(below < above, -reach, reach)
