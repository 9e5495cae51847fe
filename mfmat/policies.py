"""Policies: ways of choosing what to measure next, as values."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pandas as pd
import torch

from mfmat.acquisitions import Acquisition
from mfmat.amounts import by_unit
from mfmat.auto import Auto
from mfmat.errors import SchemaError
from mfmat.experts import GP
from mfmat.guard import find_turn
from mfmat.learner import Learner
from mfmat.renewal import renew
from mfmat.schema import Schema
from mfmat.suggestion import Goal, suggest
from mfmat.surrogate import Surrogate, fit
from mfmat.values import Value


@dataclass(frozen=True)
class Situation:
    """All that a policy may know when it is asked.

    Attributes:
        seen: the rows measured so far, with their values.
        pool: a row for each material of the campaign, with its inputs and no value; the index is 0, 1, ...
        open: whether a source (column) may still be asked of a material (row of the pool).
        keys: each material's number, as `mfmat.data.material_keys` has it.
        schema: what the columns mean, and what a value of each source costs.
        goal: `"max"`, `"min"` or `"learn"`.
        seed: of whatever is drawn at this ask.
        left: what may still be paid; None: whatever it takes.
    """

    seen: pd.DataFrame
    pool: pd.DataFrame
    open: pd.DataFrame
    keys: torch.Tensor = field(repr=False)
    schema: Schema
    goal: Goal
    seed: tuple[int, ...]
    left: float | None = None


@dataclass(frozen=True)
class Answer:
    """What a policy wants measured.

    Attributes:
        pairs: (row of the pool, source), the most wanted first; none where nothing seems worth it.
        surrogate: what the policy believes; None where it believes nothing.
    """

    pairs: Sequence[tuple[int, str]]
    surrogate: Surrogate | None = None


class Policy(Value, ABC):
    """A frozen value that chooses what to measure next, known in results by its `name`."""

    name: str

    @abstractmethod
    def ask(self, situation: Situation, n: int, previous: Answer | None = None) -> Answer:
        """At most n pairs to measure, all of them open.

        Args:
            situation: all that is known.
            n: pairs wanted.
            previous: this policy's last answer in the same campaign.
        """

    @abstractmethod
    def learn(self, situation: Situation) -> Surrogate:
        """The surrogate that this policy would hand over if the campaign ended here."""

    def check(self, schema: Schema) -> None:
        """Nothing, for a schema that the policy can work on.

        Raises:
            SchemaError: it cannot.
        """


@dataclass(frozen=True)
class Ask(Policy, kind="ask"):
    """The policy of asking `suggest`, with a surrogate renewed before each ask (`renew`), the target in its turn.

    Args:
        recipe: what is fitted; `Auto()` unless given.
        sources: those that may be asked and are learned from; None: all. Without the cheap ones: single-fidelity.
        goal: None: that of the campaign; else `"max"`, `"min"`, `"learn"` or an acquisition.
        name: in results; made of the other fields unless given.

    Raises:
        SchemaError: sources without the target, or that the schema lacks (when it is used).

    >>> Ask(GP(), sources=("exp",)).name
    'gp on exp'
    """

    recipe: Learner = field(default_factory=Auto)
    sources: tuple[str, ...] | None = None
    goal: Goal | Acquisition | None = None
    name: str = ""

    def __post_init__(self) -> None:
        goal = self.goal.kind if isinstance(self.goal, Acquisition) else self.goal
        _settle(self, self.recipe.kind + (f" to {goal}" if goal else ""))

    def ask(self, situation: Situation, n: int, previous: Answer | None = None) -> Answer:
        """See `Policy.ask`."""
        seen, schema = restrict(situation, self.sources)
        surrogate = renew(seen, schema, self.recipe, previous.surrogate if previous else None)
        closed, goal = _closed(surrogate, situation), self.goal or situation.goal
        first, left = _first(seen, schema), situation.left
        chosen = suggest(closed, situation.pool, n, goal=goal, first=first, budget=left)
        named = zip(chosen.index, chosen[schema.source or "source"], strict=True)
        return Answer([(int(row), str(source)) for row, source in named], surrogate)

    def learn(self, situation: Situation) -> Surrogate:
        """See `Policy.learn`."""
        return fit(*restrict(situation, self.sources), self.recipe)

    def check(self, schema: Schema) -> None:
        """See `Policy.check`."""
        _check_sources(self, schema)


@dataclass(frozen=True)
class Random(Policy, kind="random"):
    """The policy that draws among what is open, all pairs alike: what any other has to beat.

    Args:
        sources: those that may be asked; None: the target alone.
        recipe: what `learn` fits; it chooses nothing.
        learns: sources that it is fitted to; None: those that may be asked.
        name: in results; made of the other fields unless given.

    Raises:
        SchemaError: sources without the target, or that the schema lacks (when it is used).

    >>> Random().name
    'random'
    """

    sources: tuple[str, ...] | None = None
    recipe: Learner = field(default_factory=GP)
    name: str = ""
    learns: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        _settle(self, self.kind)
        object.__setattr__(self, "learns", None if self.learns is None else tuple(self.learns))

    def ask(self, situation: Situation, n: int, previous: Answer | None = None) -> Answer:
        """See `Policy.ask`."""
        rows, columns = np.nonzero(situation.open[list(self._named(situation.schema))].to_numpy())
        drawn = np.random.default_rng(situation.seed).permutation(len(rows))[:n]
        names = self._named(situation.schema)
        return Answer([(int(rows[i]), names[columns[i]]) for i in drawn])

    def learn(self, situation: Situation) -> Surrogate:
        """See `Policy.learn`."""
        return fit(*restrict(situation, self.learns or self._named(situation.schema)), self.recipe)

    def check(self, schema: Schema) -> None:
        """See `Policy.check`."""
        _check_sources(self, schema)

    def _named(self, schema: Schema) -> tuple[str, ...]:
        return self.sources or schema.sources[-1:]


def restrict(situation: Situation, sources: Sequence[str] | None) -> tuple[pd.DataFrame, Schema]:
    """What was seen in these sources (None: all), and the schema without the others."""
    schema, seen = situation.schema, situation.seen
    if sources is None or set(sources) == set(schema.sources):
        return seen, schema
    costs = {name: (schema.costs or {})[name] for name in schema.sources if name in sources}
    setup = {name: cost for name, cost in (schema.setup or {}).items() if name in sources}
    kinds = {name: kind for name, kind in (schema.kinds or {}).items() if name in sources}
    rows = seen[seen[schema.source].astype(str).isin(sources)]
    return rows, replace(schema, costs=costs, target=None, kinds=kinds, setup=setup)


def _first(seen: pd.DataFrame, schema: Schema) -> str | None:
    """The target, where it is its turn, as in a campaign."""
    if schema.source is None:
        return None
    target, prices = schema.sources[-1], schema.prices
    history = ((name, prices[name]) for name in seen[schema.source].astype(str))
    due = math.fsum(by_unit((schema.setup or {}).get(target, 0.0)).values())
    return target if find_turn(history, target, prices[target] + due) else None


def _closed(surrogate: Surrogate, situation: Situation) -> Surrogate:
    """The surrogate that takes every pair which is not open for measured."""
    shut = {name: situation.keys[~situation.open[name].to_numpy()].tolist() for name in surrogate.schema.sources}
    return replace(surrogate, card={**surrogate.card, "seen": shut})


def _settle(policy: Any, what: str) -> None:
    """Sources as a tuple, and a name."""
    sources = (policy.sources,) if isinstance(policy.sources, str) else policy.sources
    object.__setattr__(policy, "sources", None if sources is None else tuple(sources))
    if not policy.name:
        object.__setattr__(policy, "name", what + (f" on {', '.join(policy.sources)}" if policy.sources else ""))


def _check_sources(policy: Ask | Random, schema: Schema) -> None:
    if policy.sources is None:
        return
    for name in policy.sources:
        schema.fidelity(name)
    if schema.sources[-1] not in policy.sources:
        raise SchemaError(
            f"the policy {policy.name!r} without the target {schema.sources[-1]!r}",
            expected="sources with the target among them",
            fix=f"sources={(*policy.sources, schema.sources[-1])!r}",
        )
