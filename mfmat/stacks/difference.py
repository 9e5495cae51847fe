"""Difference: each source is the one below, scaled, plus a correction."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, replace

import torch
from torch import Tensor

from mfmat.data import Data, material_keys
from mfmat.learner import Facts, FittedModel, Learner, seat
from mfmat.learner import part as part_of
from mfmat.stacks.chain import DifferenceModel, Handed, Level
from mfmat.stacks.levels import LevelledLearner
from mfmat.stacks.links import PRIOR_SPREAD, Link, design, regress


@dataclass(frozen=True)
class Difference(LevelledLearner, kind="difference"):
    r"""A chain of corrections over any number of sources, in order of trust.

    $f_0 = g_0(x)$ and $f_s(x) = \rho_s z_{s-1}(x) + \delta_s(x)$, each $g, \delta$ a member fitted on its
    own rows. $z_{s-1}$ is the material's value in the source below: where it has been measured,
    $p + t_s (c - p)$ with the measured c, the prediction p and a learned trust $t_s \in [0, 1]$ (1: all that
    no feature tells carries over; 0: it was measurement noise); where not, the prediction with its
    uncertainty. Slope $\rho_s$ and trust are learned together by generalised least squares (`regress`),
    the slope's uncertainty is carried, rows need not be nested. A source without rows follows the one
    below it, give or take the spread of its values.

    Args:
        members: one learner for every source, or one for each source in order of trust.
        leave_out: sources that no other stands on; their own rows still tell what they would say.
        limit: rows of a cheap source that its member is fitted to at most, those of materials that the target
            has too first, the others drawn at random. Measured values of all rows are used all the same.
        rounds: times that slope and correction are learned in turn.
        seed: of that draw.

    Raises:
        SchemaError: a number of members that is neither 1 nor that of the sources.

    Kennedy & O'Hagan 2000, doi:10.1093/biomet/87.1.1; Le Gratiet & Garnier 2014,
    doi:10.1615/Int.J.UncertaintyQuantification.2014006914.

    >>> from mfmat.experts import GP
    >>> Difference([GP()]) == Difference((GP(),))
    True
    """

    members: Sequence[Learner]
    _: KW_ONLY
    leave_out: tuple[str, ...] = ()
    limit: int = 3000
    rounds: int = 2
    seed: int = 0

    def __post_init__(self) -> None:
        object.__setattr__(self, "members", tuple(self.members))

    def restore(self, facts: Facts, state: Mapping[str, Tensor]) -> DifferenceModel:
        """The fitted chain that had these facts and this state."""
        levels = []
        for i, fact in enumerate(facts["levels"]):
            model = seat(self.members, i, len(facts["levels"])).restore(fact["member"], part_of(state, f"members.{i}."))
            link = Link(**fact["link"]) if fact["link"] else None
            levels.append(Level(model, fact["parent"], link, state[f"keys_{i}"], state[f"values_{i}"]))
        return DifferenceModel(levels, facts).eval()

    def _lower(self, data: Data) -> list[Level]:
        self._check_left_out(data)
        levels: list[Level] = []
        for fidelity in range(data.target):
            levels.append(self._level(data, fidelity, levels))
        return levels

    def _top(self, data: Data, lower: list[Level]) -> DifferenceModel:
        return DifferenceModel([*lower, self._level(data, data.target, lower)], _facts(data)).eval()

    def _level(self, data: Data, fidelity: int, lower: list[Level]) -> Level:
        member = seat(self.members, fidelity, len(data.sources))
        rows = data.at(fidelity)
        keys, order = material_keys(rows.X, data.material).sort()
        values = rows.Y[order, 0]
        if fidelity < data.target:
            shared = torch.isin(material_keys(rows.X, data.material), self._targets(data))
            rows = rows.draw(self.limit, shared, self.seed)
        firm = [i for i, level in enumerate(lower) if len(level.keys) and data.sources[i] not in self.leave_out]
        parent = max(firm, default=None)
        if parent is None:
            return Level(member.fit(rows), None, None, keys, values)
        standards = data.standards()
        rows = replace(rows, anchor=(0.0, standards[fidelity][1]))
        below, latent = DifferenceModel(lower, _facts(data)).hand(rows.X, parent)
        scales = standards[parent][1], standards[fidelity][1]
        model, link = self._correct(member, rows, below, latent, scales)
        return Level(model, parent, link, keys, values)

    def _targets(self, data: Data) -> Tensor:
        return material_keys(data.X[data.fidelity == data.target], data.material)

    def _correct(
        self, member: Learner, rows: Data, below: Handed, latent: Tensor, scales: tuple[float, float]
    ) -> tuple[FittedModel, Link]:
        y, surprise = rows.Y[:, 0], below.surprise
        targets = torch.cat([design(below.predicted, surprise), rows.Y], dim=1)
        inverse = targets / scales[1] ** 2
        # What is smooth in the source below is not held against the correction before the slope is known.
        trend = targets[:, 1:3] * (PRIOR_SPREAD * scales[1] / scales[0])
        for _ in range(self.rounds):
            link = regress(y, below.predicted, surprise, scales, inverse)
            residual = y - link.slope * below.mean(link.trust)
            carried = link.slope**2 * below.variance(link.trust, latent)
            part = replace(rows, Y=residual[:, None], Yvar=rows.Yvar + carried[:, None], trend=trend)
            model = member.fit(part)
            inverse = model.solve(targets)
        return model, link


def _facts(data: Data) -> Facts:
    return {"width": data.X.shape[-1] - 1, "sources": list(data.sources), "material": data.material}
