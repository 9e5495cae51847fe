"""Auto: tries what the data allow, keeps what predicts unseen compounds best, and says why."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from torch import Tensor

from mfmat.calibrators.conformal import Conformal, ConformalModel, score
from mfmat.data import Data
from mfmat.experts.gp import GP
from mfmat.learner import Facts, FittedModel, Learner, WrappedModel, part
from mfmat.metrics import gaussian_crps
from mfmat.stacks.difference import Difference
from mfmat.stacks.target_only import TargetOnly
from mfmat.types import Rows

FEWEST = 10
"""Target compounds below which nothing is held out: neither a comparison nor a calibration would mean anything."""

SHARED, DRAWN = "those shared with the target first; all measured values are used", "drawn at random"


@dataclass(frozen=True, kw_only=True)
class Auto(Learner, kind="auto"):
    """The default recipe: compares fusions with the target alone on held-out compounds, and calibrates the best.

    Candidates are `TargetOnly`, `Difference` over all sources, and, with three sources or more,
    `Difference` without each cheap source in turn, so that a source that hurts is left out. Each is
    cross-fitted on the same folds of target compounds; the lowest mean CRPS wins, and the same held-out
    predictions calibrate its intervals (`Conformal`, cross form). With fewer than 10 target compounds nothing
    is held out: `Difference` over all sources, uncalibrated, with the priors' wide intervals.

    `model.facts["why"]` says what was chosen and on what evidence.

    Args:
        member: the expert that every candidate is made of.
        folds: parts that the target compounds are divided into.
        limit: rows of a cheap source that its expert is fitted to at most (see `Difference`).
        target_limit: rows of the target at most, drawn at random.
        seed: of folds and draws.

    >>> Auto().folds
    5
    """

    member: Learner = field(default_factory=GP)
    folds: int = 5
    limit: int = 3000
    target_limit: int = 5000
    seed: int = 0

    def fit(self, data: Data) -> AutoModel:
        """The best candidate's model, with the evidence."""
        if data.classes.get(data.target):
            return self._fit_labels(data)
        data, why = self._drawn(data)
        candidates = self._candidates(data)
        compounds = len(data.groups[data.fidelity == data.target].unique())
        if compounds < FEWEST:
            name, recipe = next(iter(candidates.items()))
            why.append(
                f"{name}: {compounds} target compounds are too few to hold some out, to compare or to calibrate."
            )
            return AutoModel(recipe.fit(data), recipe.config(), why, []).eval()
        folds = data.split(self.folds, self.seed)
        members = {name: recipe.cross_fit(data, folds) for name, recipe in candidates.items()}
        heldout = {name: score(fitted, folds, data) for name, fitted in members.items()}
        compared: list[dict[str, Any]] = [
            {"candidate": name, **_accuracy(table)} for name, (table, _) in heldout.items()
        ]
        compared.sort(key=lambda row: row["crps"])
        best = str(compared[0]["candidate"])
        why.append(_because(compared, data.sources[-1], compounds, len(folds)))
        model = ConformalModel(candidates[best].fit(data), members[best], *heldout[best])
        recipe = Conformal(candidates[best], folds=self.folds, seed=self.seed)
        return AutoModel(model, recipe.config(), why, compared).eval()

    def _fit_labels(self, data: Data) -> AutoModel:
        recipe = TargetOnly(self.member)
        why = f"{data.sources[-1]} alone: labels are learned from their own rows."
        return AutoModel(recipe.fit(data), recipe.config(), [why], []).eval()

    def restore(self, facts: Facts, state: Mapping[str, Tensor]) -> AutoModel:
        """The fitted model that had these facts and this state."""
        recipe = Learner.of(facts["recipe"])
        inner = recipe.restore(facts["inner"], part(state, "inner."))
        return AutoModel(inner, facts["recipe"], facts["why"], facts["compared"]).eval()

    def _candidates(self, data: Data) -> dict[str, Learner]:
        present = [name for i, name in enumerate(data.sources[:-1]) if bool((data.fidelity == i).any())]
        alone: dict[str, Learner] = {"the target alone": TargetOnly(self.member)}
        if not present:
            return alone
        difference = Difference((self.member,), limit=self.limit, seed=self.seed)
        fused: dict[str, Learner] = {f"difference over {', '.join(present)}": difference}
        if len(present) > 1:
            fused |= {f"difference without {name}": replace(difference, leave_out=(name,)) for name in present}
        return fused | alone

    def _drawn(self, data: Data) -> tuple[Data, list[str]]:
        """The data with at most `target_limit` target rows, and sentences on all that no expert is fitted to."""
        why = []
        for i, name in enumerate(data.sources):
            n = int((data.fidelity == i).sum())
            limit, order = (self.limit, SHARED) if i < data.target else (self.target_limit, DRAWN)
            if n > limit:
                why.append(f"{name}: {limit} of its {n} rows are fitted, {order}.")
        cheap = data.fidelity < data.target
        return data.draw(self.target_limit + int(cheap.sum()), cheap, self.seed), why


class AutoModel(WrappedModel):
    """The chosen model; its facts hold the recipe, why it was chosen, and what it was compared with."""

    def __init__(self, inner: FittedModel, recipe: Facts, why: list[str], compared: list[dict[str, Any]]) -> None:
        shared = {name: inner.facts[name] for name in ("width", "sources")}
        super().__init__(inner, **shared, recipe=recipe, why=why, compared=compared)

    def posterior(self, X: Rows, *args: Any, **kwargs: Any) -> Any:
        """That of the chosen model, calibrated where it is."""
        return self.inner.posterior(X, *args, **kwargs)


def _accuracy(heldout: Tensor) -> dict[str, float]:
    _, y, median, mean, std = heldout.T
    return {"mae": float((y - median).abs().mean()), "crps": float(gaussian_crps(mean, std, y).mean())}


def _because(compared: list[dict[str, Any]], target: str, compounds: int, folds: int) -> str:
    scores = "; ".join(f"{row['candidate']} {row['crps']:.3g}" for row in compared)
    return (
        f"{compared[0]['candidate']}: lowest CRPS on held-out values of {target} "
        f"({compounds} compounds, {folds} folds): {scores}. The same held-out predictions set the intervals."
    )
