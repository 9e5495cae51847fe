"""Conformal: intervals that hold as often as they say, whatever the learner."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import KW_ONLY, dataclass
from typing import Literal

from torch import Tensor

from mfmat.calibrators.conformal_model import ConformalModel, RefitModel
from mfmat.calibrators.held_out import ask, outlying, score
from mfmat.calibrators.leave_out import Blocks, JackknifeModel, leave_out
from mfmat.data import Data
from mfmat.errors import CalibrationError, SchemaError
from mfmat.learner import Facts, FittedModel, Learner, part

FORMS = ("cross", "split", "refit", "loo")


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
    where a fold changes the model little, from some hundred compounds on. `"loo"` is `"cross"` with every compound a
    fold of its own (jackknife+), of a Gaussian process in closed form: one fit, whose hyperparameters have seen all
    rows. Other sources keep the learner's own intervals.

    Args:
        learner: what is calibrated.
        form: `"cross"`, `"split"`, `"refit"` or `"loo"`.
        folds: parts that the target's groups are divided into.
        seed: of that division.

    Raises:
        CalibrationError: fewer than two groups among the target's rows; `"loo"` of what is no exact process; at
            prediction, a level for which the rows are too few (90% needs 9).

    Barber et al. 2021, doi:10.1214/20-AOS1965; Lei et al. 2018, doi:10.1080/01621459.2017.1307116; Chernozhukov et al.
    2021, doi:10.1073/pnas.2107794118.

    >>> from mfmat.experts import GP
    >>> Conformal(GP(), form="split", folds=3).folds
    3
    """

    learner: Learner
    _: KW_ONLY
    form: Literal["cross", "split", "refit", "loo"] = "cross"
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
        if self.form == "loo":
            return leave_out(self.learner.fit(data), data)
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
        if self.form == "loo":
            blocks = Blocks(state["held"], state["places"], state["gains"], state["shifts"])
            return JackknifeModel(inner, state["heldout"], state["member"], blocks).eval()
        members = [
            inner if fact is None else self.learner.restore(fact, part(state, f"members.{i}."))
            for i, fact in enumerate(facts["members"])
        ]
        return ConformalModel(inner, members, state["heldout"], state["member"]).eval()
