"""Noise that depends on the input: how far it departs from its source's typical level."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor

from mfmat.kernels import ViewKernel
from mfmat.posteriors import root

OFFSET, MEAN, VARIANCE, SLOPE = 0.05, -0.7556, 1.818, 0.7635
r"""Of $\ln(\chi^2_1 + 0.05)$, which is nearly Gaussian: mean, variance, and slope along the logarithm of its scale."""
AMPLITUDES, LENGTHS = (0.1, 0.3, 1.0, 3.0), (0.5, 1.0, 2.0, 4.0)
"""Variances of g and lengthscales that are tried."""
STRONG = math.log(20)
"""Evidence that noise must have for depending on the input, in units of the logarithm."""
SHARE = 0.05
"""A row tells of noise where noise is at least this part of what is not known of it."""


class InputNoise(torch.nn.Module):
    r"""A factor $e^{g(x)}$ on the noise variance, smooth over the inputs and 1 far from the rows.

    $g \sim GP(0, \tau^2\kappa)$ over the process's own views. Each row i, left out, has an error e_i whose
    variance the process states as $v_i = l_i + n_i$ (its own doubt and noise), so that
    $\ln(e_i^2/v_i + 0.05)$ has known mean and variance where that holds, and moves by $0.76\,n_i/v_i$ along
    g: a noisy observation of $g(x_i)$. Amplitude and lengthscale have the largest evidence of a few; where all
    of them together have not twenty times that of $g = 0$, as with few rows, noise stays what it was.

    Args:
        views: each view's columns.
        width: columns in all.
        rows: rows that are learned from.

    In spirit Kersting et al. 2007, doi:10.1145/1273496.1273546, with errors of left-out rows in closed form.
    """

    at: Tensor
    pulls: Tensor

    def __init__(self, views: Mapping[str, slice], width: int, rows: int) -> None:
        super().__init__()
        self.kernel = ViewKernel(views, width).requires_grad_(False)
        self.register_buffer("at", torch.zeros(rows, width).double())
        self.register_buffer("pulls", torch.zeros(rows).double())

    def forward(self, x: Tensor) -> Tensor:
        """The logarithm of the factor, g (b x q x d to b x q)."""
        if not bool(self.pulls.any()):
            return torch.zeros_like(x[..., 0])
        level: Tensor = self.kernel.forward(x, self.at) @ self.pulls
        return level

    def learn(self, x: Tensor, errors: Tensor, doubts: Tensor, noise: Tensor) -> None:
        """Learn g at rows (n x d) from errors of left-out rows (n), their stated variance and the noise in it."""
        share = noise / doubts
        told = share > SHARE
        share = torch.where(told, share, 1.0) * SLOPE
        surprise = (errors.square() / doubts + OFFSET).log() - MEAN
        precision = torch.where(told, share.square() / VARIANCE, 0.0)
        observed = self.forward(x) + torch.where(told, surprise / share, 0.0)
        # A level common to all rows is the source's own noise.
        observed = observed - (precision * observed).sum() / precision.sum().clamp_min(1e-12)
        self.at.copy_(x)
        self.kernel.measure(x)
        self._choose(precision.sqrt(), observed)

    def _choose(self, weight: Tensor, observed: Tensor) -> None:
        scaled, evidences, found = weight * observed, [], []
        for length in LENGTHS:
            self._set(1.0, length)
            correlation = self.kernel.forward(self.at, self.at) * weight * weight[:, None]
            for amplitude in AMPLITUDES:
                factor = root(amplitude * correlation + torch.eye(len(weight)).to(weight))
                solved = torch.cholesky_solve(scaled[:, None], factor)[:, 0]
                evidences.append(-0.5 * (scaled @ solved) - factor.diagonal().log().sum())
                found.append((amplitude, length, weight * solved))
        evidence, none = torch.stack(evidences), -0.5 * scaled.square().sum()
        amplitude, length, pulls = found[int(evidence.argmax())]
        self._set(amplitude, length)
        smooth = evidence.logsumexp(0) - math.log(len(found)) > none + STRONG
        self.pulls.copy_(pulls if smooth else torch.zeros_like(pulls))

    def _set(self, amplitude: float, length: float) -> None:
        with torch.no_grad():
            self.kernel.log_weight.fill_(math.log(amplitude / self.kernel.terms))
            self.kernel.log_length.fill_(math.log(length))
            # The joint term sums over views; the root keeps its distance that of one.
            joined = max(len(self.kernel.log_joint), 1)
            self.kernel.log_joint.fill_(math.log(length * joined**0.5))
