"""Rises above a bar that measurements are expected to bring, as logarithms."""

from __future__ import annotations

import math
from typing import Any

import torch
from botorch.models.model import Model
from botorch.posteriors import GPyTorchPosterior
from torch import Tensor

from mfmat.posteriors import normal

BLOCK = 2**17
"""Improvements computed at a time, near the processor."""
HALVINGS = 40
"""Of the interval that a mean is sought in: to the twelfth digit."""


def log_rise(means: Tensor, moved: Tensor, best: Tensor) -> Tensor:
    """Logarithm of the mean rise above the best in s draws, by the variance that each pair moves a mean by (n x m).

    Args:
        means: of the candidates (n x s).
        moved: variances (n x m).
        best: what is to be exceeded (s).
    """
    # BoTorch takes variances for at least 1e-12, whatever the unit.
    unit = moved.max().sqrt().clamp_min(1e-150)
    risen, size = [], max(1, BLOCK // (moved.shape[1] * len(best)))
    for above, variance in zip(((means - best) / unit).split(size), (moved / unit.square()).split(size), strict=True):
        risen.append(log_improvement(above[:, None], variance[..., None]).logsumexp(dim=-1))
    # What moves no mean tells nothing.
    return torch.where(moved > 1e-9 * moved.max(), torch.cat(risen) + (unit / len(best)).log(), -math.inf)


def log_improvement(above: Tensor, variance: Tensor) -> Tensor:
    """Logarithm of the expected improvement, by means above the best and variances, as they broadcast."""
    # Half a second that only those who ask for suggestions should wait for.
    from botorch.acquisition import LogExpectedImprovement

    both = torch.stack(torch.broadcast_tensors(above, variance), dim=-1)
    with torch.no_grad():
        value: Tensor = LogExpectedImprovement(_Given(), best_f=0.0)(both.reshape(-1, 1, 2))
    return value.reshape(both.shape[:-1])


def find_above(rise: Tensor, variance: Tensor) -> Tensor:
    """The means above the best at which the improvement to expect has these logarithms: `log_improvement` inverted (n).

    >>> above, variance = torch.tensor([-4.0, 0.5]).double(), torch.tensor([0.3, 2.0]).double()
    >>> find_above(log_improvement(above, variance), variance)
    tensor([-4.0000,  0.5000], dtype=torch.float64)
    """
    spread = variance.sqrt().clamp_min(1e-150)
    # Where nothing is to be expected, any number is as good as another.
    said = torch.where(rise > -math.inf, rise - spread.log(), 0.0)
    # An improvement is at least the mean, and beyond -1 standard deviations less than the density's exponential.
    lower, upper = -(2 * (-said).clamp_min(0)).sqrt() - 1, said.exp()
    for _ in range(HALVINGS):
        middle = (lower + upper) / 2
        less = log_improvement(middle, torch.ones_like(middle)) < said
        lower, upper = torch.where(less, middle, lower), torch.where(less, upper, middle)
    return spread * (lower + upper) / 2


class _Given(Model):
    """A model whose rows are means and variances: BoTorch's formulas on moments at hand."""

    num_outputs = 1

    def posterior(self, X: Tensor, *args: Any, **kwargs: Any) -> GPyTorchPosterior:
        return normal(X[..., 0], X[..., 1:])
