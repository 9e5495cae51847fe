"""A network whose weights are random: what they are a priori, what rows say of them, and S draws kept."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from botorch.posteriors import GPyTorchPosterior
from torch import Tensor
from torch.func import functional_call, vmap

from mfmat.data import Data
from mfmat.experts.laplace import LaplaceModel
from mfmat.experts.multi_head import MultiHead
from mfmat.learner import Facts
from mfmat.posteriors import CalibratedPosterior, MixturePosterior
from mfmat.types import Rows
from mfmat.weights import NOISE_FLOOR

AT_ONCE = 8
"""Draws that predict side by side."""


@dataclass(frozen=True)
class Target:
    r"""$\ln p(y, w, \alpha, \sigma)$ of n rows and k weights, in standardised units.

    $y_i \sim N(f_w(x_i), \sigma_{s(i)}^2 r_i + v_i)$, $w_j \sim N(0, 1/\alpha_{b(j)})$, $\ln\alpha \sim N(0, 3^2)$ and
    $\ln\sigma^2 \sim N(-3, 1.5^2)$, as in `Weights`.

    Attributes:
        value: what weights (k) say of the rows at these positions.
        block: of each weight.
        y, source, relative, extra: of each row; relative noise 0 where all noise is known.
    """

    value: Callable[[Tensor, Tensor], Tensor]
    block: Tensor
    y: Tensor
    source: Tensor
    relative: Tensor
    extra: Tensor

    def likelihood(self, weights: Tensor, log_noise: Tensor, rows: Tensor) -> Tensor:
        """The log likelihood of the rows at these positions."""
        noise = (NOISE_FLOOR + log_noise.exp())[self.source[rows]]
        variance = self.relative[rows] * noise + self.extra[rows]
        error = self.y[rows] - self.value(weights, rows)
        score: Tensor = -0.5 * (error.square() / variance + variance.log() + math.log(2 * math.pi)).sum()
        return score

    def prior(self, log_precision: Tensor, log_noise: Tensor) -> Tensor:
        """The log density of precisions and noise, up to a constant."""
        return -0.5 * ((log_precision / 3).square().sum() + ((log_noise + 3) / 1.5).square().sum())


@dataclass(frozen=True)
class Place:
    """Weights (k), log precisions of their blocks and log noise of the sources."""

    weights: Tensor
    log_precision: Tensor
    log_noise: Tensor


class SampledModel(LaplaceModel):
    r"""A network at S draws of its weights.

    A new measurement is the mixture $\frac1S \sum_k N(f_k(x), \sigma_{k,s}^2 r(x))$; the joint Gaussian that
    conditioning and acquisitions use has the moments of the draws.

    Args:
        facts: what the model is built from.
        network: the network.
        names: the weights drawn beside the last layer's.
        draws: S.
    """

    draws: Tensor
    noises: Tensor

    def __init__(self, facts: Facts, network: MultiHead, names: list[str], draws: int) -> None:
        super().__init__(facts, network, [])
        self.drawn = {"head": network.head.shape} | {name: network.get_parameter(name).shape for name in names}
        sizes = [*network.blocks, *(self.drawn[name].numel() for name in names)]
        self.register_buffer("draws", torch.zeros(draws, sum(sizes)).double())
        self.register_buffer("noises", torch.ones(draws, network.sources).double())
        order = torch.repeat_interleave(torch.arange(len(sizes)), torch.tensor(sizes))
        self.register_buffer("block_of_draw", order, persistent=False)

    def start(self) -> Place:
        """The trained network: its weights, and how large they and the noise are."""
        with torch.no_grad():
            deep = [self.network.get_parameter(name).reshape(-1) for name in self.drawn if name != "head"]
            small = [-(weights.square().mean() + 1e-3).log() for weights in deep]
            log_precision = torch.cat([self.weights.log_precision, *(value.reshape(1) for value in small)])
            return Place(torch.cat([self.weights.mean, *deep]), log_precision, self.weights.log_noise.detach().clone())

    def target(self, data: Data) -> Target:
        """What the rows say of the weights."""
        X, source = data.X.unsqueeze(1), data.fidelity
        with torch.no_grad():
            y, extra = self.standardise(data)
            relative = torch.where(data.known, 0.0, self.relative(X)[:, 0])
            extra = torch.where(data.known, extra.clamp_min(NOISE_FLOOR), extra)
            z = self.network.inputs(data.X[:, :-1])
            units = self.network(z, source)[0] if len(self.drawn) == 1 else None

        def value(weights: Tensor, rows: Tensor) -> Tensor:
            return self._say(weights, z[rows], source[rows]) if units is None else units[rows] @ weights

        return Target(value, self.get_buffer("block_of_draw"), y, source, relative, extra)

    def hold(self, draws: Tensor, log_noise: Tensor) -> None:
        """Take in S draws of the weights (S x k) and of the noise (S x m)."""
        self.draws.copy_(draws)
        self.noises.copy_(NOISE_FLOOR + log_noise.exp())
        with torch.no_grad():
            self.weights.log_noise.copy_((self.noises.mean(0) - NOISE_FLOOR).log())

    def latent(self, X: Rows) -> tuple[Tensor, Tensor]:
        """See `FeatureModel.latent`."""
        values = self.values(X)
        mean = values.mean(-1)
        return mean, (values - mean.unsqueeze(-1)) / values.shape[-1] ** 0.5

    def values(self, X: Rows) -> Tensor:
        """What each draw says of rows, in standardised units (b x q x S)."""
        if len(self.drawn) == 1:
            return self._look(X)[0] @ self.draws.mT
        z, source = self.network.inputs(X[..., :-1]), self.source(X)
        every = vmap(self._say, in_dims=(0, None, None), chunk_size=AT_ONCE)(self.draws, z, source)
        return every.movedim(0, -1)

    def posterior(
        self,
        X: Rows,
        output_indices: list[int] | None = None,
        observation_noise: bool | Tensor = False,
        posterior_transform: Callable[[GPyTorchPosterior], GPyTorchPosterior] | None = None,
    ) -> GPyTorchPosterior | CalibratedPosterior:
        """BoTorch's contract; new measurements are a mixture over the draws."""
        self.eval()
        if observation_noise is not True or self.familiarity is None:
            return super().posterior(X, output_indices, observation_noise, posterior_transform)
        x, source = X[..., :-1], self.source(X)
        scale, trust = self.scale[source], self.familiarity.trust(x)
        means = self.centre[source] + scale * trust * self.values(X).movedim(-1, 0)
        share = self.noises[:, source] / self.noises.mean(0)[source]
        left = self.familiarity.prior(x, trust) * scale.unsqueeze(-1) * scale.unsqueeze(-2)
        covariances = left + torch.diag_embed(share * self.noise(X))
        posterior = MixturePosterior(means, covariances, means.new_full((len(means),), 1 / len(means)))
        return posterior if posterior_transform is None else posterior_transform(posterior)

    def _say(self, weights: Tensor, z: Tensor, source: Tensor) -> Tensor:
        """The values of rows on one scale at these weights."""
        sizes = [shape.numel() for shape in self.drawn.values()]
        parts = zip(self.drawn.items(), weights.split(sizes), strict=True)
        named = {name: part.reshape(shape) for (name, shape), part in parts}
        units: Tensor = functional_call(self.network, named, (z, source))[0]
        value: Tensor = units @ named["head"]
        return value
