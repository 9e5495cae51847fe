"""A fitted stack of latent variables: what cheap sources say of a material are inputs of those above."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import torch
from botorch.posteriors import GPyTorchPosterior
from torch import Tensor

from mfmat.data import at_fidelity, find_distinct, material_keys, material_keys_of
from mfmat.learner import Facts, FittedModel, StackModel
from mfmat.posteriors import CalibratedPosterior, MixturePosterior
from mfmat.stacks.hidden import place
from mfmat.stacks.latent_draws import even_draws
from mfmat.stacks.levels import MeasuredLevel
from mfmat.types import Codes, Covariance, Flags, Rows

SHARED = 1 - 1e-6
"""The part of a cheap measurement's noise that a second one of the material has, too; all of it would be singular."""


@dataclass(frozen=True)
class Seen:
    r"""How one level sees a cheaper source.

    Attributes:
        fidelity: the source.
        exact: whether the measured value of a material takes the place of the predicted one. A value that is not
            measured is then that of a measurement still to come, with the variance $Var f + \sigma^2$; else what counts
            is the source's function alone, with $Var f$.
        flag: whether a further column tells which it is.
        hidden: whether the source's last hidden layer is seen, too (`Level.axes`).
        floor: the value that the source often has and never falls below, where there is one: a column tells whether it
            is there, as no smooth function of the value can.
    """

    fidelity: int
    exact: bool
    flag: bool
    hidden: bool = False
    floor: float | None = None


@dataclass(frozen=True)
class Level(MeasuredLevel):
    """One source: its fitted member, what that sees, and what was measured of which material.

    `keys` (sorted) are the materials measured in this source, `values` theirs; `classes` is the number of its
    labels, 0 where it has values; `axes` say what is seen of its member's hidden layer (see `find_axes`).
    """

    model: FittedModel
    sees: tuple[Seen, ...]
    keys: Codes
    values: Tensor
    classes: int = 0
    axes: Tensor = field(default_factory=lambda: torch.zeros(1, 0).double())

    @property
    def columns(self) -> int:
        """Columns that another level sees of it: a value, or the probability of all classes but the first."""
        return max(self.classes - 1, 1)


@dataclass(frozen=True)
class Answer:
    """What a level's member says at n rows for each draw of the latent values that it sees.

    Attributes:
        rows: K x n x (d'+1), the rows as the member sees them; K = 1 where it sees nothing uncertain.
        means: K x n.
        variances: K x n, of the noise-free value.
        noise: K x n.
        doubts: of each source that is seen, the variance of its latent value (n) and the part of it that is the
            material's own (n).
    """

    rows: Tensor
    means: Tensor
    variances: Tensor
    noise: Tensor
    doubts: dict[int, tuple[Tensor, Tensor]]

    def take(self, rows: Tensor) -> Answer:
        """The same of these rows, each as often as it is named."""
        parts = (self.rows[:, rows], self.means[:, rows], self.variances[:, rows], self.noise[:, rows])
        return Answer(*parts, {s: (doubt[rows], own[rows]) for s, (doubt, own) in self.doubts.items()})

    @property
    def mean(self) -> Tensor:
        """Over the draws (n)."""
        return self.means.mean(0)

    @property
    def variance(self) -> Tensor:
        """Over the draws (n)."""
        return self.variances.mean(0) + (self.means - self.mean).square().mean(0)

    def slope(self, source: int, normals: Tensor) -> Tensor:
        """The change for one standard deviation of a source's latent value (n), from the draws (K x m)."""
        along = (self.means * normals[:, [source]]).mean(0)
        # Of a value that is exact, the draws of others would give a slope by chance.
        return torch.where(self.doubts[source][0] > 0, along, 0.0)


