"""suggest: the stateless ask."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal, get_args

import pandas as pd
import torch
from torch import Tensor

from mfmat.acquisitions import Acquisition, Improvement, VarianceReduction
from mfmat.choosing import Choice, Terms, choose
from mfmat.data import material_keys
from mfmat.errors import SchemaError, check_choice
from mfmat.pool import Pool
from mfmat.prospects import Prospects
from mfmat.schema import OnError
from mfmat.surrogate import Surrogate

LEVEL = 0.9
Goal = Literal["max", "min", "learn"]


def suggest(
    surrogate: Surrogate,
    pool: pd.DataFrame | Pool,
    n: int = 1,
    *,
    goal: Goal | Acquisition = "max",
    sources: Sequence[str] | None = None,
    pending: pd.DataFrame | None = None,
    budget: float | None = None,
    chance: pd.Series | None = None,
    first: str | None = None,
    temperature: float = 0.0,
    seed: int = 0,
    on_error: OnError = "raise",
) -> pd.DataFrame:
    r"""The n (candidate, source) pairs most worth their price, one after the other.

    Every candidate of the pool in every source is scored by utility / cost, the utility being about the
    target alone: `Improvement` for `goal="max"` or `"min"`, `VarianceReduction` for `"learn"`. After each
    choice its expected outcome is believed (`Prospects.believe`), so that the next teaches something else. Pairs
    at cost 0 come first, by utility. Pairs that were measured already, or that tell nothing about the
    target, are left out, so fewer than n rows may come back.

    Args:
        surrogate: fitted.
        pool: candidates, with the schema's input columns; other columns travel along. A `Pool` was read before.
        n: pairs wanted.
        goal: `"max"`, `"min"`, `"learn"` the target over the whole pool, or an acquisition.
        sources: those that may be suggested; all unless given.
        pending: rows with the schema's input and source columns that are being measured: they are not suggested
            again, and are believed to come out as expected.
        budget: what all pairs together may cost at most.
        chance: for each row of the pool the probability that a measurement there gives a value; the utility is
            multiplied by it.
        first: the source of the first pair, where it has one to suggest; any unless given.
        temperature: 0 takes the best pair; above, pairs are drawn with probability proportional to
            $score^{1 / temperature}$, which is recorded.
        seed: of those draws, and of whatever an acquisition draws.
        on_error: `"raise"`, or `"skip"` to leave out candidates that cannot be read, with a warning.

    Returns:
        The pool's columns, the source column, and `score` (utility per unit of cost), `cost`, `reason`;
        `attrs["probability"]` has the probability with which each row was chosen, `attrs["highest"]` the highest
        score of all pairs before the first was, `attrs["tells"]` for each source the largest share of the target's
        variance that any open pair would take away at its own candidate.

    Raises:
        TableError: an empty pool, a missing column, or cells that cannot be read.
        SchemaError: an unknown goal; a target that is a label.
        UnknownNameError: a source that the schema does not know.
    """
    schema = surrogate.schema
    if schema.classes():
        raise SchemaError(
            f"suggestions for the label {schema.sources[-1]!r}",
            expected="a target of values",
            fix="choose by the probabilities of predict(pool)",
        )
    acquisition = _acquisition(goal)
    known = pool if isinstance(pool, Pool) else Pool.read(schema, pool, on_error=on_error)
    asked = known.X[:0] if pending is None or pending.empty else _asked(surrogate, pending)
    terms = Terms(
        costs=known.costs,
        open=_open(surrogate, known, asked, sources),
        chance=None if chance is None else torch.from_numpy(chance.to_numpy(float)[known.rows]),
        budget=budget,
        first=None if first is None else schema.fidelity(first),
        temperature=temperature,
        seed=seed,
    )
    if n < 1 or not bool(terms.open.any()):
        return _table(surrogate, known, [], [])
    prospects = Prospects(surrogate.model, known.X, surrogate.card["best"], seed)
    for row in asked:
        prospects.believe(row)
    told = torch.where(terms.open, prospects.tells, -math.inf).amax(0)
    choices = choose(prospects, acquisition, terms, n)
    meanings = [acquisition.meaning(choice.utility, prospects, schema.unit) for choice in choices]
    table = _table(surrogate, known, choices, meanings)
    table.attrs["tells"] = dict(zip(schema.sources, told.tolist(), strict=True))
    return table


def _acquisition(goal: Goal | Acquisition) -> Acquisition:
    if isinstance(goal, Acquisition):
        return goal
    check_choice("goal", goal, get_args(Goal))
    return VarianceReduction() if goal == "learn" else Improvement(maximize=goal == "max")


def _asked(surrogate: Surrogate, pending: pd.DataFrame) -> Tensor:
    """The pairs that are being measured, as rows at their fidelities (k x (d+1))."""
    schema = surrogate.schema
    X = schema.encode(pending)[0][:, 0]
    column = schema.source or "source"
    names = pending[column].astype(str) if column in pending else [schema.sources[-1]] * len(pending)
    X[:, -1] = torch.tensor([schema.fidelity(name) for name in names], dtype=X.dtype)
    return X


def _open(surrogate: Surrogate, pool: Pool, asked: Tensor, sources: Sequence[str] | None) -> Tensor:
    """The pairs of first candidates that are neither measured nor being measured (n x m)."""
    schema, columns = surrogate.schema, []
    wanted = range(len(schema.sources)) if sources is None else [schema.fidelity(name) for name in sources]
    under_way = material_keys(asked, schema.material_column)
    for fidelity, name in enumerate(schema.sources):
        seen = torch.tensor(surrogate.card["seen"][name], dtype=torch.long)
        gone = torch.cat([seen, under_way[asked[:, -1] == fidelity]])
        columns.append(pool.first & ~torch.isin(pool.keys, gone) & (fidelity in wanted))
    return torch.stack(columns, dim=1)


def _table(surrogate: Surrogate, pool: Pool, choices: Sequence[Choice], meanings: Sequence[str]) -> pd.DataFrame:
    schema = surrogate.schema
    table = pool.table.iloc[pool.rows[[choice.candidate for choice in choices]]].copy()
    names = [schema.sources[choice.fidelity] for choice in choices]
    reasons = []
    if choices:
        # What is suggested may be far from all that is known: that is what it is suggested for.
        predicted = surrogate.predict(table, level=LEVEL, noise=False)
        said = (row for _, row in predicted.iterrows())
        reasons = [_reason(surrogate, *each) for each in zip(choices, meanings, said, strict=True)]
    table[schema.source or "source"] = names
    table["score"] = [choice.score for choice in choices]
    table["cost"] = [choice.cost for choice in choices]
    table["reason"] = reasons
    table.attrs["probability"] = [choice.probability for choice in choices]
    table.attrs["highest"] = choices[0].highest if choices else math.nan
    return table


def _reason(surrogate: Surrogate, choice: Choice, meaning: str, predicted: pd.Series) -> str:
    schema = surrogate.schema
    target, name = schema.sources[-1], schema.sources[choice.fidelity]
    if name == target:
        source = f"measures {target} itself"
    else:
        source = f"{name} explains {choice.tells:.0%} of what is uncertain about {target} here"
    said = f"{target} predicted {predicted['median']:.3g} ({predicted['lower']:.3g} to {predicted['upper']:.3g})"
    scores = {each: score for each, score in zip(schema.sources, choice.scores, strict=True) if not math.isnan(score)}
    others = ", ".join(f"{each} {score:.2g}" for each, score in scores.items() if each != name)
    instead = f"; per unit of cost: {name} {choice.score:.2g}, {others}" if others else ""
    return f"{f'{said} {schema.unit}'.strip()}; {meaning}; {source}{instead}"
