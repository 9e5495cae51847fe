"""The votes of trees as the log odds of a class."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from mfmat.descent import descend
from mfmat.experts.boosting import Boost
from mfmat.learner import FittedModel, WrappedModel
from mfmat.types import Covariance, Flags, Rows

PRIORS = {"shift": (0.0, 1.0), "log_slope": (0.0, 0.5), "log_strength": (0.0, 1.0)}
"""Mean and deviation of what the odds are calibrated by."""
BOUNDS = dict.fromkeys(PRIORS, (-5.0, 5.0))
FLOOR = 1e-6
"""Variance of the log odds: keeps the covariance of rows that are alike invertible."""


class VoteModel(WrappedModel):
    r"""The log odds $f(x) = a + b \ln\frac{v}{1 - v} + c\,g\,h(x)$ of a class, v the share of T trees that vote for it.

    $v = (T m + 1/2) / (T + 1)$, m the mean of the trees that were grown on zeros and ones; h is what boosting finds
    left to correct (`Boost`), g how far the forest is believed there. a, b and c maximise the likelihood of every
    label under trees that had not seen its compound, times $a, \ln c \sim N(0, 1)$ and $\ln b \sim N(0, 0.5^2)$:
    averages of trees shy away from 0 and 1.

    Platt 1999, in: Advances in Large Margin Classifiers; of trees: Niculescu-Mizil & Caruana 2005,
    doi:10.1145/1102351.1102430.

    Args:
        forest: a fitted model of zeros and ones.
        trees: T.
        boost: h; None: there is nothing to correct.
    """

    shift: Tensor
    log_slope: Tensor
    log_strength: Tensor

    def __init__(self, forest: FittedModel, trees: int, boost: Boost | None = None) -> None:
        boosted = {} if boost is None else {"boosted": boost.facts}
        super().__init__(forest, width=forest.facts["width"], sources=forest.facts["sources"], **boosted)
        self.count, self.boost, self.learned = trees, boost, [*PRIORS][: 2 if boost is None else 3]
        for name in self.learned:
            self.register_parameter(name, torch.nn.Parameter(torch.full((1,), PRIORS[name][0]).double()))

    def calibrate(self, mean: Tensor, left: Tensor, inside: Tensor) -> None:
        """Find a, b and c from means and corrections by trees that had not seen the rows, and labels (n each)."""
        odds = vote_odds(mean, self.count)
        parameters: dict[str, Tensor] = {name: getattr(self, name) for name in self.learned}

        def closure() -> tuple[Tensor, list[Tensor]]:
            f = self._odds(odds, left)
            loss = torch.nn.functional.binary_cross_entropy_with_logits(f, inside, reduction="sum")
            for name, value in parameters.items():
                middle, deviation = PRIORS[name]
                loss = loss + 0.5 * ((value - middle) / deviation).square().sum()
            return loss.detach(), list(torch.autograd.grad(loss, list(parameters.values())))

        descend(closure, parameters, {name: BOUNDS[name] for name in parameters}, 100)

    def joint(self, X: Rows, observed: Flags) -> tuple[Tensor, Covariance]:
        """See `FittedModel.joint`; calibrated odds are taken as known."""
        mean, _ = self.inner.joint(X, torch.zeros_like(observed))
        f = self._odds(vote_odds(mean, self.count), self._left(X))
        return f, FLOOR * torch.eye(X.shape[-2]).to(f).expand(*X.shape[:-1], X.shape[-2])

    def noise(self, X: Rows) -> Tensor:
        """Of a pseudo-value; nothing is known of one."""
        return torch.ones_like(X[..., 0])

    def _left(self, X: Rows) -> Tensor:
        """The correction of each row (b x q), as far as the forest is believed there."""
        if self.boost is None:
            return torch.zeros_like(X[..., 0])
        forest: Any = self.inner
        x = forest.place(X[..., :-1])
        trust = forest.trust(x)
        left: Tensor = trust * self.boost(x.reshape(-1, x.shape[-1])).reshape(trust.shape)
        return left

    def _odds(self, odds: Tensor, left: Tensor) -> Tensor:
        f = self.shift + self.log_slope.exp() * odds
        return f if self.boost is None else f + self.log_strength.exp() * left


def vote_odds(mean: Tensor, trees: int) -> Tensor:
    """The log odds of a class for which so many trees vote on average."""
    return torch.logit((trees * mean.clamp(0, 1) + 0.5) / (trees + 1))
