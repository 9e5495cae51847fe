"""Conformal: intervals that hold as often as they say, whatever the learner."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, replace
from typing import Any, Literal

import torch
from torch import Tensor

from mfmat.calibrators.conformal_model import ConformalModel
from mfmat.calibrators.held_out import SCORES, Score, Scores, compare
from mfmat.calibrators.leave_out import Blocks, JackknifeModel, leave_out
from mfmat.calibrators.relevance import Relevance, Weights
from mfmat.data import Data
from mfmat.errors import CalibrationError, SchemaError, UnknownNameError, check_choice, nearest
from mfmat.learner import Facts, FittedModel, Learner, part
from mfmat.posteriors import Ends

FORMS = ("cross", "split", "refit", "loo")
ENDS = ("both", "each")


@dataclass(frozen=True)
class Conformal(Learner, kind="conformal"):
    r"""A learner whose intervals are set by rows that it had not seen: whatever the learner, they hold.

    Scores $R_i$ say how far the values of held-out groups (never single rows of a compound that is also trained on)
    lie from what was predicted of them, and an interval reaches as far as the scores of so many rows do.

    A held-out row of which only a limit is known has no score.

    `form` says who predicts. `"split"` trains on all but one fold and scores that fold: coverage at least
    $1 - \alpha$. `"cross"` scores every fold by the model trained on the others and combines them as CV+:
    at least $1 - 2\alpha$ guaranteed, about $1 - \alpha$ in practice, and no row is lost. `"refit"` takes scores as
    `"cross"` does and puts them around the model of all rows: a prediction asks one model; no guarantee, but about
    $1 - \alpha$ where a fold changes the model little, from some hundred compounds on. `"loo"` is `"cross"` with every
    compound a fold of its own (jackknife+), of a Gaussian process in closed form: one fit, whose hyperparameters
    have seen all rows.

    `score` says what is compared. `"cdf"`: $\Phi^{-1}(F(y))$, the predicted cumulative probability, so that a mixture
    keeps its shape and an atom stays one. `"scaled"`: $(y - m(x)) / s(x)$, m the median and s the posterior spread, the
    same for a Gaussian. `"absolute"`: $y - m(x)$, for intervals of one width.

    Args:
        learner: what is calibrated.
        form: `"cross"`, `"split"`, `"refit"` or `"loo"`.
        score: `"cdf"`, `"scaled"` or `"absolute"`.
        ends: `"both"`: one score, $|R_i|$, for both ends of an interval. `"each"`: each end is a bound that holds on
            its own (that of a 90% interval 95% of the time), also where errors are skewed; needs twice the rows.
        by: a feature of the schema's metadata; the promise then holds for each group of rows that agree in it.
        borrow: a group with fewer calibration rows is filled up to so many by rows of all others, in equal parts.
        weights: a feature of the schema's metadata, or a function of rows (n x (d+1) to n): how much more frequent
            a row's like is where predictions are wanted than among those measured; 1 over the probability with which
            it was chosen, or a `DensityRatio`. A function cannot be saved.
        sources: those calibrated, by name; None: the target alone. Each costs `folds` further fits.
        folds: parts that the groups of a source are divided into.
        seed: of that division.

    Raises:
        SchemaError: another form, score or ends; other sources than the target in the form `"loo"`.
        UnknownNameError: a source that the data lack, metadata that the schema lacks.
        CalibrationError: fewer than two groups among a source's rows; `"loo"` of what is no exact process; weights that
            are no weights; at prediction, a level for which the rows are too few (90% needs 9, with `"each"` 19).

    Barber et al. 2021, doi:10.1214/20-AOS1965; Lei et al. 2018, doi:10.1080/01621459.2017.1307116; Chernozhukov et al.
    2021, doi:10.1073/pnas.2107794118; Vovk 2012, doi:10.1007/s10994-013-5355-6; Tibshirani et al. 2019,
    arXiv:1904.06019.

    >>> from mfmat.experts import GP
    >>> Conformal(GP(), form="split", folds=3).folds
    3
    """

    learner: Learner
    _: KW_ONLY
    form: Literal["cross", "split", "refit", "loo"] = "cross"
    score: Score = "cdf"
    ends: Ends = "both"
    by: str | None = None
    borrow: int = 50
    weights: str | Weights | None = None
    sources: str | tuple[str, ...] | None = None
    folds: int = 5
    seed: int = 0

    def __post_init__(self) -> None:
        check_choice("form", self.form, FORMS)
        check_choice("score", self.score, SCORES)
        check_choice("ends", self.ends, ENDS)
        if self.sources is not None:
            names = (self.sources,) if isinstance(self.sources, str) else tuple(self.sources)
            object.__setattr__(self, "sources", names)
            if self.form == "loo":
                raise SchemaError('sources= with form="loo"', expected="the target alone", fix='form="cross"')

    def fit(self, data: Data) -> FittedModel:
        """The learner's model of these data, with calibrated intervals."""
        folds = {fidelity: self._folds(data, fidelity) for fidelity in self._calibrated(data)}
        if self.form == "loo":
            model = self.learner.fit(data)
            blocks, held = leave_out(model, data, self.score)
            relevance = self._relevance(data, torch.nonzero(data.fidelity == data.target).flatten())
            return JackknifeModel(model, blocks, held, relevance, score=self.score, ends=self.ends).eval()
        if self.form == "split":
            model = self.learner.fit(data.without(torch.cat([parts[0] for parts in folds.values()])))
            for fidelity, parts in folds.items():
                model = self._around(model, [model], parts[:1], data, fidelity)
            return model
        target = folds.get(data.target)
        model, *at_target = self.learner.fit_with_folds(data, target) if target else [self.learner.fit(data)]
        for fidelity, parts in folds.items():
            members = at_target if fidelity == data.target else self.learner.cross_fit(data, parts)
            model = self._around(model, members, parts, data, fidelity)
        return model

    def calibrate(self, data: Data, folds: Sequence[Tensor], fitted: Sequence[FittedModel]) -> FittedModel:
        """The model calibrated at the target, of one fitted to all rows and one without each fold; cross or refit."""
        whole, *members = fitted
        return self._around(whole, members, folds, data, data.target)

    def _around(
        self, model: FittedModel, members: Sequence[FittedModel], folds: Sequence[Tensor], data: Data, fidelity: int
    ) -> FittedModel:
        """The model with intervals at one source, from what each member says of the fold that it had not seen."""
        folds = data.scored(folds)
        held = compare(members, folds, data, fidelity, by=self.score, seed=self.seed)
        relevance = self._relevance(data, torch.cat(list(folds)))
        if self.form == "cross":
            return self._model(model, members, held, relevance, fidelity)
        alone = replace(held, member=torch.zeros_like(held.member))
        return self._model(model, [None], alone, relevance, fidelity)

    def _model(
        self,
        inner: FittedModel,
        members: Sequence[FittedModel | None],
        held: Scores,
        relevance: Relevance,
        fidelity: int,
    ) -> FittedModel:
        options: Any = {"score": self.score, "ends": self.ends, "fidelity": fidelity}
        return ConformalModel(inner, members, held, relevance, **options).eval()

    def _relevance(self, data: Data, rows: Tensor) -> Relevance:
        return Relevance.of(data, rows, self.by, self.weights, self.borrow)

    def _calibrated(self, data: Data) -> list[int]:
        """The fidelities that are calibrated."""
        names = data.sources[-1:] if self.sources is None else tuple(self.sources)
        if unknown := [name for name in names if name not in data.sources]:
            raise UnknownNameError(
                f"sources={list(names)}",
                expected=f"some of {', '.join(map(repr, data.sources))}",
                fix=nearest(unknown[0], data.sources) + "name sources of the schema's costs",
            )
        return sorted(data.sources.index(name) for name in names)

    def _folds(self, data: Data, fidelity: int) -> list[Tensor]:
        """Rows of a source to hold out.

        Raises:
            CalibrationError: rows of fewer than two groups.
        """
        folds = data.split(self.folds, self.seed, fidelity)
        if len(folds) < 2:
            whose = "target" if fidelity == data.target else data.sources[fidelity]
            raise CalibrationError(
                f"{whose} rows of {len(folds)} compound{'s' * (len(folds) != 1)}",
                expected="at least 2, to hold some out",
                fix="fit the learner without Conformal, or measure more",
            )
        return folds

    def restore(self, facts: Facts, state: Mapping[str, Tensor]) -> FittedModel:
        """The fitted model that had these facts and this state."""
        return self._restore(facts, state, 1 if self.sources is None else len(self.sources))

    def _restore(self, facts: Facts, state: Mapping[str, Tensor], depth: int) -> FittedModel:
        within = part(state, "inner.")
        if depth > 1:
            inner = self._restore(facts["inner"], within, depth - 1)
        else:
            inner = self.learner.restore(facts["inner"], within)
        held = Scores(state["heldout"], state["scores"], state["smooth"], state["member"])
        relevance = Relevance.restore(facts["relevance"], part(state, "relevance."), self.weights)
        if self.form == "loo":
            blocks = Blocks(state["held"], state["places"], state["gains"], state["shifts"])
            return JackknifeModel(inner, blocks, held, relevance, score=self.score, ends=self.ends).eval()
        members = [
            None if fact is None else self.learner.restore(fact, part(state, f"members.{i}."))
            for i, fact in enumerate(facts["members"])
        ]
        return self._model(inner, members, held, relevance, facts["calibrates"])
