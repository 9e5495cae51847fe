"""Auto: tries what the data allow, keeps what predicts unseen compounds best, and says why."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from mfmat.calibrators.conformal import Conformal
from mfmat.calibrators.held_out import COLUMNS, ask, score
from mfmat.candidates import OF_LOGARITHMS, describe_limit, suggest_candidates
from mfmat.data import Data
from mfmat.learner import Facts, FittedModel, Learner, OpenModel, part
from mfmat.stacks.mixture import Mixture
from mfmat.types import Rows

FEWEST = 10
"""Target compounds below which nothing is held out: neither a comparison nor a calibration would mean anything."""
REFIT = 100
"""Target compounds from which a fold changes the model too little to ask a model for each fold."""
THREE_FOLDS, ONE_FOLD = 1000, 20_000
"""Target compounds from which two thirds of them teach almost as much as all, and from which one fold is evidence
enough."""
LEAST = 1e-6
"""Probability of a label that a log loss counts at least."""
CLOSE = 1.25
"""Score, in multiples of the best, up to which a candidate takes part in a mixture; three at most."""


@dataclass(frozen=True, kw_only=True)
class Auto(Learner, kind="auto"):
    """The default recipe: compares fusions with the target alone on held-out compounds, and calibrates the best.

    Candidates are `Latent` over all sources, `TargetOnly`, and, with few rows, `MultiTask` and `Difference`, over all
    sources and without each in turn, so that a source that hurts is left out; their experts go by the number of rows
    (`mfmat.candidates`), with `Hurdle` where the target often has its smallest value exactly. From 100 target rows on,
    where all values are above 0 and the logarithm bends the target's, logarithms are tried, too (`Transformed`). Each
    is cross-fitted on the same folds of target compounds. Those that score nearly alike are weighed against each other
    for each material by a `Mixture`, which is compared with them; the lowest mean CRPS wins, and the same held-out
    predictions calibrate its intervals (`Conformal`: the cross form, from 100 compounds on the refit form). With fewer
    than 10 target compounds nothing is held out: the first candidate, uncalibrated, with the priors' wide intervals. A
    target that is a label is fused with the other sources by `Latent`; the lowest log loss wins.

    Rows of which only a limit is known are learned from, and no score: trees and networks get drawn values (`Imputed`).

    `model.facts["why"]` says what was chosen and on what evidence.

    Args:
        member: the expert that every candidate is made of; None: by the number of rows.
        folds: parts that the target compounds are divided into; from 1,000 compounds on three at most, and from
            20,000 on only one of them is held out.
        limit: rows of a cheap source that an exact expert is fitted to at most (see `Difference`).
        target_limit: rows of the target at most, drawn at random; None: all.
        seed: of folds and draws.

    >>> Auto().folds
    5
    """

    member: Learner | None = None
    folds: int = 5
    limit: int = 3000
    target_limit: int | None = None
    seed: int = 0

    def fit(self, data: Data) -> AutoModel:
        """The best candidate's model, with the evidence."""
        data, why = self._drawn(data)
        why += describe_limit(data, self.member, self.limit)
        candidates = suggest_candidates(data, self.member, self.limit, self.seed)
        compounds = data.compounds()
        if compounds < FEWEST:
            name, recipe = next(iter(candidates.items()))
            why.append(
                f"{name}: {compounds} target compounds are too few to hold some out, to compare or to calibrate."
            )
            return AutoModel(recipe.fit(data), recipe.config(), why, []).eval()
        parts = min(self.folds, 3) if compounds >= THREE_FOLDS else self.folds
        folds = data.split(parts, self.seed)[: 1 if compounds >= ONE_FOLD else None]
        fitted = {name: recipe.fit_with_folds(data, folds) for name, recipe in candidates.items()}
        compared = self._compare(data, folds, candidates, fitted)
        best = str(compared[0]["candidate"])
        why.append(_because(compared, data.sources[-1], compounds, len(folds)))
        why += fitted[best][0].facts.get("why", [])
        if data.target in data.classes:
            return AutoModel(fitted[best][0], candidates[best].config(), why, compared).eval()
        # With several models a predicted probability is found by a search, which few rows do not pay for.
        how: Any = {"form": "cross", "score": "scaled"} if compounds < REFIT else {"form": "refit", "score": "cdf"}
        recipe = Conformal(candidates[best], **how, folds=parts, seed=self.seed)
        return AutoModel(recipe.calibrate(data, folds, fitted[best]), recipe.config(), why, compared).eval()

    def _compare(
        self,
        data: Data,
        folds: Sequence[Tensor],
        candidates: dict[str, Learner],
        fitted: dict[str, list[FittedModel]],
    ) -> list[dict[str, Any]]:
        """The scores of all candidates, the best first; a mixture of those close to the best becomes one of them."""
        compared = sorted((_accuracy(name, models[1:], folds, data) for name, models in fitted.items()), key=_loss)
        near = [str(row["candidate"]) for row in compared if _loss(row) <= CLOSE * _loss(compared[0])]
        # Of a candidate and the same of logarithms the better one takes part: they know the same.
        twins = [name.removesuffix(OF_LOGARITHMS) for name in near]
        close = [name for i, name in enumerate(near) if twins[i] not in twins[:i]][:3]
        if len(close) > 1:
            name = f"a mixture of {' and '.join(close)}"
            mixture = Mixture([candidates[each] for each in close], folds=max(len(folds), 2), seed=self.seed)
            candidates[name], fitted[name] = mixture, mixture.weigh(data, folds, [fitted[each] for each in close])
            compared.append(_accuracy(name, fitted[name][1:], folds, data))
        return sorted(compared, key=_loss)

    def restore(self, facts: Facts, state: Mapping[str, Tensor]) -> AutoModel:
        """The fitted model that had these facts and this state."""
        recipe = Learner.of(facts["recipe"])
        inner = recipe.restore(facts["inner"], part(state, "inner."))
        return AutoModel(inner, facts["recipe"], facts["why"], facts["compared"]).eval()

    def _drawn(self, data: Data) -> tuple[Data, list[str]]:
        """The data with at most `target_limit` target rows, and a sentence on those that nothing is fitted to."""
        n = int((data.fidelity == data.target).sum())
        if self.target_limit is None or n <= self.target_limit:
            return data, []
        cheap = data.fidelity < data.target
        why = f"{data.sources[-1]}: {self.target_limit} of its {n} rows are fitted, drawn at random."
        return data.draw(self.target_limit + int(cheap.sum()), cheap, self.seed), [why]


