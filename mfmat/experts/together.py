"""Many Bayesian networks on the same rows, trained in one pass."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.func import functional_call, vmap

from mfmat.data import Data
from mfmat.descent import few_threads
from mfmat.experts.bnn import BNN
from mfmat.experts.laplace import LaplaceModel
from mfmat.experts.multi_head import FLOOR
from mfmat.learner import FittedModel, Learner, facts_of
from mfmat.progress import track
from mfmat.training import Schedule, count_held, fall, hold_out

BLOCKS = 16
"""Blocks of rows whose scores are remembered."""


def fit_together(recipes: Sequence[Learner], data: Data) -> list[FittedModel]:
    """The model of each recipe, in their order: those of networks of one shape are trained side by side.

    `BNN`s that differ in nothing but their seed are stacked and trained by `torch.func.vmap`. Each keeps its own first
    weights, held-out compounds, order of rows and dropout, stops where its own held-out rows are predicted best, and
    has its own evidence: it is the model of `recipe.fit(data)` up to rounding, unless compounds have so unequal numbers
    of rows that networks would differ in the steps of an epoch; they then all take as many. Any other learner, labels
    and limits are fitted one at a time.

    Args:
        recipes: stacked are `BNN`s with hidden layers and the default `inference`, `layers`, `noise` and `heads`.
        data: the rows.

    >>> import pandas as pd, mfmat as mf
    >>> table = pd.DataFrame({"x": range(20), "y": [i * i for i in range(20)]})
    >>> data = mf.Schema(mf.Columns("x"), value="y").data(table)
    >>> models = fit_together([mf.BNN(hidden=(8,), steps=50, epochs=1, seed=seed) for seed in range(3)], data)
    >>> [tuple(model.posterior(data.X[:4].unsqueeze(1)).mean.shape) for model in models]
    [(4, 1, 1), (4, 1, 1), (4, 1, 1)]
    """
    alike: dict[Learner, list[int]] = {}
    for place, recipe in enumerate(recipes):
        alike.setdefault(form_of(recipe) or recipe, []).append(place)
    found: dict[int, FittedModel] = {}
    for form, places in alike.items():
        networks = [recipe for place in places if isinstance(recipe := recipes[place], BNN)]
        stacked = form_of(form) is not None and _plain(data)
        models = _fit(networks, data) if stacked else [recipes[place].fit(data) for place in places]
        found |= zip(places, models, strict=True)
    return [found[place] for place in range(len(recipes))]


@contextmanager
def remembering(models: Sequence[FittedModel]) -> Iterator[None]:
    """While this lasts, networks that were trained together bring equal rows on one scale only once."""
    networks = [model.network for model in models if isinstance(model, LaplaceModel)]
    same = [network for network in networks if network.inputs is networks[0].inputs]
    if len(same) < 2:
        yield
        return
    inputs = same[0].inputs
    remembered = _Remembered(inputs)
    try:
        for network in same:
            network.inputs = remembered  # type: ignore[assignment]
        yield
    finally:
        for network in same:
            network.inputs = inputs


class _Remembered(torch.nn.Module):
    """Inputs with what became of the last few blocks of rows."""

    def __init__(self, inputs: torch.nn.Module) -> None:
        super().__init__()
        self.inputs = inputs
        self.known: deque[tuple[Tensor, Tensor]] = deque(maxlen=BLOCKS)

    def forward(self, x: Tensor) -> Tensor:
        """As of the inputs."""
        if x.requires_grad:
            moving: Tensor = self.inputs(x)
            return moving
        for seen, found in self.known:
            if torch.equal(seen, x):
                return found
        made: Tensor = self.inputs(x)
        self.known.append((x, made))
        return made


def form_of(recipe: Learner) -> Learner | None:
    """What recipes that are trained side by side have in common; None of one that is fitted alone."""
    if type(recipe) is not BNN or not recipe.hidden:
        return None
    usual = (recipe.inference, recipe.layers, recipe.noise, recipe.heads) == ("laplace", "last", "source", "shared")
    return replace(recipe, seed=0) if usual else None


def _plain(data: Data) -> bool:
    return len(data) > 0 and not bool(data.bounded.any()) and not bool(data.labelled.any())


def _fit(recipes: Sequence[BNN], data: Data) -> list[LaplaceModel]:
    """Networks of one shape."""
    models = [recipe.build(facts_of(data)) for recipe in recipes]
    first, x = models[0], data.X[:, :-1]
    first.measure(x)
    for model in models[1:]:
        model.network.inputs, model.familiarity = first.network.inputs, first.familiarity
    parts = [hold_out(data, recipe.held, recipe.seed) for recipe in recipes]
    with few_threads(len(data)):
        with torch.no_grad():
            scaled = replace(data, X=torch.cat([first.network.inputs(x), data.X[:, -1:]], dim=1))
        _train(models, scaled, parts, recipes)
        for model, part in zip(models, parts, strict=True):
            # The columns are on one scale already, the same for all.
            inputs = model.network.inputs
            model.network.inputs = torch.nn.Identity()  # type: ignore[assignment]
            model.eval()
            model.learn(scaled, part)
            model.network.inputs = inputs
    return models


@dataclass(frozen=True)
class _Batches:
    """How rows are cut into steps, whichever of them a network holds out.

    Attributes:
        size: rows a step.
        least, most: rows that a network can have to train on.
    """

    size: int
    least: int
    most: int

    @classmethod
    def of(cls, data: Data, held: float, size: int) -> _Batches:
        counts = data.groups.unique(return_counts=True)[1].sort().values
        out = count_held(len(counts), held)
        return cls(size, len(data) - int(counts[len(counts) - out :].sum()), len(data) - int(counts[:out].sum()))

    @property
    def widths(self) -> list[int]:
        """Places for rows in each step of an epoch."""
        steps = math.ceil(self.most / self.size)
        even = math.ceil((steps - 1) * self.size / steps) if self.least <= (steps - 1) * self.size else 0
        return [self.size] * (steps - 1) + [max(self.most - (steps - 1) * self.size, even)]

    def cut(self, rows: Tensor) -> Sequence[Tensor]:
        """The rows of one network, a part a step."""
        steps = len(self.widths)
        return rows.split(self.size) if math.ceil(len(rows) / self.size) == steps else rows.tensor_split(steps)

    def epoch(self, orders: Sequence[Tensor]) -> Iterator[tuple[Tensor, Tensor]]:
        """Rows of every network for each step (M x width), and which places are filled."""
        for width, parts in zip(self.widths, zip(*map(self.cut, orders), strict=True), strict=True):
            yield _pad(parts, width)


def _pad(parts: Sequence[Tensor], width: int) -> tuple[Tensor, Tensor]:
    at, filled = torch.zeros(len(parts), width, dtype=torch.long), torch.zeros(len(parts), width)
    for own, flags, part in zip(at, filled, parts, strict=True):
        own[: len(part)], flags[: len(part)] = part, 1.0
    return at, filled


def _train(
    models: Sequence[LaplaceModel], data: Data, parts: Sequence[tuple[Tensor, Tensor]], recipes: Sequence[BNN]
) -> None:
    """Each network as `fit_heads` trains it, to where its held-out rows are predicted best."""
    recipe = recipes[0]
    schedule = Schedule(recipe.epochs, recipe.steps, recipe.batch, recipe.rate, recipe.decay)
    batches = _Batches.of(data, recipe.held, recipe.batch)
    steps = len(batches.widths)
    epochs = max(schedule.epochs, math.ceil(schedule.steps / steps))
    every = max(1, epochs // 100)
    stack = _Stack(models, data, recipes, max(*batches.widths, len(data) - batches.least))
    generators = [torch.Generator().manual_seed(each.seed) for each in recipes]
    held = _pad([part[1] for part in parts], len(data) - batches.least)
    best, since = torch.full((len(models),), math.inf, dtype=torch.double), torch.zeros(len(models))
    rates = fall(epochs * steps)
    for epoch in track(range(epochs), f"training {len(models)} networks", epochs):
        orders = [parts[j][0][torch.randperm(len(parts[j][0]), generator=generators[j])] for j in stack.going.tolist()]
        for i, (at, filled) in enumerate(batches.epoch(orders)):
            stack.step(at, filled, rates(epoch * steps + i))
        if not len(data) - batches.least or ((epoch + 1) % every and epoch + 1 < epochs):
            continue
        going = stack.going
        now = stack.score(held[0][going], held[1][going])
        better = now < best[going]
        stack.remember(better)
        best[going] = torch.where(better, now, best[going])
        since[going] = torch.where(better, 0.0, since[going] + every)
        stack.leave(since[going] > schedule.patience * epochs)
        if not len(stack.going):
            break
    stack.write(models, last=len(data) == batches.least)


class _Stack:
    """Networks of one shape, their parameters stacked, so that one pass serves all that are still in training."""

    def __init__(self, models: Sequence[LaplaceModel], data: Data, recipes: Sequence[BNN], most: int) -> None:
        self.device = recipes[0].device
        self.form = models[0].network
        self.names = [name for name, _ in self.form.named_parameters()]
        every = [dict(model.network.named_parameters()) for model in models]
        stacked = [torch.stack([own[name].detach().float() for own in every]) for name in self.names]
        # Matrices lie on their sides, as their gradients come: these then need not be copied.
        self.parameters = [_turn(value.to(self.device)).contiguous().requires_grad_() for value in stacked]
        self.best = [value.detach().clone() for value in self.parameters]
        self.going = torch.arange(len(models))
        self.draws = [torch.Generator().manual_seed(recipe.seed) for recipe in recipes]
        self.rate, self.hidden = recipes[0].rate, recipes[0].hidden
        self.optimiser = torch.optim.AdamW(self.parameters, lr=self.rate, weight_decay=recipes[0].decay, fused=True)
        y, extra = models[0].standardise(data)
        self.z, self.y, self.extra = (part.float().to(self.device) for part in (data.X[:, :-1], y, extra))
        self.room = self.z.new_empty(len(models) * most * self.z.shape[1])
        self.source, self.known = data.fidelity.to(self.device), data.known.to(self.device)

    def step(self, at: Tensor, filled: Tensor, rate: float) -> None:
        """One step of each network on its own rows (M x w), of which the filled places count."""
        kept = self._keep(filled)
        at, filled = at.to(self.device), filled.to(self.device)
        own = self._named()
        value = self._value(self._gather(at), kept)
        learned = own["log_noise"].gather(1, self.source[at]).exp()
        variance = FLOOR + self.extra[at] + torch.where(self.known[at], 0.0, learned)
        score = 0.5 * (variance.log() + (self.y[at] - value).square() / variance) * variance.detach().sqrt()
        ((filled * score).sum(1) / filled.sum(1).clamp_min(1)).sum().backward()
        self._clip()
        self.optimiser.param_groups[0]["lr"] = self.rate * rate
        self.optimiser.step()
        self.optimiser.zero_grad(set_to_none=True)

    def score(self, at: Tensor, filled: Tensor) -> Tensor:
        """What `surprise` says of each network's own held-out rows (M x w to M)."""
        at, filled = at.to(self.device), filled.to(self.device)
        with torch.no_grad():
            squares = (self.y[at] - self._value(self._gather(at))).square()
        total = torch.zeros(len(at), dtype=torch.double)
        for s in self.source.unique():
            mine = filled * (self.source[at] == s)
            count = mine.sum(1).double()
            mean = (mine * squares).sum(1).double() / count.clamp_min(1)
            total += (0.5 * count * (FLOOR + mean).log()).cpu()
        return total

    def remember(self, better: Tensor) -> None:
        """Keep the parameters of the networks that have never been better (flags, of those in training)."""
        which = better.nonzero()[:, 0]
        for kept, p in zip(self.best, self.parameters, strict=True):
            kept[self.going[which].to(kept.device)] = p.detach()[which.to(p.device)]

    def leave(self, done: Tensor) -> None:
        """Train on without the flagged ones."""
        if not bool(done.any()):
            return
        on = (~done).nonzero()[:, 0]
        self.going, self.draws = self.going[on], [self.draws[j] for j in on.tolist()]
        before, on = self.parameters, on.to(self.device)
        self.parameters = [p.detach()[on].requires_grad_() for p in before]
        for old, new in zip(before, self.parameters, strict=True):
            state = self.optimiser.state.pop(old)
            moved = {name: state[name][on] for name in ("exp_avg", "exp_avg_sq")}
            self.optimiser.state[new] = {"step": state["step"], **moved}
        self.optimiser.param_groups[0]["params"] = self.parameters

    def write(self, models: Sequence[LaplaceModel], *, last: bool) -> None:
        """Give each network its best parameters, or the last where nothing judged them."""
        with torch.no_grad():
            for j, model in enumerate(models):
                for name, value in zip(self.names, self.parameters if last else self.best, strict=True):
                    model.network.get_parameter(name).copy_(_turn(value)[j])

    def _named(self) -> dict[str, Tensor]:
        return dict(zip(self.names, map(_turn, self.parameters), strict=True))

    def _value(self, z: Tensor, kept: Sequence[Tensor] | None = None) -> Tensor:
        """What each network says of its own rows (M x w x d to M x w)."""
        own = self._named()
        trunk = {name.removeprefix("trunk."): p for name, p in own.items() if name.startswith("trunk.")}
        form = self.form.trunk.eval()

        def units(state: dict[str, Tensor], z: Tensor, kept: list[Tensor]) -> Tensor:
            found: Tensor = functional_call(form, state, (z, kept))
            return found

        head = own["head"].unsqueeze(1)
        h = vmap(units)(trunk, z, list(kept or []))
        value: Tensor = head[..., 0] + (h * (head[..., 1:] / form.width**0.5)).sum(-1)
        return value

    def _keep(self, filled: Tensor) -> list[Tensor]:
        """Factors on the units of each layer (M x w x h), drawn by each network for itself; none without dropout."""
        share = self.form.trunk.dropout
        if not share:
            return []
        kept = [torch.zeros(*filled.shape, size) for size in self.hidden]
        for j, rows in enumerate(filled.sum(1).long().tolist()):
            for factors in kept:
                factors[j, :rows].bernoulli_(1 - share, generator=self.draws[j])
        return [factors.div_(1 - share).to(self.device) for factors in kept]

    def _gather(self, at: Tensor) -> Tensor:
        """Rows on one scale (M x w to M x w x d), always in the same memory: new memory takes as long as the layers."""
        size = (at.numel(), self.z.shape[1])
        room = self.room[: size[0] * size[1]].view(size)
        torch.index_select(self.z, 0, at.flatten(), out=room)
        return room.view(*at.shape, -1)

    def _clip(self) -> None:
        """The gradient of each network to a length of 1 at most."""
        gradients = [p.grad for p in self.parameters if p.grad is not None]
        length = torch.stack([torch.linalg.vector_norm(g.flatten(1), dim=1) for g in gradients]).norm(dim=0)
        share = (1 / (length + 1e-6)).clamp_max(1.0)
        for g in gradients:
            g.mul_(share.view(-1, *[1] * (g.dim() - 1)))


def _turn(value: Tensor) -> Tensor:
    """Matrices on their sides (M x a x b to M x b x a), and vectors as they are."""
    return value.mT if value.dim() == 3 else value
