"""What a campaign is and knows, read off its journal."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Literal, Self, get_args

import pandas as pd

from mfmat.acquisitions import Acquisition
from mfmat.amounts import Amount, check_amount, read_budget
from mfmat.answers import Catalogue
from mfmat.card import digest
from mfmat.costs import exchange
from mfmat.durations import DURATION, find_bad, read_duration
from mfmat.errors import SchemaError, TableError, check_choice
from mfmat.frames import read_frame, text_digest
from mfmat.journal import Entry, Event, Log
from mfmat.learner import Learner
from mfmat.ledger import Ledger, Pair
from mfmat.packing import unpack
from mfmat.schema import Schema
from mfmat.stopping import Rule
from mfmat.suggestion import Goal
from mfmat.surrogate import Surrogate
from mfmat.tariff import Tariff

Prices = Literal["declared", "learned"]


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What a campaign was created with, next to its pool and what was measured before.

    Attributes:
        recipe: what is fitted.
        budget: what all that is asked may cost, in each unit; None: without limit.
        goal: `"max"`, `"min"` or `"learn"`.
        seed: of whatever is drawn.
        temperature: of the softmax that pairs are drawn by; 0: always the best.
        acquisition: what an observation is worth; None: the usual one for the goal.
        stop: rules by which it ends.
        prices: `"declared"`, or `"learned"` from durations.

    Raises:
        SchemaError: an unknown goal, a budget or a temperature that is none, an acquisition that looks the other way or
            is about several values, a rule about the best candidates where none are looked for.
    """

    recipe: Learner
    budget: Amount | None
    goal: Goal
    seed: int
    temperature: float = 0.0
    acquisition: Acquisition | None = None
    stop: tuple[Rule, ...] = ()
    prices: Prices = "declared"

    def __post_init__(self) -> None:
        check_choice("goal", self.goal, get_args(Goal))
        check_choice("prices", self.prices, get_args(Prices))
        check_amount("budget", self.budget)
        check_amount("temperature", self.temperature)
        if self.acquisition is not None and self.acquisition.several:
            raise SchemaError(
                f"a campaign with {self.acquisition!r}",
                expected="an acquisition about one value: a campaign has one value column",
                fix="suggest([surrogate, ...], pool, goal=...) for each round",
            )
        upward = getattr(self.acquisition, "maximize", None)
        if upward is not None and upward != (self.goal == "max"):
            raise SchemaError(
                f"goal={self.goal!r} with {self.acquisition!r}",
                expected="an acquisition that looks for what the goal says",
                fix=f"goal={'max' if upward else 'min'!r}, or maximize={not upward}",
            )
        if self.goal == "learn" and (wrong := [rule for rule in self.stop if rule.ranks]):
            raise SchemaError(
                f"{wrong[0]!r} where the goal is to learn",
                expected="a rule that is not about the best candidates",
                fix="LowScore(threshold), or another goal",
            )

    def config(self) -> dict[str, Any]:
        """These settings as JSON."""
        values = {"recipe": self.recipe, "acquisition": self.acquisition}
        settled = {name: value and value.config() for name, value in values.items()}
        return {**vars(self), **settled, "stop": [rule.config() for rule in self.stop]}

    @classmethod
    def of(cls, config: Mapping[str, Any]) -> Self:
        """The settings that wrote this; what an older version did not write is as it was then."""
        acquisition = config.get("acquisition")
        return cls(
            recipe=Learner.of(config["recipe"]),
            budget=config["budget"],
            goal=config["goal"],
            seed=config["seed"],
            temperature=config.get("temperature", 0.0),
            acquisition=acquisition and Acquisition.of(acquisition),
            stop=tuple(Rule.of(rule) for rule in config.get("stop", [])),
            prices=config.get("prices", "declared"),
        )


