"""What an entrant answers, and entrants that are recipes over views of crystals."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Any, Protocol

import torch
from expert_table.cell import answer
from expert_table.peers import Peer
from torch import Tensor

from mfmat.data import Data
from mfmat.features.featurizer import Featurizer
from mfmat.learner import Facts, FittedModel, Learner
from mfmat.metrics import nll
from mfmat.posteriors import RowPosterior
from transfer_table import importance
from transfer_table.tasks import Part


@dataclass(frozen=True)
class Said:
    """What was said of the test rows, at what cost.

    Attributes:
        posterior: of new measurements of the test rows.
        fit_s: seconds to learn, without encoding crystals.
        encode_s: seconds for the features of all rows, as far as they were not remembered.
        answer_s: seconds for the posterior of the test rows.
        facts: what else is worth a line: weights, choices, reasons.
    """

    posterior: RowPosterior
    fit_s: float
    encode_s: float
    answer_s: float
    facts: dict[str, Any] = field(default_factory=dict)


class Entrant(Protocol):
    """Whoever stands in the table."""

    def say(self, part: Part) -> Said:
        """Learn from the part's training rows, choose with its validation rows, and answer for its test rows."""

    def config(self) -> dict[str, Any]:
        """All settings."""


@dataclass(frozen=True)
class Recipe:
    """A recipe of mfmat, or a peer, over the views of some featurizers.

    Attributes:
        learner: what is fitted.
        inputs: featurizers of the table's columns.
        validation: whether the validation rows are learned from, too; a recipe that chooses by cross-validation inside
            its rows has no other use for them.
        weighed: whether the weights of its views are told; their posterior takes longer than many a fit.
    """

    learner: Learner | Peer
    inputs: tuple[Featurizer, ...]
    validation: bool = False
    weighed: bool = False

    def config(self) -> dict[str, Any]:
        """Learner, inputs, rows."""
        inputs = [each.config() for each in self.inputs]
        return {"learner": self.learner.config(), "inputs": inputs, "validation": self.validation}

    def say(self, part: Part) -> Said:
        """See `Entrant.say`."""
        table = part.known() if self.validation else part.train
        times = [time.perf_counter()]
        schema = replace(part.schema, inputs=self.inputs).settle(table)
        data, X = schema.data(table), schema.encode(part.test)[0]
        times.append(time.perf_counter())
        model: Any = self.learner.fit(data)
        with torch.no_grad():
            # Some models prepare with the first answer what they need for all.
            answer(model, X[:1])
            times.append(time.perf_counter())
            posterior = model.posterior(X, observation_noise=True)
            answer(model, X)
        times.append(time.perf_counter())
        encode_s, fit_s, answer_s = (b - a for a, b in pairwise(times))
        facts = {"rows_learned": len(data)}
        return Said(posterior, fit_s, encode_s, answer_s, facts | describe(model, self.weighed))


@dataclass(frozen=True)
class Best:
    """Of several recipes the one that makes the validation rows likeliest.

    Attributes:
        recipes: by name.
    """

    recipes: Mapping[str, Recipe]

    def config(self) -> dict[str, Any]:
        """All recipes."""
        return {"best": {name: recipe.config() for name, recipe in self.recipes.items()}}

    def say(self, part: Part) -> Said:
        """See `Entrant.say`; the seconds are those of all trials and of the fit."""
        inner = replace(part, test=part.validation)
        y = torch.tensor(part.validation[part.schema.value].to_numpy(), dtype=torch.double)[:, None, None]
        trials = {name: recipe.say(inner) for name, recipe in self.recipes.items()}
        with torch.no_grad():
            scores = {name: nll(said.posterior, y) for name, said in trials.items()}
        chosen = min(scores, key=lambda name: scores[name])
        said = self.recipes[chosen].say(part)
        spent = math.fsum(trial.fit_s for trial in trials.values())
        encoded = said.encode_s + math.fsum(trial.encode_s for trial in trials.values())
        facts = {**said.facts, "chosen": chosen, "validation_nll": scores}
        return replace(said, fit_s=said.fit_s + spent, encode_s=encoded, facts=facts)


def describe(model: Any, weighed: bool) -> dict[str, Any]:
    """The weights of the views of a process with their posterior, or of an expert's gate; the reasons of a choice."""
    facts = getattr(model, "facts", {})
    found: dict[str, Any] = {"why": facts["why"]} if "why" in facts else {}
    alone = model.weighings().get("") if weighed and isinstance(model, FittedModel) else None
    if alone is not None:
        found["weights"] = dict(zip(alone.names, alone.share.tolist(), strict=True))
        if len(alone.draws):
            found["doubts"] = importance.doubts(alone)
    return found


@dataclass(frozen=True)
class Seen(Learner, kind="benchmark-seen"):
    """A learner that sees some of the views: a member of a mixture with a source of knowledge of its own.

    Attributes:
        learner: who sees.
        beginnings: of the names of what it sees.
    """

    learner: Learner
    beginnings: Sequence[str]

    def __post_init__(self) -> None:
        object.__setattr__(self, "beginnings", tuple(self.beginnings))

    def fit(self, data: Data) -> FittedModel:
        """The learner's model; columns of no view are no inputs."""
        views = {name: view for name, view in data.views.items() if name.startswith(tuple(self.beginnings))}
        return self.learner.fit(replace(data, views=views))

    def restore(self, facts: Facts, state: Mapping[str, Tensor]) -> FittedModel:
        """The fitted model that had these facts and this state."""
        return self.learner.restore(facts, state)
