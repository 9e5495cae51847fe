"""How good a posterior is as a whole: errors and proper scores, each a mean over rows."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor
from torch.distributions import Normal

from mfmat.posteriors import (
    CalibratedPosterior,
    DistributionalPosterior,
    MixturePosterior,
    RowPosterior,
    TransformedPosterior,
    cdf,
    interval,
    log_density,
    log_mass,
    quantile,
)
from mfmat.types import Values

NODES, TAIL = 48, 1e-8
"""Of the quadrature on either side of a value, and the probability beyond its range."""
WINDOW = 0.01
"""Half the width over which a density is averaged where there are atoms, in the units of y."""


def mae(posterior: RowPosterior, y: Values) -> float:
    r"""Mean absolute error of the median, $\frac1n\sum_i |y_i - m_i|$, in the units of y (n x 1).

    >>> from mfmat.posteriors import normal
    >>> mae(normal(torch.zeros(2, 1), torch.ones(2, 1, 1)), torch.tensor([[[1.0]], [[-3.0]]]))
    2.0
    """
    return float((y - quantile(posterior, 0.5)).abs().mean())


def rmse(posterior: RowPosterior, y: Values) -> float:
    r"""Root mean squared error of the mean, $\sqrt{\frac1n\sum_i (y_i - \mu_i)^2}$, in the units of y."""
    return float((y - posterior.mean).square().mean().sqrt())


def nll(posterior: RowPosterior, y: Values, window: float | None = None) -> float:
    r"""Mean negative log density, $-\frac1n\sum_i \ln p_i(y_i)$; a calibrator of intervals leaves it as it is.

    With a window d, the density is the mean over $y \pm d$, $p_i = [F_i(y_i + d) - F_i(y_i - d)] / 2d$: finite where
    the posterior has an atom, on which there is no density. Compare models with one window for all of them.

    Args:
        window: d, in the units of y; None: the density itself, or d = 0.01 where the posterior has an atom.

    >>> from mfmat.posteriors import MixturePosterior
    >>> hurdle = MixturePosterior(torch.zeros(2, 1), torch.tensor([[[0.0]], [[1.0]]]), torch.tensor([0.5, 0.5]))
    >>> round(nll(hurdle, torch.zeros(1, 1), window=0.01), 2)
    -3.23
    """
    return float(row_nll(posterior, y, window).mean())


def row_nll(posterior: RowPosterior, y: Values, window: float | None = None) -> Values:
    """The negative log density of each row on its own (b x q x 1), see `nll`."""
    if window is None and has_atoms(posterior):
        window = WINDOW
    if window is None:
        return -log_density(posterior, y)
    return math.log(2 * window) - log_mass(posterior, y - window, y + window)


def has_atoms(posterior: RowPosterior) -> bool:
    """Whether a single value has a probability of its own somewhere."""
    base = posterior.base if isinstance(posterior, CalibratedPosterior) else posterior
    return isinstance(base, MixturePosterior) and base.has_atoms


def crps(posterior: RowPosterior, y: Values) -> float:
    r"""Mean continuous ranked probability score, $\int (F_i(t) - 1[t \ge y_i])^2 dt$, in the units of y.

    Closed form of a Gaussian, $\sigma[z(2\Phi(z) - 1) + 2\varphi(z) - 1/\sqrt\pi]$, and of a mixture of them; where
    calibration has reshaped the distribution, the integral of the pinball loss over 199 quantiles that the
    calibration rows can give, or where several models set them, the integral itself in 199 steps; of transformed
    values the integral over the transform, by Gauss-Legendre quadrature. Gneiting & Raftery 2007,
    doi:10.1198/016214506000001437.
    """
    return float(row_crps(posterior, y).mean())


def row_crps(posterior: RowPosterior, y: Values) -> Values:
    """The score of each row on its own (b x q x 1), see `crps`."""
    if isinstance(posterior, DistributionalPosterior) and len(posterior.said) > 1:
        return _stepwise(posterior, y)
    if isinstance(posterior, CalibratedPosterior):
        return _pinball(posterior, y)
    if isinstance(posterior, TransformedPosterior) and not posterior.has_atoms:
        return _through(posterior, y)
    if isinstance(posterior, MixturePosterior):
        return mixture_crps(posterior, y)
    return gaussian_crps(posterior.mean, posterior.variance.sqrt(), y)


def gaussian_crps(mean: Tensor, std: Tensor, y: Tensor) -> Tensor:
    """The score of each row on its own, see `crps`."""
    z = (y - mean) / std
    unit = Normal(torch.zeros_like(z), torch.ones_like(z))
    density = unit.log_prob(z).exp()
    score: Tensor = std * (z * (2 * unit.cdf(z) - 1) + 2 * density - 1 / math.sqrt(math.pi))
    return score


def mixture_crps(posterior: MixturePosterior, y: Values) -> Values:
    r"""The score of each row on its own (b x q x 1).

    $E|Y - y| - \frac12 E|Y - Y'|$, with $E|Z| = \mu(2\Phi(\mu/\sigma) - 1) + 2\sigma\varphi(\mu/\sigma)$ for each
    component and each pair of them, $|\mu|$ for an atom. Grimit et al. 2006, doi:10.1256/qj.05.235.
    """
    weights, means, stds = posterior.components
    score = (weights * _distance(y - means, stds)).sum(0)
    for weight, mean, std in zip(weights, means, stds, strict=True):
        # A component at a time: all pairs at once would need K times the memory.
        score = score - 0.5 * weight * (weights * _distance(mean - means, torch.hypot(std, stds))).sum(0)
    return score


def _distance(mean: Tensor, std: Tensor) -> Tensor:
    # Of two atoms, the distance itself; the smallest number keeps 0 / 0 away.
    z = mean / std.clamp_min(torch.finfo(std.dtype).tiny)
    return mean * torch.erf(z / math.sqrt(2)) + std * math.sqrt(2 / math.pi) * (-0.5 * z.square()).exp()


def interval_score(posterior: RowPosterior, y: Values, level: float = 0.9) -> float:
    r"""Mean width plus $2/\alpha$ times the distance by which values lie outside, in the units of y.

    Gneiting & Raftery 2007, doi:10.1198/016214506000001437, equation 43.
    """
    return float(row_interval_score(*interval(posterior, level), y, level).mean())


def row_interval_score(lower: Values, upper: Values, y: Values, level: float) -> Values:
    """The score of each row on its own (b x q x 1), see `interval_score`."""
    outside = (lower - y).clamp_min(0) + (y - upper).clamp_min(0)
    return upper - lower + 2 / (1 - level) * outside


def _through(posterior: TransformedPosterior, y: Values) -> Values:
    """The integral over transforms z up to that of y and from there on; beyond the range F is 0 or 1."""
    base, transform = posterior.inner, posterior.transform
    low, high = quantile(base, TAIL), quantile(base, 1 - TAIL)
    middle = transform.forward(y).clamp(low, high)
    ends = transform.inverse(torch.stack([low, middle, high]))
    nodes, weights = map(torch.from_numpy, np.polynomial.legendre.leggauss(NODES))
    total = (y - ends[2]).clamp_min(0) + (ends[0] - y).clamp_min(0)
    for node, weight in zip(nodes.tolist(), weights.tolist(), strict=True):
        for start, stop, step in ((low, middle, 0.0), (middle, high, 1.0)):
            z = 0.5 * (start + stop) + 0.5 * node * (stop - start)
            slope = (-transform.log_slope(transform.inverse(z))).exp()
            total = total + 0.5 * weight * (stop - start) * (cdf(base, z) - step).square() * slope
    return total


def _stepwise(posterior: CalibratedPosterior, y: Values) -> Values:
    # A cumulative probability of several models is found at once, a quantile by a search.
    low, high = interval(posterior, posterior.highest)
    start, width = torch.minimum(low, y), torch.maximum(high, y) - torch.minimum(low, y)
    total, steps = torch.zeros_like(y), 199
    for step in range(steps):
        t = start + (step + 0.5) / steps * width
        below = torch.where(t < low, 0.0, torch.where(t > high, 1.0, posterior.cdf(t)))
        total = total + (below - (t >= y).to(below)).square()
    return total * width / steps


def _pinball(posterior: CalibratedPosterior, y: Values) -> Values:
    # Beyond this level the calibration rows give no quantile.
    reach = posterior.highest
    levels = torch.arange(1, 200) / 200
    total = torch.zeros_like(y)
    for level in levels.tolist():
        side = min(max(2 * level - 1, -reach), reach)
        error = y - quantile(posterior, 0.5 + side / 2)
        total = total + torch.maximum(level * error, (level - 1) * error)
    return 2 * total / len(levels)
