"""A Gaussian process whose hyperparameters are not chosen but sampled: several processes on the same rows."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from pyro.infer import MCMC, NUTS
from torch import Tensor

from mfmat.experts.process import BOUNDS, Closure, GPModel
from mfmat.experts.view_posterior import name_terms
from mfmat.learner import Facts
from mfmat.mixture_model import MixtureModel
from mfmat.view_weights import ViewWeights

THIN = 4
"""Draws of the chain for each one that is kept."""


class GPMixtureModel(MixtureModel):
    r"""Processes with S draws of the hyperparameters from their posterior, each conditioned on every row.

    $p(y) = \frac1S \sum_s N(y; \mu_s, \Sigma_s)$, see `MixtureModel`.

    Args:
        facts: sizes, views, sources and their scales.
        make: gives the untrained process.
        draws: S.
    """

    draws: Tensor

    def __init__(self, facts: Facts, make: Callable[[], GPModel], draws: int) -> None:
        super().__init__()
        self.facts, self.make = facts, make
        self.process = make()
        size = sum(p.numel() for p in self.process.hyperparameters().values())
        self.register_buffer("draws", torch.zeros(draws, size).double())
        self._members: list[GPModel] = []

    def learn(self, rows: Tensor, trend: Tensor | None, warmup: int, seed: int) -> None:
        """Sample the hyperparameters by NUTS on these rows, from the values that the process has now."""
        parameters = self.process.hyperparameters()
        closure = self.process.loss(rows, trend)
        start = torch.cat([p.detach().reshape(-1) for p in parameters.values()])
        potential = _Potential(closure, list(parameters.values()), _limits(parameters))
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            kernel = NUTS(potential_fn=potential, full_mass=True, max_tree_depth=7)
            count = THIN * len(self.draws)
            chain = MCMC(kernel, count, warmup, initial_params={"all": start}, disable_progbar=True)
            chain.run()
        self.draws.copy_(chain.get_samples()["all"][THIN - 1 :: THIN])
        # What is saved beside the draws does not depend on where the chain went last.
        _assign(list(parameters.values()), start)
        self._members = []

    def load_state_dict(self, *args: Any, **kwargs: Any) -> Any:
        """As torch's, forgetting what was computed from the earlier state."""
        self._members = []
        return super().load_state_dict(*args, **kwargs)

    def parts(self) -> Sequence[GPModel]:
        """See `MixtureModel.parts`."""
        if not self._members:
            state = self.process.state_dict()
            for draw in self.draws:
                member = self.make()
                member.load_state_dict(state)
                _assign(list(member.hyperparameters().values()), draw)
                self._members.append(member.requires_grad_(False).eval())
        return self._members

    def weighings(self) -> dict[str, ViewWeights]:
        """See `FittedModel.weighings`: those of the draws, and their mean."""
        draws = torch.stack([part.kernel.log_weight.detach().softmax(0) for part in self.parts()])
        return {"": ViewWeights(name_terms(self.process.kernel), draws.mean(0), draws)}


class _Potential:
    """The potential energy that Pyro asks for, from a closure that knows its own slope."""

    def __init__(self, closure: Closure, parameters: Sequence[Tensor], limits: tuple[Tensor, Tensor]) -> None:
        self.closure, self.parameters, self.limits = closure, parameters, limits

    def __call__(self, place: dict[str, Tensor]) -> Tensor:
        value: Tensor = _WithSlope.apply(place["all"], self)  # type: ignore[no-untyped-call]
        return value

    def at(self, place: Tensor) -> tuple[Tensor, Tensor]:
        """Loss and slope; infinite where a leap leaves the box, and the sampler turns back."""
        if bool(((place < self.limits[0]) | (place > self.limits[1])).any()):
            return torch.full_like(place[0], torch.inf), torch.zeros_like(place)
        _assign(self.parameters, place)
        loss, slopes = self.closure()
        return loss, torch.cat([slope.reshape(-1) for slope in slopes])


class _WithSlope(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, place: Tensor, potential: _Potential) -> Tensor:
        with torch.enable_grad():
            loss, slope = potential.at(place.detach())
        ctx.save_for_backward(slope)
        return loss

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        (slope,) = ctx.saved_tensors
        return gradients[0] * slope, None


def _limits(parameters: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
    """Ends of the box, far out in the priors, inside which every covariance can be factorised."""
    pairs = [BOUNDS.get(name.split(".")[-1], (-5.0, 5.0)) for name, p in parameters.items() for _ in range(p.numel())]
    low, high = torch.tensor(pairs, dtype=torch.double).T
    return low, high


def _assign(parameters: Sequence[Tensor], place: Tensor) -> None:
    with torch.no_grad():
        parts = place.split([p.numel() for p in parameters])
        for p, part in zip(parameters, parts, strict=True):
            p.copy_(part.reshape(p.shape))