class LatentModel(StackModel):
    """Levels in order of trust, each a function of the inputs and of what it sees of those below.

    Args:
        levels: the sources' levels, the target's last; fewer while they are fitted.
        normals: K x m standard normal draws, one column for each cheap source.
        facts: `width`, `sources` and `material` of the data.
    """

    normals: Tensor

    def __init__(self, levels: Sequence[Level], normals: Tensor, facts: Facts) -> None:
        described = [
            {"member": level.model.facts, "sees": [asdict(seen) for seen in level.sees], "classes": level.classes}
            for level in levels
        ]
        super().__init__([level.model for level in levels], {**facts, "levels": described})
        self.levels = tuple(levels)
        self.register_buffer("normals", normals)
        for i, level in enumerate(levels):
            self.register_buffer(f"keys_{i}", level.keys)
            self.register_buffer(f"values_{i}", level.values)
            self.register_buffer(f"axes_{i}", level.axes)

    @property
    def member_names(self) -> Sequence[str]:
        """See `StackModel.member_names`: the sources."""
        return [str(name) for name in self.facts["sources"]]

    def joint(self, X: Rows, observed: Flags) -> tuple[Tensor, Covariance]:
        r"""See `FittedModel.joint`.

        A row of level r is $\sum_{s<r} a_s(x)\,\epsilon_s(x) + \delta_r(x)$: $\epsilon_s$ is the standardised error
        of the latent value of source s, correlated as the source's own model says, $a_s = E[m(x, z)\,\epsilon_s]$ the
        slope of the member's mean m over the draws, and $\delta_r$ all the rest, correlated as the member says. Moments
        of single rows are exactly those of the mixture over the draws; with a single draw, at the latents' means, the
        slopes are those over a few draws, as far as the variance of the row has room for them.
        """
        fidelity, answers = X[..., -1].round(), self._answers(X)
        mean = self._pick(fidelity, {i: answer.mean for i, answer in answers.items()})
        if X.shape[-2] == 1:
            variance = self._pick(fidelity, {i: answer.variance for i, answer in answers.items()})
            noise = self.noise(X) * observed if bool(observed.any()) else 0.0
            return mean, (variance + noise).unsqueeze(-1)
        return mean, self._covariance(X, observed, answers)

    def noise(self, X: Rows) -> Tensor:
        """See `FittedModel.noise`; the mean over the draws."""
        answers = self._answers(X)
        return self._pick(X[..., -1].round(), {i: answer.noise.mean(0) for i, answer in answers.items()})

    def posterior(
        self,
        X: Rows,
        output_indices: list[int] | None = None,
        observation_noise: bool | Tensor = False,
        posterior_transform: Callable[[GPyTorchPosterior], GPyTorchPosterior] | None = None,
    ) -> GPyTorchPosterior | CalibratedPosterior:
        """BoTorch's contract; of single rows of one source, the mixture over the draws of what the member says."""
        fidelity = X[..., -1].round()
        several = not X.numel() or X.shape[-2] != 1 or bool((fidelity != fidelity.flatten()[0]).any())
        if several or isinstance(observation_noise, Tensor):
            return super().posterior(X, output_indices, observation_noise, posterior_transform)
        self.eval()
        here = int(fidelity.flatten()[0])
        rows, doubts = self._rows(X, here, self._answers(X, self._sees(here)))
        said: Any = _posterior(self.levels[here].model, rows, _unsure(doubts), bool(observation_noise), X.shape[:-1])
        result: GPyTorchPosterior = said if posterior_transform is None else posterior_transform(said)
        return result

    def probabilities(self, X: Rows) -> Tensor:
        """See `FittedModel.probabilities`; the mean over the draws."""
        here = len(self.levels) - 1
        with torch.no_grad():
            rows, doubts = self._rows(X, here, self._answers(X, self._sees(here)))
            shares = _each(rows, _unsure(doubts), lambda x: (_shares(self.levels[here].model, x).movedim(-1, 0),))[0]
        return shares.mean(1).movedim(0, -1).reshape(*X.shape[:-1], -1)

    def shares(self, X: Rows) -> dict[str, tuple[Tensor, Tensor]]:
        """See `FittedModel.shares`: those of the target's member, at the means of the latents."""
        here = len(self.levels) - 1
        with torch.no_grad():
            rows = self._rows(X, here, self._answers(X, self._sees(here)))[0].mean(0)
            return self.levels[here].model.shares(rows.reshape(*X.shape[:-1], -1))

    def carried(self, X: Rows) -> tuple[Tensor, Tensor]:
        """Of n rows of the last level (n x 1 x (d+1)): the variance that comes from latent values, and the noise."""
        here = len(self.levels) - 1
        with torch.no_grad():
            answer = self._answers(X)[here]
            slopes = [answer.slope(s, self.normals) for s in answer.doubts] if len(self.normals) > 1 else []
        return sum((slope.square() for slope in slopes), torch.zeros_like(answer.mean)), answer.noise.mean(0)

    def view(self, X: Rows, sees: Sequence[Seen]) -> Tensor:
        """The columns that a new level sees beside its n rows (n x 1 x (d+1) to n x k)."""
        blocks: list[Tensor] = [X.new_zeros(len(X), 0)]
        with torch.no_grad():
            below = self._answers(X, {seen.fidelity for seen in sees})
            for seen in sees:
                blocks += [block.mean(0) for block in self._look(X, seen, below[seen.fidelity])[0]]
        return torch.cat(blocks, dim=-1)

    def _sees(self, i: int) -> set[int]:
        return {seen.fidelity for seen in self.levels[i].sees}

    def _answers(self, X: Rows, asked: set[int] | None = None) -> dict[int, Answer]:
        """What these levels say of the rows, and all whom they see; the levels that the rows are of unless named."""
        asked = set(X[..., -1].round().long().unique().tolist()) if asked is None else asked
        for i in reversed(range(len(self.levels))):
            asked = asked | (self._sees(i) if i in asked else set())
        kept, place = find_distinct(X)
        X, answers = X[..., kept, :], dict[int, Answer]()
        for i in sorted(asked):
            rows, doubts = self._rows(X, i, answers)
            model = self.levels[i].model
            parts = _each(rows, _unsure(doubts), lambda x, model=model: _moments(model, x))  # type: ignore[misc]
            means, variances, noise = (part[0] for part in parts)
            answers[i] = Answer(rows, means, variances, noise, doubts)
        if len(kept) == len(place):
            return answers
        each = torch.arange(X.shape[:-1].numel()).reshape(X.shape[:-1])[..., place].flatten()
        return {i: answer.take(each) for i, answer in answers.items()}

    def _rows(self, X: Rows, i: int, below: dict[int, Answer]) -> tuple[Tensor, dict[int, tuple[Tensor, Tensor]]]:
        """Rows as the member of level i sees them for each draw (K x n x (d'+1)), and how unsure each latent is."""
        x = at_fidelity(X, i).reshape(1, -1, X.shape[-1])
        blocks, doubts = [x[..., :-1]], {}
        for seen in self.levels[i].sees:
            columns, doubt = self._look(X, seen, below[seen.fidelity])
            blocks += columns
            if bool((doubt[0] > 0).any()):
                doubts[seen.fidelity] = doubt
        draws = max(len(block) for block in blocks)
        return torch.cat([block.expand(draws, -1, -1) for block in [*blocks, x[..., -1:]]], dim=-1), doubts

    def _look(self, X: Rows, seen: Seen, said: Answer) -> tuple[list[Tensor], tuple[Tensor, Tensor]]:
        """The columns seen of one source for each draw (K x n x k), the variance of its value and its own part."""
        source = self.levels[seen.fidelity]
        keys = material_keys(X.reshape(-1, X.shape[-1]), self.facts["material"])
        found, values = source.measured(keys)
        found = found & seen.exact
        beside = [found.to(X)[None, :, None]] if seen.flag else []
        if seen.hidden:
            beside.append(place(source.model, said.rows.mean(0), source.axes)[None])
        if source.classes:
            shares = _shares(source.model, said.rows.mean(0))
            told = torch.nn.functional.one_hot(values.round().long(), source.classes).to(X)
            both = torch.where(found[:, None], told, shares)[None, :, 1:]
            return [both, *beside], (torch.zeros_like(values), torch.zeros_like(values))
        own = said.noise * seen.exact
        doubt = torch.where(found, 0.0, said.variances + own)
        # The root of exactly 0 has no slope.
        error = torch.where(doubt > 0, doubt, 1.0).sqrt() * (doubt > 0) * self.normals[:, [seen.fidelity]]
        drawn = said.means + error if bool((doubt > 0).any()) else said.means
        columns = [torch.where(found, values, drawn).unsqueeze(-1)]
        if seen.floor is not None:
            # What a Gaussian puts below the floor is the probability of lying on it.
            columns.append((columns[0] <= seen.floor).to(X))
        return [*columns, *beside], (doubt.mean(0), (own * ~found).mean(0))

    def _covariance(self, X: Rows, observed: Flags, answers: dict[int, Answer]) -> Covariance:
        fidelity, flags = X[..., -1].round(), observed.to(X)
        slopes = self._slopes(X, answers)
        keys = material_keys_of(X, self.facts["material"])
        same = (keys.unsqueeze(-1) == keys.unsqueeze(-2)).to(X)
        covariance = torch.diag_embed(torch.zeros_like(fidelity))
        for s, answer in answers.items():
            rows = answer.rows.mean(0).reshape(*X.shape[:-1], -1)
            alike = _correlation(self.levels[s].model.joint(rows, torch.zeros_like(observed))[1])
            noise = answer.noise.mean(0).reshape(fidelity.shape)
            weight = (fidelity == s) * _rest(answer, slopes[s]).reshape(fidelity.shape)
            # A measured cheap value is the material's value: what is its own is the same above.
            own = (fidelity == s) * flags * (SHARED * noise).sqrt()
            shared = False
            for r, above in answers.items():
                if s not in above.doubts:
                    continue
                doubt, part = (each.reshape(fidelity.shape) for each in above.doubts[s])
                share = part / torch.where(doubt > 0, doubt, 1.0)
                slope = (fidelity == r) * slopes[r][s].reshape(fidelity.shape)
                weight = weight + slope * (1 - share).clamp_min(0).sqrt()
                own = own + slope * torch.where(share > 0, share, 1.0).sqrt() * (share > 0)
                shared = shared or bool((share > 0).any())
            covariance = covariance + _outer(weight) * alike
            fresh = (fidelity == s) * flags * noise * (1 - SHARED if shared else 1)
            covariance = covariance + torch.diag_embed(fresh) + (_outer(own) * same if shared else 0)
        return covariance

    def _slopes(self, X: Rows, answers: dict[int, Answer]) -> dict[int, dict[int, Tensor]]:
        """The slopes of each level's answer along the latent values of each source that it is unsure of (n)."""
        if len(self.normals) > 1 or not any(answer.doubts for answer in answers.values()):
            return {r: {s: each.slope(s, self.normals) for s in each.doubts} for r, each in answers.items()}
        several = LatentModel(self.levels, even_draws(2, self.normals.shape[1], seed=0), self.facts)
        drawn = several._answers(X)
        found = {r: {s: drawn[r].slope(s, several.normals) for s in each.doubts} for r, each in answers.items()}
        return {r: _within(answers[r].variance, slopes) for r, slopes in found.items()}

    def _pick(self, fidelity: Tensor, of: dict[int, Tensor]) -> Tensor:
        total = torch.zeros_like(fidelity)
        for i, values in of.items():
            total = torch.where(fidelity == i, values.reshape(fidelity.shape), total)
        return total


