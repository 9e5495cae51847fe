"""Variational inference: the nearest distribution of a simple form to the posterior of a network's weights."""

from __future__ import annotations

import math
from typing import Literal

import pyro
import torch
from pyro.distributions import Normal
from pyro.infer import SVI, Trace_ELBO, TraceMeanField_ELBO
from pyro.infer.autoguide import AutoGuide, AutoLowRankMultivariateNormal, AutoNormal, init_to_value
from pyro.optim import ClippedAdam
from torch import Tensor

from mfmat.experts.sampled import Place, Target
from mfmat.progress import track

Guide = Literal["mean-field", "low-rank"]
SPREAD = 0.05
"""Standard deviation of every weight at the start, in standardised units."""
RATE = 0.02
"""Learning rate at the start."""
FALL = 0.01
"""Share of the learning rate that is left at the end."""


def fit_guide(
    target: Target, start: Place, guide: Guide, *, free: bool, steps: int, batch: int, draws: int
) -> tuple[Tensor, Tensor]:
    """Maximise the evidence lower bound from `start`; draws of the weights (S x k) and the log noise (S x m).

    Precisions and noise are points: as they are, or, where `free`, those of the largest bound times prior.
    Uses torch's random state; Pyro's parameters outside stay as they are.
    """
    n = len(target.y)
    generator = torch.Generator().manual_seed(int(torch.randint(2**31, ())))

    def model(rows: Tensor) -> None:
        log_precision, log_noise = start.log_precision, start.log_noise
        if free:
            log_precision = pyro.param("log_precision", log_precision.clone())
            log_noise = pyro.param("log_noise", log_noise.clone())
        weights = pyro.sample("weights", Normal(0.0, (-0.5 * log_precision[target.block]).exp()).to_event(1))
        told = target.likelihood(weights, log_noise, rows) * (n / max(len(rows), 1))
        pyro.factor("rows", told + target.prior(log_precision, log_noise))

    with pyro.get_param_store().scope():
        begin = init_to_value(values={"weights": start.weights})
        family: AutoGuide = AutoNormal(model, init_loc_fn=begin, init_scale=SPREAD)
        bound: Trace_ELBO = TraceMeanField_ELBO()
        if guide == "low-rank":
            rank = math.ceil(len(start.weights) ** 0.5)
            family = AutoLowRankMultivariateNormal(model, init_loc_fn=begin, init_scale=SPREAD, rank=rank)
            bound = Trace_ELBO()
        optimiser = ClippedAdam({"lr": RATE, "lrd": FALL ** (1 / steps)})
        engine = SVI(model, family, optimiser, bound)
        for _ in track(range(steps), "variational inference", steps):
            engine.step(torch.randperm(n, generator=generator)[:batch])
        with torch.no_grad():
            found = torch.stack([family(torch.arange(0))["weights"] for _ in range(draws)])
            noise = pyro.param("log_noise") if free else start.log_noise
        return found, noise.detach().expand(draws, -1).clone()
