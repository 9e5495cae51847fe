"""TargetOnly: the cheap sources ignored."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from mfmat.data import Data, places
from mfmat.learner import Facts, FittedModel, Learner, WrappedModel, part
from mfmat.types import Covariance, Flags, Rows


@dataclass(frozen=True)
class TargetOnly(Learner, kind="target_only"):
    """A learner fitted to the target's rows alone: the baseline that every fusion must not lose to.

    Of the other sources it knows their mean and spread, and that they tell nothing about the target.

    Args:
        member: the learner.

    >>> from mfmat.experts import GP
    >>> TargetOnly(GP()).config()["member"]["kind"]
    'gp'
    """

    member: Learner

    def fit(self, data: Data) -> TargetOnlyModel:
        """The model of the target's rows."""
        return TargetOnlyModel(self.member.fit(data.at(data.target)), _facts(data)).eval()

    def cross_fit(self, data: Data, folds: Sequence[Tensor], executor: Executor | None = None) -> list[FittedModel]:
        """See `Learner.cross_fit`: as the member does it, where nothing but the target is there."""
        if not bool((data.fidelity == data.target).all()):
            # What all sources together suggest of the target depends on the fold.
            return super().cross_fit(data, folds, executor)
        held = places(data.fidelity == data.target, folds)
        models = self.member.cross_fit(replace(data.at(data.target), anchor=data.anchor), held, executor)
        return _wrap(models, [data.without(fold) for fold in folds])

    def fit_with_folds(
        self, data: Data, folds: Sequence[Tensor], executor: Executor | None = None
    ) -> list[FittedModel]:
        """See `Learner.fit_with_folds`: as the member does it."""
        held = places(data.fidelity == data.target, folds)
        models = self.member.fit_with_folds(data.at(data.target), held, executor)
        return _wrap(models, [data, *(data.without(fold) for fold in folds)])

    def restore(self, facts: Facts, state: Mapping[str, Tensor]) -> TargetOnlyModel:
        """The fitted model that had these facts and this state."""
        own = {name: fact for name, fact in facts.items() if name != "inner"}
        return TargetOnlyModel(self.member.restore(facts["inner"], part(state, "inner.")), own).eval()


def _wrap(models: Sequence[FittedModel], parts: Sequence[Data]) -> list[FittedModel]:
    return [TargetOnlyModel(model, _facts(part)).eval() for model, part in zip(models, parts, strict=True)]


def _facts(data: Data) -> Facts:
    return {
        "width": data.X.shape[-1] - 1,
        "sources": list(data.sources),
        "scales": [list(standard) for standard in data.standards()],
    }


class TargetOnlyModel(WrappedModel):
    """A model of the target; rows of other sources are independent of everything."""

    def __init__(self, inner: FittedModel, facts: Facts) -> None:
        super().__init__(inner, **facts)
        self.scales = torch.tensor(facts["scales"], dtype=torch.double).reshape(-1, 2)

    def joint(self, X: Rows, observed: Flags) -> tuple[Tensor, Covariance]:
        """See `FittedModel.joint`."""
        mean, covariance = self.inner.joint(X, observed)
        fidelity = X[..., -1].round().long()
        target = fidelity == len(self.scales) - 1
        covariance = covariance * (target.unsqueeze(-1) & target.unsqueeze(-2))
        alone = torch.where(target, 0.0, self.scales[fidelity, 1] ** 2)
        return torch.where(target, mean, self.scales[fidelity, 0]), covariance + torch.diag_embed(alone)

    def held_noise(self) -> Tensor | None:
        """See `FittedModel.held_noise`."""
        return self.inner.held_noise()

    def posterior(self, X: Rows, *args: Any, **kwargs: Any) -> Any:
        """That of the member where all rows are the target's: its mixture, where it has one."""
        at_target = bool((X[..., -1].round() == len(self.scales) - 1).all())
        return self.inner.posterior(X, *args, **kwargs) if at_target else super().posterior(X, *args, **kwargs)

    def noise(self, X: Rows) -> Tensor:
        """See `FittedModel.noise`; none for a source of which only the spread is known."""
        fidelity = X[..., -1].round()
        return torch.where(fidelity == len(self.scales) - 1, self.inner.noise(X), 0.0)