@dataclass(frozen=True)
class Records:
    """A campaign without its events, and how these are read.

    Attributes:
        catalogue: the pool and the schema.
        start: what was measured before it began; None: nothing.
        settings: what it was created with, and extended by since.
        extended: the number of the newest extension; 0 where there is none.
    """

    catalogue: Catalogue
    start: pd.DataFrame | None = field(repr=False)
    settings: Settings
    extended: int = 0

    @classmethod
    def of(cls, log: Log) -> Records:
        """What a journal says that the campaign is by now."""
        head, extensions = log.head(), log.extensions()
        facts, pools = json.loads(head.facts), [read_frame(head.pool, head.pool_sha256)]
        for event in extensions:
            facts |= {name: event.facts[name] for name in ("schema", "budget") if name in event.facts}
            pools += [read_frame(event.facts["pool"], event.facts["pool_sha256"])] if "pool" in event.facts else []
        schema, settings = Schema.of(facts["schema"]), Settings.of(facts)
        start = read_frame(head.start, head.start_sha256) if head.start else None
        pool = pd.concat(pools) if extensions else pools[0]
        catalogue = Catalogue(compare(schema, settings.budget), pool)
        return cls(catalogue, start, settings, extensions[-1].id if extensions else 0)

    @cached_property
    def budget(self) -> dict[str, float] | None:
        """What may be spent, by unit."""
        return read_budget("budget", self.settings.budget, self.catalogue.schema.units)

    def ledger(self, log: Log) -> Ledger:
        """What all events add up to."""
        return Ledger(self.events(log), self.catalogue.schema.units)

    def events(self, log: Log, after: int = 0) -> list[Event]:
        """All events about pairs with a greater number, in order, each candidate as the pool has it by now."""
        found = log.events(after)
        # What was measured before it came into the pool is known by its label there.
        strange = {event.candidate: event for event in found if event.candidate not in self.catalogue.places}
        if not self.extended or not strange:
            return found
        labels = self.catalogue.recognise(self.catalogue.rows(strange.values()))
        names = dict(zip(strange, labels, strict=True))
        return [replace(event, candidate=names.get(event.candidate, event.candidate)) for event in found]

    def key(self, seen: pd.DataFrame) -> str:
        """What the model of a table is kept by: its digest, with the schema where that may have been another."""
        if not self.extended:
            return digest(seen)
        schema = json.dumps(self.catalogue.settle(seen).config(), sort_keys=True)
        return text_digest(f"{digest(seen)} {schema}")

    def tariff(self, ledger: Ledger) -> Tariff:
        """What every pair costs by now."""
        return self.declared.learn([*self._started(ledger), *ledger.readings, *ledger.failures])

    @property
    def declared(self) -> Tariff:
        """What every pair costs before anything is learned."""
        return Tariff(self.catalogue, self.settings.prices == "learned")

    def seen(self, ledger: Ledger) -> pd.DataFrame:
        """What counts of the start table and what was told, in one."""
        values, schema = ledger.readings, self.catalogue.schema
        told = self.catalogue.rows(values)
        told[schema.value] = pd.Series([event.facts["value"] for event in values], index=told.index)
        if schema.noise:
            noise = [event.facts.get("noise") for event in values]
            told[schema.noise] = pd.Series(noise, index=told.index, dtype=float)
        if schema.censored:
            signs = [event.facts.get("censored") for event in values]
            told[schema.censored] = pd.Series(signs, index=told.index, dtype=object)
        if schema.source is None:
            told = told.drop(columns=self.catalogue.source_column)
        start = self.left(ledger)
        if start is None or told.empty:
            return told if start is None else start.copy()
        return pd.concat([start, told])

    def left(self, ledger: Ledger) -> pd.DataFrame | None:
        """What counts of the start table: all but what was corrected since."""
        if self.start is None or not ledger.replaced:
            return self.start
        return self.start[[entry.pair not in ledger.replaced for entry in self._rows]]

    def probabilities(self, log: Log, ledger: Ledger) -> list[float]:
        """The probability that each row of `seen` was chosen with; NaN where no model chose it."""
        chosen = {each.id for each in log.rounds() if each.table_sha256}
        asks = [
            ledger.pairs[event.pair].answered if event.round or event.kind == "corrected" else None
            for event in ledger.readings
        ]
        told = [float(ask.facts["probability"]) if ask and ask.round in chosen else math.nan for ask in asks]
        start = self.left(ledger)
        return [math.nan] * (0 if start is None else len(start)) + told

    def durations(self, ledger: Ledger) -> dict[str, list[float]]:
        """How long measurements and failures took, by source, where that was told."""
        found: dict[str, list[float]] = {name: [] for name in self.catalogue.schema.sources}
        if DURATION in self.catalogue.pool:
            return found
        for event in (*self._started(ledger), *ledger.readings, *ledger.failures):
            if (duration := read_duration(event.facts.get("row", {}))) is not None:
                found[event.source].append(duration)
        return found

    def _started(self, ledger: Ledger) -> list[Entry]:
        """The measurements of the start table that say how long they took, where prices are learned from that."""
        start = self.left(ledger)
        if self.settings.prices == "declared" or start is None or DURATION not in start:
            return []
        told = start[start[DURATION].notna()]
        return [] if told.empty else self.catalogue.read_pairs(told, "told")

    @cached_property
    def begun(self) -> list[Entry]:
        """The values of the start table, as if they had been told."""
        return [] if self._plain is None else self.catalogue.read_answers(self._plain, "told")[0]

    @cached_property
    def _rows(self) -> list[Entry]:
        """The rows of the start table."""
        return [] if self._plain is None else self.catalogue.read_pairs(self._plain, "told")

    @property
    def _plain(self) -> pd.DataFrame | None:
        """The start table without durations, which need not be any where no prices are learned from them."""
        if self.start is None or self.start.empty:
            return None
        return self.start if DURATION in self.catalogue.pool else self.start.drop(columns=DURATION, errors="ignore")

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
        """The best value of the target, replicates with their mean, a limit where the value is
        better still; None where there is none, or none is looked for."""
        if seen.empty or self.settings.goal == "learn":
            return None
        data = self.catalogue.settle(seen).data(seen)
        return data.best[self.settings.goal]


