"""Recipes of a logarithm: asked for the plain value, or asked only where validation rows say so."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from mfmat.errors import FitError
from mfmat.metrics import nll
from mfmat.posteriors import CalibratedPosterior, RowPosterior, cdf, log_density, log_mass, quantile
from mfmat.types import Values
from transfer_table.entrants import Recipe, Said
from transfer_table.tasks import Part

LEVELS = 199
"""Quantiles that the mean and the variance are taken over."""


class Exponential(CalibratedPosterior):
    """What a posterior of logarithms says of the values themselves.

    Args:
        base: of the natural logarithm of rows.
    """

    def __init__(self, base: RowPosterior) -> None:
        super().__init__(base, torch.zeros(0).double())
        levels = ((torch.arange(LEVELS) + 0.5) / LEVELS).clamp(0.5 - self.highest / 2, 0.5 + self.highest / 2)
        self._values = torch.stack([self.quantile(level) for level in levels])

    @property
    def highest(self) -> float:
        """That of the logarithm's intervals."""
        return float(getattr(self.base, "highest", 1 - 1e-9))

    @property
    def mean(self) -> Values:
        """Over quantiles (b x q x 1)."""
        return self._values.mean(dim=0)

    @property
    def variance(self) -> Values:
        """Over quantiles (b x q x 1)."""
        return self._values.var(dim=0)

    def rsample(self, sample_shape: torch.Size | None = None) -> Tensor:
        """Draws."""
        return self.base.rsample(sample_shape).exp()

    def quantile(self, value: Tensor) -> Tensor:
        """A quantile stays one under a rising function."""
        if value.numel() > 1:
            return torch.stack([self.quantile(each) for each in value])
        return quantile(self.base, float(value)).exp()

    def end(self, level: float, side: float) -> Values:
        """See `CalibratedPosterior.end`."""
        return self.quantile(torch.tensor(0.5 + side * level / 2))

    def cdf(self, y: Values) -> Values:
        """The probability of at most `y` (b x q x 1)."""
        return cdf(self.base, y.log())

    def log_density(self, y: Values) -> Values:
        """The density of the value: that of its logarithm, divided by it."""
        return log_density(self.base, y.log()) - y.log()

    def log_mass(self, low: Values, high: Values) -> Values:
        """The logarithm of the probability of more than `low` and up to `high` (each b x q x 1)."""
        return log_mass(self.base, low.log(), high.log())


@dataclass(frozen=True)
class Logarithm:
    """A recipe that learns the logarithm and answers for the value.

    Attributes:
        recipe: what learns.
    """

    recipe: Recipe

    def config(self) -> dict[str, Any]:
        """The recipe's, under a name of its own."""
        return {"logarithm": self.recipe.config()}

    def say(self, part: Part) -> Said:
        """See `Entrant.say`; refused where a value to learn from has no logarithm."""
        value = part.schema.value
        if (lowest := part.known()[value].min()) <= 0:
            raise FitError(f"a value of {lowest:g}", expected="values above 0", fix="ask for the value itself")

        def turn(table: pd.DataFrame) -> pd.DataFrame:
            return table.assign(**{value: np.log(table[value])})

        logs = replace(part, train=turn(part.train), validation=turn(part.validation), test=turn(part.test))
        said = self.recipe.say(logs)
        return replace(said, posterior=Exponential(said.posterior))


@dataclass(frozen=True)
class AsValidated:
    """A recipe of the value or of its logarithm: whichever makes the validation rows likelier.

    Attributes:
        recipe: what learns.
    """

    recipe: Recipe

    def config(self) -> dict[str, Any]:
        """The recipe's, under a name of its own."""
        return {"as_validated": self.recipe.config()}

    def say(self, part: Part) -> Said:
        """See `Entrant.say`; the seconds are those of both trials and of the fit."""
        inner = replace(part, test=part.validation)
        y = torch.tensor(part.validation[part.schema.value].to_numpy(), dtype=torch.double)[:, None, None]
        plain = replace(self.recipe, validation=False)
        trials = {"value": plain.say(inner)}
        if float(part.known()[part.schema.value].min()) > 0:
            trials["logarithm"] = Logarithm(plain).say(inner)
        with torch.no_grad():
            scores = {name: nll(said.posterior, y) for name, said in trials.items()}
        chosen = min(scores, key=lambda name: scores[name])
        said = (Logarithm(self.recipe) if chosen == "logarithm" else self.recipe).say(part)
        spent = math.fsum(trial.fit_s for trial in trials.values())
        return replace(said, fit_s=said.fit_s + spent, facts={**said.facts, "chosen": chosen, "validation_nll": scores})
