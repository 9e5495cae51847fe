"""Latent: what cheap sources say of a material becomes an input of the target's model."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import KW_ONLY, dataclass, replace
from functools import partial

import torch
from torch import Tensor

from mfmat.data import Data, material_keys, places
from mfmat.errors import FitError
from mfmat.kernels import PLUS
from mfmat.learner import Facts, FittedModel, Learner, seat
from mfmat.learner import part as part_of
from mfmat.stacks.hidden import find_axes
from mfmat.stacks.latent_draws import even_draws
from mfmat.stacks.latent_model import LatentModel, Level, Seen
from mfmat.stacks.levels import LevelledLearner

Fit = Callable[[Learner, Data], list[FittedModel]]
"""Fits a member to the rows of its level: once, or to all rows and without each fold."""
FEW = 20
"""Rows of each kind, measured and not..."""
SHARE = 0.05
"""...and their share, from which on a column tells the kinds apart; a rare flag would only set rows aside."""
STEPS = 400
"""Rows below which a level is told where a source has its floor: more of them show the step in the values."""
NEGLIGIBLE = 0.01
"""Share of the noise below which the doubt about latent values is not worth another fit."""


@dataclass(frozen=True)
class Latent(LevelledLearner, kind="latent"):
    r"""What the cheap sources say of a material as further inputs: the explicit latent variable.

    $z_s = c_s$ where the value of the material in source s is measured, else $z_s \sim N(\mu_s(x), v_s(x))$, the answer
    of a member fitted to the source's own rows; $y = g(x, z_0, \dots, z_{m-2}) + \epsilon$ with g any learner. Where
    a chain of corrections needs the cheap source to be right up to a slope, g bends as the target's rows say, and other
    than a correlation it may differ from place to place. To g the latents are views of X, `latent.<source>`: the value;
    of a source that often has its smallest value exactly, as gaps of metals are 0, whether it is there, to fewer than
    400 rows; and, where some of the target's materials are measured in the source and others not, which are. A process
    has a linear term in them beside its own kernel, so that it follows a source beyond the values seen.

    The doubt about z is carried through. g is fitted to the $\mu_s$ with the variance $\sum_s a_s^2$ added to the known
    noise of a row, where $a_s$ is the change of g for one standard deviation of $z_s$, found with the fit before
    (McHutchon & Rasmussen 2011), so that its own noise is without the errors of the latents. A new row's posterior is
    the even mixture of what g says at `draws` quasi-random values of all its unmeasured latents. The joint Gaussian has
    the moments of that mixture, and follows every source along the slopes.

    A source without rows gives no view. A source whose kind is a label is seen as the probability of its
    classes (1 or 0 where the label is known).

    Args:
        members: one learner for every source, or one for each source in order of trust; the last is g.
        chained: whether a source sees the latents of all below it; side by side unless so.
        draws: of the unmeasured latents for a prediction, made even, and at least twice the number of sources; 1: their
            means alone, and the doubt about them is part of the noise that g learns.
        limit: rows of a cheap source that its member is fitted to at most, those of materials that the target
            has too first, the others drawn at random; None: all. Measured values of all rows are used all the same.
        hidden: principal components of the last hidden layer of each source's network (`Ensemble`, `BNN`, `AtomSet`,
            `DeepKernelGP`) that are seen beside its value, in a view `latent.<source>.hidden`: what it learned of the
            material on the way. Members that are no networks have none.
        leave_out: sources that no other sees; their own rows still tell what they would say.
        rounds: times that g is fitted at most; with 1 its noise holds the errors of the latents, and draws add
            them once more.
        seed: of the rows and the values that are drawn.

    Raises:
        SchemaError: a number of members that is neither 1 nor that of the sources.
        FitError: no rounds, draws or rows; hidden layers asked for where no member has any.

    Hutchinson et al. 2017, arXiv:1711.05099; Perdikaris et al. 2017, doi:10.1098/rspa.2016.0751; McHutchon & Rasmussen
    2011, https://papers.nips.cc/paper/4295; the linear term: Cutajar et al. 2019, arXiv:1903.07320.

    >>> from mfmat.experts import GP
    >>> Latent([GP()]) == Latent((GP(),))
    True
    """

    members: Sequence[Learner]
    _: KW_ONLY
    chained: bool = False
    draws: int = 8
    limit: int | None = 3000
    hidden: int = 0
    leave_out: tuple[str, ...] = ()
    rounds: int = 2
    seed: int = 0

    def __post_init__(self) -> None:
        object.__setattr__(self, "members", tuple(self.members))
        object.__setattr__(self, "leave_out", tuple(self.leave_out))
        sizes = {
            "draws": self.draws,
            "rounds": self.rounds,
            "hidden": self.hidden + 1,
            "limit": self.limit or int(self.limit is None),
        }
        if wrong := [f"{name}={getattr(self, name)}" for name, size in sizes.items() if size < 1]:
            raise FitError(
                ", ".join(wrong),
                expected="at least 1 (hidden: 0)",
                fix="Latent(members, draws=8, rounds=2, limit=3000)",
            )

    def fit_with_folds(
        self, data: Data, folds: Sequence[Tensor], executor: Executor | None = None
    ) -> list[FittedModel]:
        """See `Learner.fit_with_folds`: the levels below once, the top as its member does it."""
        lower = self._lower(data)
        held = places(data.fidelity == data.target, folds)
        fit = partial(_fit_with_folds, folds=held, executor=executor)
        return [self._model([*lower, top], data) for top in self._levels(data, data.target, lower, fit)]

    def restore(self, facts: Facts, state: Mapping[str, Tensor]) -> LatentModel:
        """The fitted levels that had these facts and this state."""
        levels = []
        for i, fact in enumerate(facts["levels"]):
            model = seat(self.members, i, len(facts["levels"])).restore(fact["member"], part_of(state, f"members.{i}."))
            sees = tuple(Seen(**seen) for seen in fact["sees"])
            measured = state[f"keys_{i}"], state[f"values_{i}"]
            levels.append(Level(model, sees, *measured, fact["classes"], state[f"axes_{i}"]))
        return LatentModel(levels, state["normals"], facts).eval()

    def _lower(self, data: Data) -> list[Level]:
        self._check_left_out(data)
        levels: list[Level] = []
        for fidelity in range(data.target):
            levels += self._levels(data, fidelity, levels, _fit_one)
        return levels

    def _top(self, data: Data, lower: list[Level]) -> LatentModel:
        return self._model([*lower, *self._levels(data, data.target, lower, _fit_one)], data)

    def _model(self, levels: Sequence[Level], data: Data) -> LatentModel:
        facts = {"width": data.X.shape[-1] - 1, "sources": list(data.sources), "material": data.material}
        return LatentModel(levels, even_draws(self.draws, data.target, self.seed), facts).eval()

    def _levels(self, data: Data, fidelity: int, lower: list[Level], fit: Fit) -> list[Level]:
        """The member of one source, fitted to its rows and what it sees of those below, as often as `fit` does."""
        member = seat(self.members, fidelity, len(data.sources))
        hidden = self.hidden if fidelity < data.target else 0
        rows = data.at(fidelity)
        own = material_keys(rows.X, data.material)
        valued = rows.take(~rows.bounded)
        keys, order = own[~rows.bounded].sort()
        make = partial(Level, keys=keys, values=valued.Y[order, 0], classes=len(data.classes.get(fidelity, ())))
        if fidelity < data.target and self.limit is not None:
            targets = material_keys(data.X[data.fidelity == data.target], data.material)
            rows = rows.draw(self.limit, torch.isin(own, targets), self.seed)
        firm = [i for i, level in enumerate(lower) if len(level.keys) and data.sources[i] not in self.leave_out]
        if not firm or not (self.chained or fidelity == data.target):
            return [make(model, (), axes=find_axes(model, rows.X, hidden)) for model in fit(member, rows)]
        below = self._model(lower, data)
        kept = material_keys(rows.X, data.material)
        floors = {i: _find_floor(data, i) if len(rows) < STEPS else None for i in firm}
        sees = tuple(replace(_see(below, i, kept), hidden=bool(lower[i].axes.shape[1]), floor=floors[i]) for i in firm)
        if self.hidden and not any(seen.hidden for seen in sees):
            raise FitError(
                f"hidden={self.hidden} with sources fitted by members that are no networks",
                expected="a network for one source at least",
                fix=f"Latent([Ensemble(), GP()], hidden={self.hidden}), or hidden=0",
            )
        wide = _widen(rows, below, sees)
        models = fit(member, wide)
        # Labels have no noise to add to.
        for _ in range(self.rounds - 1 if len(rows) and rows.labels() is None else 0):
            carried, noise = self._model([*lower, make(models[0], sees)], data).carried(rows.X.unsqueeze(1))
            if float(carried.sum()) <= NEGLIGIBLE * float(noise.sum()):
                break
            models = fit(member, replace(wide, Yvar=rows.Yvar + carried[:, None]))
        return [make(model, sees, axes=find_axes(model, wide.X, hidden)) for model in models]


def _fit_one(member: Learner, rows: Data) -> list[FittedModel]:
    return [member.fit(rows)]


def _fit_with_folds(
    member: Learner, rows: Data, folds: Sequence[Tensor], executor: Executor | None
) -> list[FittedModel]:
    return member.fit_with_folds(rows, folds, executor)


def _see(below: LatentModel, fidelity: int, keys: Tensor) -> Seen:
    """How rows of these materials see a source: as they will be asked for, so were they learned from."""
    found = below.levels[fidelity].measured(keys)[0]
    measured, all_rows = int(found.sum()), len(found)
    rare = min(measured, all_rows - measured)
    if rare >= max(FEW, SHARE * all_rows):
        return Seen(fidelity, exact=True, flag=True)
    # Without measured values beside the rows, what these would tell beyond the prediction is part of the noise.
    return Seen(fidelity, exact=measured > SHARE * all_rows, flag=False)


def _find_floor(data: Data, fidelity: int) -> float | None:
    """The smallest value of a source, where it often has it exactly, as gaps of metals are 0."""
    often = data.atoms(fidelity)
    known = data.Y[(data.fidelity == fidelity) & ~data.bounded, 0]
    return float(often[0]) if len(often) and not data.classes.get(fidelity) and bool(often[0] == known.min()) else None


def _widen(rows: Data, below: LatentModel, sees: Sequence[Seen]) -> Data:
    """The rows with a view for each source that they see."""
    width = rows.X.shape[-1] - 1
    views, kernels, end = dict(rows.views), dict(rows.kernels), width
    for seen in sees:
        name = f"latent.{rows.sources[seen.fidelity]}"
        level = below.levels[seen.fidelity]
        kernels[name] = f"{PLUS}linear"
        views[name] = slice(end, end := end + level.columns + (seen.floor is not None) + seen.flag)
        if seen.hidden:
            views[f"{name}.hidden"] = slice(end, end := end + level.axes.shape[1])
    latents = below.view(rows.X.unsqueeze(1), sees)
    X = torch.cat([rows.X[:, :-1], latents, rows.X[:, -1:]], dim=1)
    return replace(rows, X=X, views=views, kernels=kernels)