def _within(variance: Tensor, slopes: dict[int, Tensor]) -> dict[int, Tensor]:
    """The slopes, made smaller where they alone would be more than all but a hundredth of the variance."""
    told = sum((slope.square() for slope in slopes.values()), torch.zeros_like(variance))
    factor = (0.99 * variance / torch.where(told > 0, told, 1.0)).sqrt().clamp(max=1)
    return {s: slope * factor for s, slope in slopes.items()}


def _rest(answer: Answer, slopes: dict[int, Tensor]) -> Tensor:
    """The standard deviation of what comes from no latent value (n)."""
    rest = answer.variance - sum((slope.square() for slope in slopes.values()), torch.zeros_like(answer.variance))
    # Draws with exact moments leave at least the member's own variance, but for rounding; a single draw has no moments.
    least = answer.variances.mean(0) if len(answer.means) > 1 else torch.zeros_like(rest)
    return torch.maximum(rest, least).sqrt()


def _moments(model: FittedModel, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    mean, covariance, noise = model.moments(x)
    return mean.mT, covariance[:, 0].mT, noise.mT


def _shares(model: FittedModel, x: Tensor) -> Tensor:
    with torch.no_grad():
        return model.probabilities(x if x.ndim == 3 else x.unsqueeze(1))[:, 0]


def _unsure(doubts: dict[int, tuple[Tensor, Tensor]]) -> Tensor | None:
    """Rows that see some latent value that is not exact; None where no row does."""
    return torch.stack([variance > 0 for variance, _ in doubts.values()]).any(0) if doubts else None


def _each(rows: Tensor, unsure: Tensor | None, say: Callable[[Tensor], tuple[Tensor, ...]]) -> list[Tensor]:
    """What `say` makes of rows n x 1 x d' (several of J x n) for every draw: each J x K x n, exact rows asked once."""
    k, n, width = rows.shape
    if unsure is None or bool(unsure.all()):
        return [part.reshape(len(part), k, n) for part in say(rows.reshape(-1, 1, width))]
    drawn = say(rows[:, unsure].reshape(-1, 1, width))
    plain = say(rows[0, ~unsure].unsqueeze(1))
    parts = []
    for moving, fixed in zip(drawn, plain, strict=True):
        whole = moving.new_zeros(len(moving), k, n)
        whole[:, :, unsure] = moving.reshape(len(moving), k, -1)
        whole[:, :, ~unsure] = fixed.unsqueeze(1).expand(-1, k, -1)
        parts.append(whole)
    return parts


def _posterior(
    model: FittedModel, rows: Tensor, unsure: Tensor | None, noise: bool, shape: torch.Size
) -> GPyTorchPosterior | CalibratedPosterior:
    """The member's posterior, or the even mixture of those of all draws."""
    if len(rows) == 1:
        return model.posterior(rows.reshape(*shape, -1), observation_noise=noise)

    def say(x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        said: Any = model.posterior(x, observation_noise=noise)
        said = said.base if isinstance(said, CalibratedPosterior) else said
        if isinstance(said, MixturePosterior):
            return said.weights[..., 0], said.means[..., 0], said.covariances[..., 0, 0]
        mean = said.mean[..., 0].mT
        return torch.ones_like(mean), mean, said.variance[..., 0].mT

    parts = (part.flatten(0, 1).reshape(-1, *shape) for part in _each(rows, unsure, say))
    weights, means, variances = parts
    return MixturePosterior(means, variances.unsqueeze(-1), weights / len(rows))


def _correlation(covariance: Covariance) -> Covariance:
    spread = covariance.diagonal(dim1=-2, dim2=-1).sqrt()
    return covariance / spread.unsqueeze(-1) / spread.unsqueeze(-2)


def _outer(weights: Tensor) -> Tensor:
    return weights.unsqueeze(-1) * weights.unsqueeze(-2)