def compare(schema: Schema, budget: Amount | None) -> Schema:
    """The schema of a campaign, in which prices in several units can be compared, by its budget.

    Raises:
        SchemaError: a budget that is none, or several units of which one has neither a rate nor a budget.
    """
    limits = read_budget("budget", budget, schema.units)
    return replace(schema, rates=exchange(schema.units, schema.rates, limits)) if len(schema.units) > 1 else schema


def check_prices(catalogue: Catalogue, prices: Prices, seen: pd.DataFrame | None) -> None:
    """Nothing, for prices that are all declared, or can be learned.

    Raises:
        SchemaError: a price that only durations can say, without one; several units, or a pool with a column
            `duration`, where prices are to be learned.
        TableError: durations in the start table that are none.
    """
    schema = catalogue.schema
    if prices == "declared":
        if catalogue.undeclared:
            raise SchemaError(
                f"costs[{catalogue.undeclared[0]!r}] = {DURATION!r} and a pool without that column",
                expected="the price of each candidate in it",
                fix='prices="learned" takes what measurements took',
            )
        return
    if len(schema.units) > 1:
        raise SchemaError(
            f'prices="learned" with prices in {", ".join(map(repr, schema.units))}',
            expected="prices in one unit, that of the durations",
            fix='prices="declared", or prices in one unit',
        )
    if DURATION in catalogue.pool:
        raise SchemaError(
            f'prices="learned" and a pool with the column {DURATION!r}',
            expected="a pool without it, for durations are read off what is told",
            fix="rename the column",
        )
    if seen is not None and (problems := find_bad(seen)):
        raise TableError.of(problems)
    for name in catalogue.undeclared:
        rows = seen if seen is None or not schema.source else seen[seen[schema.source].astype(str) == name]
        if rows is None or DURATION not in rows or not rows[DURATION].notna().any():
            raise SchemaError(
                f"costs[{name!r}] = {DURATION!r}, and no duration of {name!r} in the start table",
                expected=f"at least one row of it in seen with a {DURATION!r}",
                fix="declare a price: durations will move it",
            )
