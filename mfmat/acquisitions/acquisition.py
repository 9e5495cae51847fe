"""The contract of every acquisition: what one observation is worth for the target."""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from torch import Tensor

from mfmat.data import at_fidelity
from mfmat.learner import FittedModel
from mfmat.types import Covariance, Flags, Rows
from mfmat.values import Value


class Acquisition(Value, ABC):
    """A question about the target, asked of every (candidate, source) pair."""

    @abstractmethod
    def log_utility(self, model: FittedModel, pairs: Tensor, pool: Tensor) -> Tensor:
        """Logarithm of the utility of measuring each pair (p), minus infinity where it tells nothing.

        Args:
            model: fitted; measurements that are pending have been conditioned on.
            pairs: p x (d+1), each row's last column the source it would be measured in.
            pool: n x (d+1), every candidate at the target.
        """

    @abstractmethod
    def meaning(self, utility: float, unit: str) -> str:
        """What that utility says, in words."""


class Lookahead(FittedModel):
    r"""The target's posterior mean after a measurement that is not made yet.

    Measuring y in some source moves the target's mean at the same material by $N(0, \tau^2)$,
    $\tau^2 = Cov(f_T(x), y_s(x))^2 / Var(y_s(x))$.

    Args:
        model: fitted.
        target: the target's fidelity.
    """

    def __init__(self, model: FittedModel, target: int) -> None:
        super().__init__()
        self.model, self.target, self.facts = model, target, model.facts

    def joint(self, X: Rows, observed: Flags) -> tuple[Tensor, Covariance]:
        """Mean and variance for each row on its own (b x 1)."""
        both = torch.cat([X, at_fidelity(X, self.target)], dim=-2)
        mean, covariance = self.model.joint(both, torch.tensor([True, False]))
        moved = covariance[..., :1, 1:] ** 2 / covariance[..., :1, :1]
        return mean[..., 1:], moved

    def noise(self, X: Rows) -> Tensor:
        """None: it is a mean."""
        return torch.zeros_like(X[..., -1])
