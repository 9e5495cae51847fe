"""Conformal: intervals that hold as often as they say, whatever the learner."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass
from typing import Any, Literal

import torch
from botorch.posteriors import GPyTorchPosterior
from torch import Tensor

from mfmat.calibrators.held_out import ask, outlying, score
from mfmat.data import Data
from mfmat.errors import CalibrationError, SchemaError
from mfmat.learner import Facts, FittedModel, Learner, WrappedModel, part
from mfmat.posteriors import CalibratedPosterior, ConformalPosterior, DistributionalPosterior, RowPosterior, quantile
from mfmat.types import Codes, Flags, Rows

FORMS = ("cross", "split", "refit")


@dataclass(frozen=True)
class Conformal(Learner, kind="conformal"):
    r"""A learner whose intervals at the target are set by rows that it had not seen.

    Scores $R_i = |y_i - m(x_i)| / s(x_i)$, the distance from the median in units of the posterior spread,
    of held-out groups (never single rows of a compound that is also trained on). `"split"` trains on all
    but one fold and scores that fold: exact coverage $\ge 1 - \alpha$. `"cross"` scores every fold by the
    model trained on the others and combines them as CV+: coverage $\ge 1 - 2\alpha$ guaranteed, about
    $1 - \alpha$ in practice, and no row is lost. `"refit"` takes scores as `"cross"` does, by the predicted
    cumulative probability (`DistributionalPosterior`), and puts them around the model of all rows: a prediction asks
    one model instead of one for each fold, and a mixture keeps its shape; no guarantee, but about $1 - \alpha$
    where a fold changes the model little, from some hundred compounds on. Other sources keep the learner's own
    intervals.

    Args:
        learner: what is calibrated.
        form: `"cross"`, `"split"` or `"refit"`.
        folds: parts that the target's groups are divided into.
        seed: of that division.

    Raises:
        CalibrationError: fewer than two groups among the target's rows; at prediction, a level for which the
            rows are too few (90% needs 9).

    Barber et al. 2021, doi:10.1214/20-AOS1965; Lei et al. 2018, doi:10.1080/01621459.2017.1307116; Chernozhukov et al.
    2021, doi:10.1073/pnas.2107794118.

    >>> from mfmat.experts import GP
    >>> Conformal(GP(), form="split", folds=3).folds
    3
    """

    learner: Learner
    _: KW_ONLY
    form: Literal["cross", "split", "refit"] = "cross"
    folds: int = 5
    seed: int = 0

    def __post_init__(self) -> None:
        if self.form not in FORMS:
            raise SchemaError(
                f"form={self.form!r}",
                expected=f"one of {', '.join(map(repr, FORMS))}",
                fix='Conformal(..., form="cross")',
            )

    def fit(self, data: Data) -> FittedModel:
        """The learner's model of these data, with calibrated intervals at the target."""
        folds = data.split(self.folds, self.seed)
        if len(folds) < 2:
            raise CalibrationError(
                f"target rows of {len(folds)} compound{'s' * (len(folds) != 1)}",
                expected="at least 2, to hold some out",
                fix="fit the learner without Conformal, or measure more",
            )
        if self.form == "split":
            model = self.learner.fit(data.without(folds[0]))
            held = folds[:1]
            return ConformalModel(model, [model], *score(ask([model], held, data), held, data)).eval()
        return self.calibrate(data, folds, self.learner.fit_with_folds(data, folds))

    def calibrate(self, data: Data, folds: Sequence[Tensor], fitted: Sequence[FittedModel]) -> FittedModel:
        """The calibrated model, of one fitted to all rows and one without each fold, in the cross or the refit form."""
        whole, *members = fitted
        said = ask(members, folds, data)
        heldout, member = score(said, folds, data)
        if self.form == "refit":
            return RefitModel(whole, heldout, *outlying(said, folds, data, self.seed)).eval()
        return ConformalModel(whole, members, heldout, member).eval()

    def restore(self, facts: Facts, state: Mapping[str, Tensor]) -> FittedModel:
        """The fitted model that had these facts and this state."""
        inner = self.learner.restore(facts["inner"], part(state, "inner."))
        if self.form == "refit":
            return RefitModel(inner, state["heldout"], state["scores"], state["smooth"]).eval()
        members = [
            inner if fact is None else self.learner.restore(fact, part(state, f"members.{i}."))
            for i, fact in enumerate(facts["members"])
        ]
        return ConformalModel(inner, members, state["heldout"], state["member"]).eval()


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


class ConformalModel(CalibratedModel):
    """A fitted model, the members that predicted held-out rows, and those predictions."""

    member: Codes

    def __init__(self, inner: FittedModel, members: Sequence[FittedModel], heldout: Tensor, member: Codes) -> None:
        # The split form has one model, which is not stored twice.
        super().__init__(inner, heldout, members=[None if model is inner else model.facts for model in members])
        self.members = torch.nn.ModuleList([torch.nn.Module() if model is inner else model for model in members])
        self._scored = list(members)
        self.register_buffer("member", member)

    @property
    def scores(self) -> Tensor:
        """Distance of each held-out value from its predicted median, in predicted standard deviations (n)."""
        return (self.heldout[:, 1] - self.heldout[:, 2]).abs() / self.heldout[:, 4]

    def calibrate(self, base: RowPosterior, X: Rows) -> CalibratedPosterior:
        """See `CalibratedModel.calibrate`."""
        posteriors = [base if model is self.inner else model.posterior(X, None, True) for model in self._scored]
        centres = torch.stack([quantile(posterior, 0.5) for posterior in posteriors])
        spreads = torch.stack([posterior.variance.sqrt() for posterior in posteriors])
        return ConformalPosterior(base, centres, spreads, self.scores, self.member)
