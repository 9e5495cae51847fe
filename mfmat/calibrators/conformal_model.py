"""Fitted models whose intervals at one source are set by held-out rows."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Sequence
from typing import Any

import torch
from botorch.posteriors import GPyTorchPosterior
from torch import Tensor

from mfmat.calibrators.held_out import Score, Scores
from mfmat.calibrators.relevance import Relevance
from mfmat.errors import SchemaError
from mfmat.learner import FittedModel, OpenModel
from mfmat.posteriors import (
    CalibratedPosterior,
    ConformalPosterior,
    DistributionalPosterior,
    Ends,
    RowPosterior,
    ShapedPosterior,
    quantile,
)
from mfmat.types import Codes, Flags, Rows


class CalibratedModel(OpenModel):
    """A fitted model and predictions of held-out rows (see `score`), by which a concrete class sets intervals."""

    heldout: Tensor

    def __init__(self, inner: FittedModel, heldout: Tensor, fidelity: int | None = None, **facts: Any) -> None:
        sources = inner.facts["sources"]
        calibrates = len(sources) - 1 if fidelity is None else fidelity
        super().__init__(inner, width=inner.facts["width"], sources=sources, calibrates=calibrates, **facts)
        self.register_buffer("heldout", heldout)

    @abstractmethod
    def calibrate(self, base: RowPosterior, X: Rows) -> CalibratedPosterior:
        """What the inner model says of new measurements of the source at X, with calibrated quantiles."""

    def evidence(self) -> Tensor | None:
        """See `FittedModel.evidence`."""
        at_target = self.facts["calibrates"] == len(self.facts["sources"]) - 1
        return self.heldout if at_target else self.inner.evidence()

    def posterior(
        self,
        X: Rows,
        output_indices: list[int] | None = None,
        observation_noise: bool | Tensor = False,
        posterior_transform: Callable[[GPyTorchPosterior], GPyTorchPosterior] | None = None,
    ) -> GPyTorchPosterior | CalibratedPosterior:
        """As the learner's own; new measurements of the source have calibrated quantiles."""
        here = X[..., -1].round() == self.facts["calibrates"]
        if observation_noise is True and bool(here.any()) and not bool(here.all()):
            source = self.facts["sources"][self.facts["calibrates"]]
            raise SchemaError(
                f"rows of {source} and of others in one posterior of new measurements",
                expected=f"rows of {source} alone, or of the others",
                fix="ask for each source on its own",
            )
        base = self.inner.posterior(X, output_indices, observation_noise, posterior_transform)
        return self.calibrate(base, X) if observation_noise is True and bool(here.all()) else base


class ScoredModel(CalibratedModel):
    """A fitted model with the scores of held-out rows, and which of them speak for which new row."""

    scores: Tensor
    smooth: Flags
    member: Codes

    def __init__(
        self, inner: FittedModel, held: Scores, relevance: Relevance, ends: Ends, fidelity: int | None, **facts: Any
    ) -> None:
        super().__init__(inner, held.heldout, fidelity, **facts, ends=ends, relevance=relevance.facts)
        for name in ("scores", "smooth", "member"):
            self.register_buffer(name, getattr(held, name))
        self.relevance = relevance

    def by_distance(self, base: RowPosterior, X: Rows, centres: Tensor, spreads: Tensor) -> CalibratedPosterior:
        """Intervals from scores in units of the spreads (each K x b x q x 1)."""
        weighing, ends = self.relevance(X), self.facts["ends"]
        return ConformalPosterior(base, centres, spreads, self.scores, self.member, weighing=weighing, ends=ends)


class ConformalModel(ScoredModel):
    """A fitted model, the members that predicted held-out rows, and the scores of these."""

    def __init__(
        self,
        inner: FittedModel,
        members: Sequence[FittedModel | None],
        held: Scores,
        relevance: Relevance,
        *,
        score: Score,
        ends: Ends,
        fidelity: int | None = None,
    ) -> None:
        # None is the inner model itself, which is not stored twice.
        kept = [None if model is None else model.facts for model in members]
        super().__init__(inner, held, relevance, ends, fidelity, score=score, members=kept)
        self.members = torch.nn.ModuleList([model or torch.nn.Module() for model in members])

    def calibrate(self, base: RowPosterior, X: Rows) -> CalibratedPosterior:
        """See `CalibratedModel.calibrate`."""
        kept: Any = zip(self.members, self.facts["members"], strict=True)
        said: list[Any] = [base if facts is None else model.posterior(X, None, True) for model, facts in kept]
        if self.facts["score"] == "cdf" and any(isinstance(each, ShapedPosterior) for each in said):
            each: Any = {"said": said, "members": self.member, "weighing": self.relevance(X)}
            return DistributionalPosterior(base, self.scores, self.smooth, **each, ends=self.facts["ends"])
        centres = torch.stack([quantile(posterior, 0.5) for posterior in said])
        spreads = torch.stack([posterior.variance.sqrt() for posterior in said])
        # The normal score of a Gaussian is the distance in standard deviations.
        spreads = torch.ones_like(spreads) if self.facts["score"] == "absolute" else spreads
        return self.by_distance(base, X, centres, spreads)
