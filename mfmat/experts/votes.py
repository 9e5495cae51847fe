"""The votes of trees as the log odds of a class."""

from __future__ import annotations

import torch
from torch import Tensor

from mfmat.descent import descend
from mfmat.learner import FittedModel, WrappedModel
from mfmat.types import Covariance, Flags, Rows

PRIORS = {"shift": (0.0, 1.0), "log_slope": (0.0, 0.5)}
"""Mean and deviation of what the odds are calibrated by."""
BOUNDS = dict.fromkeys(PRIORS, (-5.0, 5.0))
FLOOR = 1e-6
"""Variance of the log odds: keeps the covariance of rows that are alike invertible."""


class VoteModel(WrappedModel):
    r"""The log odds $f(x) = a + b \ln\frac{v}{1 - v}$ of a class, with v the share of T trees that vote for it.

    $v = (T m + 1/2) / (T + 1)$, m the mean of the trees that were grown on zeros and ones. a and b maximise the
    likelihood of every label under the trees that had not seen its compound, times $a \sim N(0, 1)$ and
    $\ln b \sim N(0, 0.5^2)$: averages of trees shy away from 0 and 1.

    Platt 1999, in: Advances in Large Margin Classifiers; of trees: Niculescu-Mizil & Caruana 2005,
    doi:10.1145/1102351.1102430.

    Args:
        forest: a fitted model of zeros and ones.
        trees: T.
    """

    shift: Tensor
    log_slope: Tensor

    def __init__(self, forest: FittedModel, trees: int) -> None:
        super().__init__(forest, width=forest.facts["width"], sources=forest.facts["sources"])
        self.count = trees
        for name, (middle, _) in PRIORS.items():
            self.register_parameter(name, torch.nn.Parameter(torch.full((1,), middle).double()))

    def calibrate(self, mean: Tensor, inside: Tensor) -> None:
        """Find a and b from the means of trees that had not seen the rows, and the labels, 0 or 1 (n each)."""
        odds = self._odds(mean)
        parameters: dict[str, Tensor] = {name: getattr(self, name) for name in PRIORS}

        def closure() -> tuple[Tensor, list[Tensor]]:
            f = self.shift + self.log_slope.exp() * odds
            loss = torch.nn.functional.binary_cross_entropy_with_logits(f, inside, reduction="sum")
            for name, (middle, deviation) in PRIORS.items():
                loss = loss + 0.5 * ((parameters[name] - middle) / deviation).square().sum()
            return loss.detach(), list(torch.autograd.grad(loss, list(parameters.values())))

        descend(closure, parameters, BOUNDS, 100)

    def joint(self, X: Rows, observed: Flags) -> tuple[Tensor, Covariance]:
        """See `FittedModel.joint`; calibrated odds are taken as known."""
        mean, _ = self.inner.joint(X, torch.zeros_like(observed))
        f = self.shift + self.log_slope.exp() * self._odds(mean)
        return f, FLOOR * torch.eye(X.shape[-2]).to(f).expand(*X.shape[:-1], X.shape[-2])

    def noise(self, X: Rows) -> Tensor:
        """Of a pseudo-value; nothing is known of one."""
        return torch.ones_like(X[..., 0])

    def _odds(self, mean: Tensor) -> Tensor:
        return torch.logit((self.count * mean.clamp(0, 1) + 0.5) / (self.count + 1))
