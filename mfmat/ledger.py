"""What the events of a campaign add up to: which pairs are pending, told or failed, and what was spent."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from mfmat.amounts import PLAIN, Amount, add, by_unit
from mfmat.journal import Entry, Event

Pair = tuple[str, str]
"""A candidate and a source, as an `Entry` has them."""


@dataclass
class Standing:
    """Where one pair stands.

    Attributes:
        asked: asks that were not withdrawn.
        pending: the ask that nobody answered yet.
        failure: the newest failure.
        answered: the newest ask that somebody answered.
        withdrawn: whether the newest ask was taken back.
        bills: the events that were paid for, the newest last.
        told: every value that was ever told or corrected.
        counted: those that count: what was told since the newest correction, and that.
    """

    asked: int = 0
    pending: Event | None = None
    failure: Event | None = None
    answered: Event | None = None
    withdrawn: bool = False
    bills: list[int] = field(default_factory=list)
    told: list[Event] = field(default_factory=list)
    counted: list[Event] = field(default_factory=list)

    @property
    def closed(self) -> bool:
        """Whether the pair is not to be asked any more."""
        return bool(self.pending or self.failure or self.counted)


@dataclass(frozen=True)
class Setup:
    """What a batch of one source costs on top, and its asks that were not withdrawn."""

    amount: Mapping[str, float]
    asks: set[int] = field(default_factory=set)


@dataclass(frozen=True)
class Counts:
    """Of one source: asks that were not withdrawn, values told, pairs that failed, pairs asked and not yet answered."""

    asked: int = 0
    told: int = 0
    failed: int = 0
    pending: int = 0


class Ledger:
    """The state after a sequence of events; adding further ones is the same as starting with all of them.

    Args:
        events: in order.
        units: that amounts are in.

    >>> asked = Event(id=1, time="", kind="asked", candidate='"a"', source="exp", facts={"cost": 10.0}, round=1)
    >>> ledger = Ledger([asked])
    >>> list(ledger.pending), ledger.spent, ledger.left({"": 25.0})
    ([('"a"', 'exp')], {'': 10.0}, {'': 15.0})
    """

    def __init__(self, events: Iterable[Event], units: Sequence[str] = (PLAIN,)) -> None:
        self.pairs: dict[Pair, Standing] = {}
        self.replaced: set[Pair] = set()
        self.last = 0
        self._units = units
        self._paid: dict[int, tuple[str, Mapping[str, float]]] = {}
        self._setups: dict[tuple[int | None, str], Setup] = {}
        self.add(events)

    def add(self, events: Iterable[Event]) -> None:
        """Take in further events."""
        for event in events:
            self._take(event, self.pairs.setdefault(event.pair, Standing()))
            self.last = event.id

    @property
    def spent(self) -> dict[str, float]:
        """By unit: all that was asked and not withdrawn or that nobody had asked for, and the set-ups of batches.

        A batch has its set-up back only where all of it in that source is withdrawn.
        """
        setups = [setup.amount for setup in self._setups.values() if setup.asks]
        return add([*(cost for _, cost in self._paid.values()), *setups], self._units)

    def left(self, budget: Mapping[str, float] | None) -> dict[str, float] | None:
        """What may still be spent in each unit that has a budget; None: without limit."""
        spent = self.spent
        return None if budget is None else {unit: max(0.0, each - spent[unit]) for unit, each in budget.items()}

    @property
    def pending(self) -> dict[Pair, Event]:
        """The asks that nobody answered yet, the oldest first."""
        found = {pair: standing.pending for pair, standing in self.pairs.items() if standing.pending}
        return dict(sorted(found.items(), key=lambda item: item[1].id))

    @property
    def bills(self) -> dict[int, tuple[str, dict[str, float]]]:
        """Source and amounts of all that `spent` adds up, in order, by the event that was paid for.

        That is the ask or, where nobody asked, the answer. A set-up is paid with the first of its batch.
        """
        first = {min(setup.asks): setup.amount for setup in self._setups.values() if setup.asks}
        return {i: (source, add([cost, first.get(i, {})])) for i, (source, cost) in sorted(self._paid.items())}

    @property
    def paid(self) -> list[tuple[str, dict[str, float]]]:
        """Source and amounts of all that `spent` adds up, in order."""
        return list(self.bills.values())

    @property
    def readings(self) -> list[Event]:
        """Everything measured that counts, in the order in which it was told."""
        return sorted((e for standing in self.pairs.values() for e in standing.counted), key=lambda event: event.id)

    @property
    def failures(self) -> list[Event]:
        """The newest failure of each pair that failed and has no value, in order."""
        lone = [s.failure for s in self.pairs.values() if s.failure and not s.counted]
        return sorted(lone, key=lambda event: event.id)

    def counts(self, source: str) -> Counts:
        """What happened in one source."""
        mine = [standing for (_, name), standing in self.pairs.items() if name == source]
        return Counts(
            asked=sum(standing.asked for standing in mine),
            # A correction of what was known from the start is a value, but none that was told.
            told=sum(min(len(each.counted), sum(event.kind == "told" for event in each.told)) for each in mine),
            failed=sum(standing.failure is not None and not standing.counted for standing in mine),
            pending=sum(standing.pending is not None for standing in mine),
        )

    def news(self, answers: Iterable[Entry]) -> list[Entry]:
        """The answers whose value was not told of their pair before.

        Each value told before cancels one equal answer, so that a table told again adds nothing, a file that grows
        adds what is new in it, and two equal rows of one table are two measurements.
        """
        told = {pair: Counter(map(reading, standing.told)) for pair, standing in self.pairs.items()}
        fresh = []
        for answer in answers:
            known = told.get(answer.pair, Counter())
            if known[reading(answer)] > 0:
                known[reading(answer)] -= 1
            else:
                fresh.append(answer)
        return fresh

    def attribute(self, entries: Iterable[Entry], bill: Callable[[Entry, Event | None], Amount]) -> list[Entry]:
        """The entries with the round that asked for each pair, and what they cost by that ask.

        Those that nobody asked for are a human's choice.
        """
        waiting = self.pending
        found = []
        for entry in entries:
            ask = waiting.pop(entry.pair, None)
            facts = {**entry.facts, "cost": bill(entry, ask), "origin": "model" if ask else "human"}
            found.append(replace(entry, facts=facts, round=ask.round if ask else None))
        return found

    def _take(self, event: Event, standing: Standing) -> None:
        if event.kind == "asked":
            standing.pending, standing.withdrawn = event, False
            standing.asked += 1
            self._pay(event, standing)
            self._set_up(event)
        elif event.kind == "withdrawn":
            if standing.pending:
                self._paid.pop(standing.bills.pop(), None)
                self._setups.get(_batch(standing.pending), Setup({})).asks.discard(standing.pending.id)
                standing.asked -= 1
            standing.pending, standing.withdrawn = None, True
        elif event.kind == "corrected":
            self._correct(event, standing)
        else:
            self._pay(event, standing)
            standing.answered = standing.pending or standing.answered
            standing.pending, standing.withdrawn = None, False
            if event.kind == "failed":
                standing.failure = event
            else:
                standing.told.append(event)
                standing.counted.append(event)

    def _correct(self, event: Event, standing: Standing) -> None:
        place, count = replicate(event)
        back = count - place
        if "cost" in event.facts and len(standing.bills) >= back:
            self._paid[standing.bills[-back]] = event.source, by_unit(event.facts["cost"])
        if event.facts.get("start"):
            self.replaced.add(event.pair)
        standing.told.append(event)
        standing.counted = [*(standing.counted if place else []), event]

    def _pay(self, event: Event, standing: Standing) -> None:
        """What an event costs; an answer, in place of what its ask said."""
        if event.kind == "asked" or standing.pending is None:
            standing.bills.append(event.id)
        self._paid[standing.bills[-1]] = event.source, by_unit(event.facts["cost"])

    def _set_up(self, event: Event) -> None:
        if "setup" in event.facts:
            self._setups[_batch(event)] = Setup(by_unit(event.facts["setup"]))
        if setup := self._setups.get(_batch(event)):
            setup.asks.add(event.id)


def _batch(event: Event) -> tuple[int | None, str]:
    return event.round, event.source


def reading(entry: Entry) -> tuple[Any, ...]:
    """What an answer says was measured: the value, its known noise, and the side of it where it is a limit."""
    return tuple(entry.facts.get(name) for name in ("value", "noise", "censored"))


def replicate(correction: Event) -> tuple[int, int]:
    """Which of how many values this one is that replace together all that counted of their pair."""
    place, count = correction.facts.get("replicate", (0, 1))
    return place, count
