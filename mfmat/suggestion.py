"""suggest: the stateless ask."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import pandas as pd
import torch
from torch import Tensor

from mfmat.acquisitions import Acquisition, Improvement, VarianceReduction
from mfmat.data import at_fidelity, material_keys
from mfmat.errors import SchemaError, TableError
from mfmat.learner import FittedModel
from mfmat.schema import OnError
from mfmat.surrogate import Surrogate

CHUNK = 1024
LEVEL = 0.9
Goal = Literal["max", "min", "learn"]


def suggest(
    surrogate: Surrogate, pool: pd.DataFrame, n: int = 1, *, goal: Goal = "max", on_error: OnError = "raise"
) -> pd.DataFrame:
    r"""The n (candidate, source) pairs most worth their price, one after the other.

    Every candidate of the pool in every source is scored by utility / cost, the utility being about the
    target alone: `Improvement` for `goal="max"` or `"min"`, `VarianceReduction` for `"learn"`. After each
    choice the model is conditioned on its expected outcome, so that the next teaches something else. Pairs
    at cost 0 come first, by utility. Pairs that were measured already, or that tell nothing about the
    target, are left out, so fewer than n rows may come back.

    Args:
        surrogate: fitted.
        pool: candidates, with the schema's input columns; other columns travel along.
        n: pairs wanted.
        goal: `"max"`, `"min"`, or `"learn"` the target over the whole pool.
        on_error: `"raise"`, or `"skip"` to leave out candidates that cannot be read, with a warning.

    Returns:
        The pool's columns, the source column, and `score` (utility per unit of cost), `cost`, `reason`.

    Raises:
        TableError: an empty pool, a missing column, or cells that cannot be read.
        SchemaError: an unknown goal; a target that is a label.
    """
    if surrogate.schema.classes():
        raise SchemaError(
            f"suggestions for the label {surrogate.schema.sources[-1]!r}",
            expected="a target of values",
            fix="choose by the probabilities of predict(pool)",
        )
    if pool.empty:
        raise TableError("an empty pool", expected="at least one candidate", fix="check the filter before it")
    X, rows = surrogate.schema.encode(pool, on_error=on_error)
    candidates = X[:, 0]
    pairs, candidate = _unmeasured(surrogate, candidates)
    acquisition = _acquisition(surrogate, goal, candidates)
    choices = _choose(surrogate, acquisition, pairs, candidates, n)
    predicted = surrogate.predict(pool.iloc[rows], level=LEVEL, noise=False)
    positions = [int(candidate[choice.pair]) for choice in choices]
    table = pool.iloc[rows[positions]].copy()
    table[surrogate.schema.source or "source"] = [choice.source for choice in choices]
    table["score"] = [choice.score for choice in choices]
    table["cost"] = [choice.cost for choice in choices]
    reasons = [_reason(surrogate, acquisition, c, predicted.iloc[i]) for c, i in zip(choices, positions, strict=True)]
    table["reason"] = reasons
    return table


@dataclass(frozen=True)
class Choice:
    """One pair that was chosen, and what it was preferred to."""

    pair: int
    source: str
    cost: float
    utility: float
    score: float
    tells: float
    others: dict[str, float]


def _choose(surrogate: Surrogate, acquisition: Acquisition, pairs: Tensor, candidates: Tensor, n: int) -> list[Choice]:
    schema, model = surrogate.schema, surrogate.model
    fidelity = pairs[:, -1].long()
    costs = torch.tensor([schema.prices[name] for name in schema.sources], dtype=torch.double)[fidelity]
    free = costs == 0
    keys = material_keys(pairs, schema.material_column)
    chosen: list[Choice] = []
    left = torch.ones(len(pairs), dtype=torch.bool)
    for _ in range(min(n, len(pairs))):
        utility = torch.cat([acquisition.log_utility(model, part, candidates) for part in pairs.split(CHUNK)])
        score = utility - torch.where(free, 0.0, costs.log())
        # Free pairs come before all that have a price, whatever their score.
        rank = torch.where(left & (utility > -math.inf), score + torch.where(free, 1e9, 0.0), -math.inf)
        if rank.max() == -math.inf:
            break
        best = int(rank.argmax())
        same = (keys == keys[best]) & left & (fidelity != fidelity[best])
        others = {schema.sources[int(fidelity[i])]: math.exp(score[i]) for i in torch.nonzero(same).flatten()}
        name, tells = schema.sources[int(fidelity[best])], _tells(model, pairs[[best]], int(candidates[0, -1]))
        chosen.append(
            Choice(best, name, float(costs[best]), math.exp(utility[best]), math.exp(score[best]), tells, others)
        )
        left[best] = False
        model = _believing(surrogate.model, pairs[[choice.pair for choice in chosen]])
    return chosen


def _believing(model: FittedModel, pairs: Tensor) -> FittedModel:
    """The model after these measurements, each as expected: it knows more and believes the same."""
    with torch.no_grad():
        mean, _ = model.joint(pairs, torch.ones(len(pairs), dtype=torch.bool))
        return model.condition_on_observations(pairs, mean.unsqueeze(-1))


def _tells(model: FittedModel, pair: Tensor, target: int) -> float:
    """The squared correlation of a measurement of this pair with the target's value of the same material."""
    both = torch.cat([pair, at_fidelity(pair, target)])
    with torch.no_grad():
        covariance = model.joint(both, torch.tensor([True, False]))[1]
    return float(covariance[0, 1] ** 2 / (covariance[0, 0] * covariance[1, 1]))


