"""Fitted models whose intervals at the target are set by held-out rows."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Sequence
from typing import Any

import torch
from botorch.posteriors import GPyTorchPosterior
from torch import Tensor

from mfmat.errors import SchemaError
from mfmat.learner import FittedModel, WrappedModel
from mfmat.posteriors import CalibratedPosterior, ConformalPosterior, DistributionalPosterior, RowPosterior, quantile
from mfmat.types import Codes, Flags, Rows


class CalibratedModel(WrappedModel):
    """A fitted model and predictions of held-out rows (see `score`), by which a concrete class sets intervals."""

    heldout: Tensor

    def __init__(self, inner: FittedModel, heldout: Tensor, **facts: Any) -> None:
        super().__init__(inner, width=inner.facts["width"], sources=inner.facts["sources"], **facts)
        self.register_buffer("heldout", heldout)

    @abstractmethod
    def calibrate(self, base: RowPosterior, X: Rows) -> CalibratedPosterior:
        """What the inner model says of new measurements of the target at X, with calibrated quantiles."""

    def evidence(self) -> Tensor | None:
        """See `FittedModel.evidence`."""
        return self.heldout

    def posterior(
        self,
        X: Rows,
        output_indices: list[int] | None = None,
        observation_noise: bool | Tensor = False,
        posterior_transform: Callable[[GPyTorchPosterior], GPyTorchPosterior] | None = None,
    ) -> GPyTorchPosterior | CalibratedPosterior:
        """As the learner's own; new measurements of the target have calibrated quantiles."""
        base = self.inner.posterior(X, output_indices, observation_noise, posterior_transform)
        target = X[..., -1].round() == len(self.facts["sources"]) - 1
        if observation_noise is not True or not bool(target.any()):
            return base
        if not bool(target.all()):
            raise SchemaError(
                "target rows and others in one posterior of new measurements",
                expected="rows of the target alone, or of the others",
                fix="ask for each source on its own",
            )
        return self.calibrate(base, X)


class RefitModel(CalibratedModel):
    """A fitted model with what its like, without each fold, said of the fold, and how far out that was."""

    scores: Tensor
    smooth: Flags

    def __init__(self, inner: FittedModel, heldout: Tensor, scores: Tensor, smooth: Flags) -> None:
        super().__init__(inner, heldout)
        self.register_buffer("scores", scores)
        self.register_buffer("smooth", smooth)

    def calibrate(self, base: RowPosterior, X: Rows) -> CalibratedPosterior:
        """See `CalibratedModel.calibrate`."""
        return DistributionalPosterior(base, self.scores, self.smooth)


class ScoredModel(CalibratedModel):
    """A fitted model with held-out rows, each predicted by a model that had not seen it: which one, `member` says."""

    member: Codes

    def __init__(self, inner: FittedModel, heldout: Tensor, member: Codes, **facts: Any) -> None:
        super().__init__(inner, heldout, **facts)
        self.register_buffer("member", member)

    @property
    def scores(self) -> Tensor:
        """Distance of each held-out value from its predicted median, in predicted standard deviations (n)."""
        return (self.heldout[:, 1] - self.heldout[:, 2]).abs() / self.heldout[:, 4]


class ConformalModel(ScoredModel):
    """A fitted model, the members that predicted held-out rows, and those predictions."""

    def __init__(self, inner: FittedModel, members: Sequence[FittedModel], heldout: Tensor, member: Codes) -> None:
        # The split form has one model, which is not stored twice.
        super().__init__(inner, heldout, member, members=[None if model is inner else model.facts for model in members])
        self.members = torch.nn.ModuleList([torch.nn.Module() if model is inner else model for model in members])
        self._scored = list(members)

    def calibrate(self, base: RowPosterior, X: Rows) -> CalibratedPosterior:
        """See `CalibratedModel.calibrate`."""
        posteriors = [base if model is self.inner else model.posterior(X, None, True) for model in self._scored]
        centres = torch.stack([quantile(posterior, 0.5) for posterior in posteriors])
        spreads = torch.stack([posterior.variance.sqrt() for posterior in posteriors])
        return ConformalPosterior(base, centres, spreads, self.scores, self.member)
