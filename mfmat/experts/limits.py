"""Limits in place of values: what an exact process makes of rows of which only a bound is known."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from mfmat.data import Data
from mfmat.descent import few_threads
from mfmat.learner import FittedModel
from mfmat.posteriors import Truncated, root, truncate
from mfmat.types import Covariance

ROUNDS = 3
"""Times that hyperparameters are learned at most, and what the limits tell after each."""
SETTLED = 0.02
"""Change of the bounded values, in standard deviations of their source, below which another round is not worth it."""


class RowProcess(FittedModel):
    """A Gaussian process that keeps its rows, values standardised for each source, so that limits can be among them."""

    train_X: Tensor
    residuals: Tensor
    extra: Tensor
    centre: Tensor
    scale: Tensor
    _rows: Any

    @abstractmethod
    def covariance_of_rows(self) -> Covariance:
        """That of the measured values (n x n, standardised)."""

    def restate(self, values: Tensor, extra: Tensor) -> None:
        """Take these as the values of the rows (n, standardised), with this known noise (n)."""
        self.residuals.copy_(values)
        self.extra.copy_(extra)
        self._rows = None

    def told(self) -> Tensor | None:
        """See `FittedModel.told`."""
        source = self.train_X[:, -1].long()
        return self.centre[source] + self.scale[source] * self.residuals


def learn_within(model: RowProcess, data: Data, learn: Callable[[], None]) -> None:
    r"""Learn hyperparameters where some rows are limits (the Tobit likelihood).

    A limit c on the measured value $y_i = f(x_i) + \epsilon_i$ has the likelihood $P(y_i < c)$ or $P(y_i > c)$. Given
    the hyperparameters, expectation propagation makes of each limit a measurement with noise that tells the same
    (`truncate`); given those, `learn` maximises the marginal likelihood of all measurements, whose slope is that of the
    marginal likelihood with limits where the two agree.

    Tobin 1958, doi:10.2307/1907382; Rasmussen & Williams 2006, ISBN 026218253X, section 5.5.
    """
    before = stand_for(model, data)
    for _ in range(ROUNDS if before else 1):
        learn()
        now = stand_for(model, data)
        if now is None or before is None or float((now.mean - before.mean).abs().max()) < SETTLED:
            break
        before = now


def stand_for(model: RowProcess, data: Data) -> Truncated | None:
    """Make measurements of the limits, under the hyperparameters as they are; None where there is no limit.

    Returns what the limits tell, standardised: b values in the order of the rows.
    """
    at, s = data.bounded, data.fidelity
    if data.censored is None or not bool(at.any()):
        return None
    values = (data.Y[:, 0] - model.centre[s]) / model.scale[s]
    extra = data.Yvar[:, 0] / model.scale[s] ** 2
    with torch.no_grad(), few_threads(len(data)):
        # What limits told before, under other hyperparameters, must not count.
        model.restate(values, extra)
        given = _condition(model.covariance_of_rows(), values, at)
        told = truncate(*given, values[at], data.censored[at].to(values))
        model.restate(values.masked_scatter(at, told.values), extra.masked_scatter(at, extra[at] + told.variances))
    return told


def _condition(K: Tensor, values: Tensor, at: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and covariance of the flagged rows (b of n), given the values of the others."""
    factor = root(K[~at][:, ~at])
    reach = torch.linalg.solve_triangular(factor, K[~at][:, at], upper=False)
    surprise = torch.linalg.solve_triangular(factor, values[~at, None], upper=False)
    return (reach.mT @ surprise)[:, 0], K[at][:, at] - reach.mT @ reach