def _unmeasured(surrogate: Surrogate, candidates: Tensor) -> tuple[Tensor, Tensor]:
    """Every (candidate, source) pair without a value yet, and the candidate's position."""
    keys = material_keys(candidates, surrogate.schema.material_column)
    # Of candidates that are one material, the first stands for all.
    first = torch.from_numpy(~pd.Series(keys.numpy()).duplicated().to_numpy())
    pairs, position = [], []
    for fidelity, name in enumerate(surrogate.schema.sources):
        seen = torch.tensor(surrogate.card["seen"][name], dtype=torch.long)
        open_ = torch.nonzero(first & ~torch.isin(keys, seen)).flatten()
        pairs.append(at_fidelity(candidates[open_], fidelity))
        position.append(open_)
    return torch.cat(pairs), torch.cat(position)


def _acquisition(surrogate: Surrogate, goal: Goal, candidates: Tensor) -> Acquisition:
    if goal == "learn":
        return VarianceReduction()
    if goal not in ("max", "min"):
        raise SchemaError(f"goal={goal!r}", expected='"max", "min" or "learn"', fix='goal="max"')
    best = surrogate.card["best"]
    if best is None:
        # Nothing measured in the target yet: the best that is expected in the pool stands in.
        with torch.no_grad():
            mean = surrogate.model.posterior(candidates.unsqueeze(1)).mean
        best = {"max": float(mean.max()), "min": float(mean.min())}
    return Improvement(best[goal], maximize=goal == "max")


def _reason(surrogate: Surrogate, acquisition: Acquisition, choice: Choice, predicted: pd.Series) -> str:
    schema, unit = surrogate.schema, surrogate.schema.unit
    target = schema.sources[-1]
    if choice.source == target:
        source = f"measures {target} itself"
    else:
        source = f"{choice.source} explains {choice.tells:.0%} of what is uncertain about {target} here"
    said = f"{target} predicted {predicted['median']:.3g} ({predicted['lower']:.3g} to {predicted['upper']:.3g}) {unit}"
    others = ", ".join(f"{name} {score:.2g}" for name, score in choice.others.items())
    instead = f"; per unit of cost: {choice.source} {choice.score:.2g}, {others}" if others else ""
    return f"{said.strip()}; {acquisition.meaning(choice.utility, unit)}; {source}{instead}"
