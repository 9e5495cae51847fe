"""What a campaign is and knows, read off its journal."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from functools import cached_property

import pandas as pd

from mfmat.answers import Catalogue
from mfmat.errors import SchemaError
from mfmat.frames import read_frame
from mfmat.journal import Journal, Log
from mfmat.learner import Learner
from mfmat.ledger import Ledger, Pair
from mfmat.packing import unpack
from mfmat.schema import Schema
from mfmat.suggestion import Goal
from mfmat.surrogate import Surrogate


@dataclass(frozen=True)
class Records:
    """The settings of a campaign, and how its events are read.

    Attributes:
        catalogue: the pool and the schema.
        start: what was measured before it began; None: nothing.
        recipe, budget, goal, seed: as it was created with.
    """

    catalogue: Catalogue
    start: pd.DataFrame | None = field(repr=False)
    recipe: Learner
    budget: float | None
    goal: Goal
    seed: int

    @classmethod
    def of(cls, journal: Journal) -> Records:
        """The settings in a journal."""
        with journal.reading() as log:
            head = log.head()
        facts = json.loads(head.facts)
        catalogue = Catalogue(Schema.of(facts["schema"]), read_frame(head.pool, head.pool_sha256))
        start = read_frame(head.start, head.start_sha256) if head.start else None
        return cls(catalogue, start, Learner.of(facts["recipe"]), facts["budget"], facts["goal"], facts["seed"])

    def ledger(self, log: Log) -> Ledger:
        """What all events add up to."""
        return Ledger(log.events(), self.catalogue.price)

    def seen(self, ledger: Ledger) -> pd.DataFrame:
        """The start table and what was told, in one."""
        values, schema = ledger.readings, self.catalogue.schema
        told = self.catalogue.rows(values)
        told[schema.value] = pd.Series([event.facts["value"] for event in values], index=told.index)
        if schema.noise:
            noise = [event.facts.get("noise") for event in values]
            told[schema.noise] = pd.Series(noise, index=told.index, dtype=float)
        if schema.source is None:
            told = told.drop(columns=self.catalogue.source_column)
        if self.start is None or told.empty:
            return told if self.start is None else self.start.copy()
        return pd.concat([self.start, told])

    @cached_property
    def measured(self) -> set[Pair]:
        """Pairs of the pool that had a value from the start."""
        if self.start is None:
            return set()
        return self.catalogue.measured(self.start)

    def model(self, log: Log, round: int | None = None) -> Surrogate:
        """The surrogate of a round; of the newest that needed one, unless given.

        Raises:
            SchemaError: no such round, or one that needed no model.
        """
        fitted = {each.id: each.table_sha256 for each in log.rounds() if each.table_sha256}
        number = max(fitted, default=0) if round is None else round
        content = log.model(fitted[number]) if number in fitted else None
        if content is None:
            raise SchemaError(
                f"the model of {f'round {round}' if round else 'the newest round'}",
                expected=f"a round with a model ({', '.join(map(str, fitted)) or 'there is none yet'})",
                fix="ask() first; a round that nothing could be asked in has no model",
            )
        return unpack(content)

    def best(self, seen: pd.DataFrame) -> float | None:
        """The best value of the target, replicates with their mean; None where there is none, or none is looked for."""
        if seen.empty or self.goal == "learn":
            return None
        data = self.catalogue.settle(seen).data(seen)
        target = data.Y[data.fidelity == data.target]
        if not len(target):
            return None
        return float(target.max() if self.goal == "max" else target.min())
