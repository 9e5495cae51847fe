"""Difference: each source is the one below, scaled, plus a correction."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, replace

import torch
from torch import Tensor

from mfmat.data import Data, material_keys
from mfmat.errors import FitError
from mfmat.gates.place import Place
from mfmat.learner import Facts, FittedModel, Learner, seat, views_of
from mfmat.learner import part as part_of
from mfmat.stacks.chain import DifferenceModel, Handed, Level, locate, widen
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

    With `slope_components` the slope differs from place to place, $\rho_s(x) = \rho_s + b_s^T \phi(x)$ with $\phi$ the
    leading principal components of the views and $b_s$ near 0 unless rows say otherwise; far from all rows it is
    $\rho_s$. With `sees_below` a correction has z as its last input, $\delta_s(x, z)$, in a view named `below`; the
    doubt about z is carried through the slope alone (all of it: `Latent`).

    Args:
        members: one learner for every source, or one for each source in order of trust.
        leave_out: sources that no other stands on; their own rows still tell what they would say.
        limit: rows of a cheap source that its member is fitted to at most, those of materials that the target
            has too first, the others drawn at random. Measured values of all rows are used all the same.
        rounds: times that slope and correction are learned in turn.
        slope_components: principal components along which slopes differ; 0: they are the same everywhere.
        sees_below: whether a correction sees the value of the source below.
        seed: of that draw.

    Raises:
        SchemaError: a number of members that is neither 1 nor that of the sources.
        FitError: fewer than 0 components; limits where a member is no `GP`.

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
    slope_components: int = 0
    sees_below: bool = False
    seed: int = 0

    def __post_init__(self) -> None:
        object.__setattr__(self, "members", tuple(self.members))
        if self.slope_components < 0:
            raise FitError(
                f"slope_components={self.slope_components}",
                expected="0, for one slope everywhere, or more",
                fix="Difference(members, slope_components=2)",
            )

    def restore(self, facts: Facts, state: Mapping[str, Tensor]) -> DifferenceModel:
        """The fitted chain that had these facts and this state."""
        levels = []
        for i, fact in enumerate(facts["levels"]):
            model = seat(self.members, i, len(facts["levels"])).restore(fact["member"], part_of(state, f"members.{i}."))
            link = Link.of(fact["link"]) if fact["link"] else None
            place = _place(fact["place"])
            if place:
                place.load_state_dict(part_of(state, f"places.{i}."))
            measured = state[f"keys_{i}"], state[f"values_{i}"]
            levels.append(Level(model, fact["parent"], link, *measured, place, fact["sees_below"]))
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
        valued = rows.take(~rows.bounded)
        keys, order = material_keys(valued.X, data.material).sort()
        values = valued.Y[order, 0]
        if fidelity < data.target:
            shared = torch.isin(material_keys(rows.X, data.material), self._targets(data))
            rows = rows.draw(self.limit, shared, self.seed)
        firm = [i for i, level in enumerate(lower) if len(level.keys) and data.sources[i] not in self.leave_out]
        parent = max(firm, default=None)
        if parent is None:
            return Level(member.fit(rows), None, None, keys, values)
        standards = data.standards()
        rows = replace(rows, anchor=(0.0, standards[fidelity][1]))
        handed = DifferenceModel(lower, _facts(data)).hand(rows.X, parent)
        scales = standards[parent][1], standards[fidelity][1]
        place = self._find_place(rows)
        model, link = self._correct(member, rows, handed, scales, locate(place, rows.X))
        return Level(model, parent, link, keys, values, place, self.sees_below)

    def _find_place(self, rows: Data) -> Place | None:
        """Where the slope is told apart, learned from the rows that it is learned from."""
        width = rows.X.shape[-1] - 1
        if not min(self.slope_components, width):
            return None
        place = Place(rows.views, width, min(self.slope_components, width))
        place.measure(rows.X[:, :-1])
        return place

    def _targets(self, data: Data) -> Tensor:
        return material_keys(data.X[data.fidelity == data.target], data.material)

    def _correct(
        self,
        member: Learner,
        rows: Data,
        handed: tuple[Handed, Tensor],
        scales: tuple[float, float],
        basis: Tensor | None,
    ) -> tuple[FittedModel, Link]:
        below, latent = handed
        y, surprise = rows.Y[:, 0], below.surprise
        H = design(below.predicted, surprise, 0.0, basis)
        # Before a member says what limits stand for, values alone speak.
        inverse = torch.cat([H, rows.Y], dim=1) * ~rows.bounded[:, None] / scales[1] ** 2
        # What is smooth in the source below is not held against the correction before the slope is known.
        trend = H[:, 1:3] * (PRIOR_SPREAD * scales[1] / scales[0])
        for _ in range(self.rounds):
            link = regress(H, inverse, scales, below.predicted, surprise)
            z = below.mean(link.trust)
            residual = y - link.follow(z, basis)
            carried = link.slopes(basis) ** 2 * below.variance(link.trust, latent)
            part = replace(rows, Y=residual[:, None], Yvar=rows.Yvar + carried[:, None], trend=trend)
            model = member.fit(_widen(part, z) if self.sees_below else part)
            H = design(below.predicted, surprise, link.trust, basis)
            inverse = model.solve(torch.cat([H, _values(model, rows, link.follow(z, basis))], dim=1))
        return model, link


def _values(model: FittedModel, rows: Data, followed: Tensor) -> Tensor:
    """The values of the rows (n x 1), limits as the measurements that the model of what is left made of them."""
    if not bool(rows.bounded.any()):
        return rows.Y
    told = model.told()
    if told is None:
        raise FitError(
            f"{int(rows.bounded.sum())} limits in place of values",
            expected="GP members, which say what limits tell of the slope, or values",
            fix="Difference([GP()]), Latent([GP(), Imputed(Forest())])",
        )
    return (told + followed)[:, None]


def _widen(rows: Data, z: Tensor) -> Data:
    """The rows with the value of the source below as a view."""
    width = rows.X.shape[-1] - 1
    return replace(rows, X=widen(rows.X, z), views={**rows.views, "below": slice(width, width + 1)})


def _place(facts: Facts | None) -> Place | None:
    if facts is None:
        return None
    views = views_of(facts)
    return Place(views, facts["width"], facts["components"])


def _facts(data: Data) -> Facts:
    return {"width": data.X.shape[-1] - 1, "sources": list(data.sources), "material": data.material}
