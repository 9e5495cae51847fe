"""A fitted hurdle: the probability of the floor, and the distribution above."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from botorch.posteriors import GPyTorchPosterior
from torch import Tensor

from mfmat.data import at_fidelity
from mfmat.learner import Facts, FittedModel, StackModel
from mfmat.posteriors import CalibratedPosterior, MixturePosterior, components
from mfmat.stacks.gated import mix
from mfmat.types import Covariance, Flags, Rows

SURE = 1e-12
"""Least probability of either side: of exactly 0 the root, which covariances are weighed by, would have no slope."""


class HurdleModel(StackModel):
    """A model of the values above the floor and one of the labels; without a floor, the first alone.

    Args:
        member: of the values.
        gate: of the labels, P(at the floor) first; None with no floor.
        floor: in the units of y.
        facts: what else is to be kept.
    """

    def __init__(self, member: FittedModel, gate: FittedModel | None, floor: float | None, facts: Facts) -> None:
        models = [member] if gate is None else [member, gate]
        super().__init__(models, {**facts, "floor": floor, "members": [model.facts for model in models]})
        self.member, self.floor = (member,), floor
        self.gate = () if gate is None else (gate,)

    @property
    def member_names(self) -> Sequence[str]:
        """See `StackModel.member_names`: what they are of."""
        return ["above the floor", "at the floor"][: len(self.members)]

    def chance(self, X: Rows) -> Tensor:
        """P(at the floor) of each row (b x q x (d+1) to b x q); (almost) 0 of other sources."""
        if not self.gate:
            return torch.zeros_like(X[..., 0])
        target = len(self.facts["sources"]) - 1
        found = self.gate[0].probabilities(at_fidelity(X, target))[..., 0].clamp(SURE, 1 - SURE)
        return torch.where(X[..., -1].round() == target, found, SURE)

    def shares(self, X: Rows) -> dict[str, tuple[Tensor, Tensor]]:
        """See `FittedModel.shares`: the floor, and those of the member above it."""
        own = self.member[0].shares(X)
        if self.floor is None:
            return own
        chance = self.chance(X)
        one = {"above": (torch.ones_like(chance), torch.zeros_like(chance))}
        above = {name: ((1 - chance) * weight, (1 - chance) * std) for name, (weight, std) in (own or one).items()}
        return {"floor": (chance, torch.zeros_like(chance)), **above}

    def joint(self, X: Rows, observed: Flags) -> tuple[Tensor, Covariance]:
        """See `FittedModel.joint`; the moments of the mixture."""
        mean, covariance = self.member[0].joint(X, observed)
        if self.floor is None:
            return mean, covariance
        return mix(*self._with_atom(X, mean.unsqueeze(0), covariance.unsqueeze(0), torch.ones_like(mean).unsqueeze(0)))

    def noise(self, X: Rows) -> Tensor:
        """See `FittedModel.noise`; none at the floor."""
        return (1 - self.chance(X)) * self.member[0].noise(X)

    def solve(self, B: Tensor) -> Tensor:
        """See `FittedModel.solve`; the member's own where it was fitted to all rows."""
        return self.member[0].solve(B) if self.floor is None else super().solve(B)

    def posterior(
        self,
        X: Rows,
        output_indices: list[int] | None = None,
        observation_noise: bool | Tensor = False,
        posterior_transform: Callable[[GPyTorchPosterior], GPyTorchPosterior] | None = None,
    ) -> GPyTorchPosterior | CalibratedPosterior:
        """BoTorch's contract, as the atom and all components of the member; of other sources, the member's."""
        self.eval()
        at_target = X[..., -1].round() == len(self.facts["sources"]) - 1
        if self.floor is None or not bool(at_target.any()):
            return self.member[0].posterior(X, output_indices, observation_noise, posterior_transform)
        parts = components(self.member[0].posterior(X, None, observation_noise))
        posterior = MixturePosterior(*self._with_atom(X, *parts))
        return posterior if posterior_transform is None else posterior_transform(posterior)

    def _with_atom(self, X: Rows, means: Tensor, covariances: Tensor, weights: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The atom before the components, whose weights make room for it."""
        chance = self.chance(X).unsqueeze(0)
        return (
            torch.cat([torch.full_like(means[:1], self.floor or 0.0), means]),
            torch.cat([torch.zeros_like(covariances[:1]), covariances]),
            torch.cat([chance, (1 - chance) * weights]),
        )