class AutoModel(OpenModel):
    """The chosen model; its facts hold the recipe, why it was chosen, and what it was compared with."""

    def __init__(self, inner: FittedModel, recipe: Facts, why: list[str], compared: list[dict[str, Any]]) -> None:
        shared = {name: inner.facts[name] for name in ("width", "sources")}
        super().__init__(inner, **shared, recipe=recipe, why=why, compared=compared)

    def posterior(self, X: Rows, *args: Any, **kwargs: Any) -> Any:
        """That of the chosen model, calibrated where it is."""
        return self.inner.posterior(X, *args, **kwargs)


def _accuracy(name: str, models: Sequence[FittedModel], folds: Sequence[Tensor], data: Data) -> dict[str, Any]:
    if data.target in data.classes:
        return {"candidate": name, "log_loss": _log_loss(models, folds, data)}
    folds = data.scored(folds)
    said = dict(zip(COLUMNS, score(ask(models, folds, data), folds, data)[0].T, strict=True))
    return {
        "candidate": name,
        "mae": float((said["y"] - said["median"]).abs().mean()),
        "crps": float(said["crps"].mean()),
    }


def _log_loss(models: Sequence[FittedModel], folds: Sequence[Tensor], data: Data) -> float:
    chances = torch.cat(
        [model.probabilities(data.X[fold].unsqueeze(1))[:, 0] for model, fold in zip(models, folds, strict=True)]
    )
    codes = torch.cat([data.Y[fold] for fold in folds]).round().long()
    return float(-chances.gather(1, codes).clamp_min(LEAST).log().mean())


def _loss(row: Mapping[str, Any]) -> float:
    """What is to be small: the CRPS of values, the log loss of labels."""
    return float(row["crps"] if "crps" in row else row["log_loss"])


def _because(compared: list[dict[str, Any]], target: str, compounds: int, folds: int) -> str:
    scores = "; ".join(f"{row['candidate']} {_loss(row):.3g}" for row in compared)
    values = "crps" in compared[0]
    return (
        f"{compared[0]['candidate']}: lowest {'CRPS' if values else 'log loss'} on held-out values of {target} "
        f"({compounds} compounds, {folds} fold{'s' * (folds != 1)}): {scores}."
        + " The same held-out predictions set the intervals."
        * values
    )
