"""Pooled: all rows as one source."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from torch import Tensor

from mfmat.data import Data, at_fidelity
from mfmat.learner import Facts, Learner, WrappedModel, part
from mfmat.types import Covariance, Flags, Rows


@dataclass(frozen=True)
class Pooled(Learner, kind="pooled"):
    """A learner fitted to all rows as if one source had given them: the baseline of those who ignore what a source is.

    Values stay as they are, with one centre, one spread and one noise; for sources in one unit.

    Args:
        member: the learner.

    Raises:
        FitError: labels and values, or labels of different classes, in one.

    >>> from mfmat.experts import GP
    >>> Pooled(GP()).config()["member"]["kind"]
    'gp'
    """

    member: Learner

    def fit(self, data: Data) -> PooledModel:
        """The model of all rows."""
        kinds = data.labels()
        classes = {} if kinds is None else {0: kinds}
        one = replace(data, X=at_fidelity(data.X, 0), sources=data.sources[-1:], classes=classes)
        return PooledModel(self.member.fit(one), width=data.X.shape[-1] - 1, sources=list(data.sources)).eval()

    def restore(self, facts: Facts, state: Mapping[str, Tensor]) -> PooledModel:
        """The fitted model that had these facts and this state."""
        own = {name: fact for name, fact in facts.items() if name != "inner"}
        return PooledModel(self.member.restore(facts["inner"], part(state, "inner.")), **own).eval()


class PooledModel(WrappedModel):
    """A model of one source that answers for all."""

    def joint(self, X: Rows, observed: Flags) -> tuple[Tensor, Covariance]:
        """See `FittedModel.joint`."""
        return self.inner.joint(at_fidelity(X, 0), observed)

    def noise(self, X: Rows) -> Tensor:
        """See `FittedModel.noise`."""
        return self.inner.noise(at_fidelity(X, 0))

    def posterior(self, X: Rows, *args: Any, **kwargs: Any) -> Any:
        """That of the member."""
        return self.inner.posterior(at_fidelity(X, 0), *args, **kwargs)

    def probabilities(self, X: Rows) -> Tensor:
        """See `FittedModel.probabilities`."""
        return self.inner.probabilities(at_fidelity(X, 0))
