"""The contract of a gate: what it learns from, and what it says."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from mfmat.types import Rows
from mfmat.values import Value


@dataclass(frozen=True)
class Evidence:
    """What K members said of n rows that they had not seen.

    Attributes:
        X: n x (d+1), the rows.
        scores: n x K, the logarithm of the density (or probability) that each member gave to what was measured.
        spreads: n x K, the standard deviation of a new measurement that each member stated.
        views: each view's columns in X.
        scale: the factor on all members' standard deviations under which they have these scores.
    """

    X: Tensor
    scores: Tensor
    spreads: Tensor
    views: Mapping[str, slice]
    scale: float = 1.0


class FittedGate(torch.nn.Module, ABC):
    """The weights of K members, with a posterior: `facts` is JSON, `state_dict()` the rest."""

    facts: dict[str, Any]
    mean: Tensor
    """Posterior mean of the part that is the same for all rows (K)."""

    @abstractmethod
    def draws(self, X: Rows, spreads: Tensor) -> Tensor:
        """Draws of the weights from their posterior.

        Args:
            X: b x q x (d+1).
            spreads: K x b x q, the standard deviation of a new measurement that each member states.

        Returns:
            s x K x b x q; they sum to 1 over K.
        """

    def weights(self, X: Rows, spreads: Tensor) -> Tensor:
        """Posterior mean of the weights (K x b x q), with which the members are mixed."""
        return self.draws(X, spreads).mean(0)

    def weight_std(self, X: Rows, spreads: Tensor) -> Tensor:
        """Posterior standard deviation of the weights (K x b x q)."""
        return self.draws(X, spreads).std(0)


class Gate(Value, ABC):
    """A frozen recipe for the weights of a mixture's members.

    >>> from mfmat.gates import ConstantGate
    >>> ConstantGate(concentration=2.0).config()
    {'kind': 'constant-gate', 'concentration': 2.0, 'keep': None, 'seed': 0}
    """

    @abstractmethod
    def fit(self, evidence: Evidence) -> FittedGate:
        """The weights that the evidence suggests; with no rows, the prior."""

    @abstractmethod
    def restore(self, facts: Mapping[str, Any], state: Mapping[str, Tensor]) -> FittedGate:
        """The fitted gate that had these facts and this state."""
