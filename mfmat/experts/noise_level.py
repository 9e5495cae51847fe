"""Noise that depends on the input, through the features that a sparse process has anyway."""

from __future__ import annotations

import torch
from torch import Tensor

from mfmat.experts.input_noise import MEAN, OFFSET, SHARE, SLOPE, VARIANCE
from mfmat.metrics import gaussian_crps

AMPLITUDES = (0.03, 0.1, 0.3, 1.0, 3.0)
"""Prior variances of the level that are tried, where features have norm 1."""
SHIFTS = torch.linspace(-6.0, 3.0, 181).double()
"""Changes of the overall level (its logarithm) that are tried."""


def learn_level(phi: Tensor, errors: Tensor, doubts: Tensor, noise: Tensor) -> tuple[Tensor, float]:
    r"""How the noise goes with the features: $\gamma$ and c of the factor $e^{c + \phi(x)\cdot\gamma}$ on it.

    $\gamma \sim N(0, \tau^2 I)$ is observed as in `InputNoise`: a left-out row's error $e_i$ of stated variance
    $v_i$ has $\ln(e_i^2/v_i + 0.05)$ of known mean and variance, which moves by $0.76\,n_i/v_i$ along the level,
    $n_i$ being the noise in $v_i$. $\tau^2$ has the largest evidence; where each has less than
    $\gamma = 0$, that stays. c gives the errors the smallest CRPS: the likeliest c would widen every interval
    for the sake of rare large errors.

    Args:
        phi: n x m.
        errors: $e_i$ (n).
        doubts: $v_i$ (n).
        noise: $n_i$ (n).
    """
    share = noise / doubts
    told = share > SHARE
    if not bool(told.any()):
        return phi.new_zeros(phi.shape[1]).double(), 0.0
    phi, errors, doubts, noise, share = phi[told].double(), errors[told], doubts[told], noise[told], share[told]
    precision = (SLOPE * share).square() / VARIANCE
    seen = ((errors.square() / doubts + OFFSET).log() - MEAN) / (SLOPE * share)
    seen = seen - (precision * seen).sum() / precision.sum()
    values, vectors = torch.linalg.eigh((phi * precision[:, None]).mT @ phi)
    pull = vectors.mT @ (phi.mT @ (precision * seen))
    evidences = [_evidence(values.clamp_min(0), pull, amplitude) for amplitude in AMPLITUDES]
    best = max(range(len(AMPLITUDES)), key=evidences.__getitem__)
    amplitude = AMPLITUDES[best] if evidences[best] > 0 else 0.0
    gamma = vectors @ (amplitude * pull / (1 + amplitude * values.clamp_min(0)))
    return gamma, _shift(errors, doubts - noise, noise * (phi @ gamma).exp())


def _shift(errors: Tensor, rest: Tensor, noise: Tensor) -> float:
    """The change of the overall level with which the errors have the smallest score."""
    none = torch.zeros_like(errors)
    spreads = [(rest + noise * shift.exp()).sqrt() for shift in SHIFTS]
    scores = torch.stack([gaussian_crps(none, spread, errors).sum() for spread in spreads])
    return float(SHIFTS[scores.argmin()])


def _evidence(values: Tensor, pull: Tensor, amplitude: float) -> float:
    """The logarithm of how much likelier the observations are than without a level."""
    shrunk = 1 + amplitude * values
    return float(0.5 * (amplitude * pull.square() / shrunk).sum() - 0.5 * shrunk.log().sum())
