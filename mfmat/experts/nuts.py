"""Hamiltonian Monte Carlo: draws of a network's weights, their precisions and the noise."""

from __future__ import annotations

import torch
from pyro.infer import MCMC, NUTS
from torch import Tensor

from mfmat.experts.sampled import Place, Target

DENSE = 100
"""Directions up to which the sampler learns how they correlate."""


def sample(
    target: Target, start: Place, *, free: bool, warmup: int, draws: int, thin: int, depth: int = 7
) -> tuple[Tensor, Tensor]:
    r"""Draws of the weights (S x k) and the log noise (S x m), by the no-U-turn sampler from `start`.

    The chain moves $(w \sqrt\alpha, \ln\alpha, \ln\sigma^2)$, in which the prior has no funnel; the noise stays as it
    is unless `free`. Uses torch's random state. Hoffman & Gelman 2014, arXiv:1111.4246.

    Args:
        target: what the rows say.
        start: where the chain begins.
        free: whether the noise is drawn, too.
        warmup: steps that adapt the sampler and are thrown away.
        draws: S.
        thin: steps of the chain for each draw that is kept.
        depth: a trajectory has at most 2^depth steps.
    """
    sizes = [len(start.weights), len(start.log_precision), len(start.log_noise) if free else 0]
    every = torch.arange(len(target.y))

    def read(place: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        whitened, log_precision, log_noise = place.split(sizes, dim=-1)
        weights = whitened * (-0.5 * log_precision[..., target.block]).exp()
        return weights, log_precision, log_noise if free else start.log_noise.expand(*place.shape[:-1], -1)

    def potential(place: dict[str, Tensor]) -> Tensor:
        weights, log_precision, log_noise = read(place["all"])
        whitened = place["all"][: sizes[0]]
        told = target.likelihood(weights, log_noise, every) + target.prior(log_precision, log_noise)
        return 0.5 * whitened.square().sum() - told

    whitened = start.weights * (0.5 * start.log_precision[target.block]).exp()
    begin = torch.cat([whitened, start.log_precision, start.log_noise[: sizes[2]]])
    kernel = NUTS(potential_fn=potential, full_mass=len(begin) <= DENSE, max_tree_depth=depth)
    chain = MCMC(kernel, draws * thin, warmup, initial_params={"all": begin}, disable_progbar=True)
    chain.run()
    weights, _, log_noise = read(chain.get_samples()["all"][thin - 1 :: thin])
    return weights.detach(), log_noise.detach()
