"""Which pairs a campaign asks for next, and why they are fewer than were wanted."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Collection, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, replace

import pandas as pd
import torch
from torch import Tensor

from mfmat.amounts import Limits, add, by_unit, say, simplest
from mfmat.answers import Catalogue
from mfmat.checkup import check_up, is_due
from mfmat.costs import convert, exchange
from mfmat.feasibility import chance_of_success
from mfmat.frames import plain
from mfmat.guard import find_turn
from mfmat.journal import Entry, Journal, Log, Round, now
from mfmat.ledger import Ledger, Pair
from mfmat.opening import choose_first, lay_out
from mfmat.packing import pack, unpack
from mfmat.pool import Pool
from mfmat.prospects import Prospects
from mfmat.purse import ROUNDING, Purse
from mfmat.records import Records
from mfmat.renewal import renew
from mfmat.stopping import Outlook
from mfmat.suggestion import suggest
from mfmat.surrogate import Surrogate
from mfmat.tariff import Tariff

LEAST = 0.01
"""Share of the target's variance at a candidate below which a source is not said to help there."""
VERDICT = "verdict"
"""Of the newest check-up, in the card of a round's model."""


@dataclass(frozen=True)
class View:
    """What one ask knows: the events that it saw, what was measured by then, what it costs, and the model of that."""

    ledger: Ledger
    tariff: Tariff
    seen: pd.DataFrame
    rounds: int
    surrogate: Surrogate | None = None
    new: bool = False
    chance: pd.Series | None = None
    pool: Pool | None = None
    outlook: Outlook | None = None

    @property
    def verdict(self) -> str:
        """Which sources do not help, by the newest check-up; empty where all do."""
        return self.surrogate.card.get(VERDICT, "") if self.surrogate else ""


@dataclass(frozen=True)
class Wish:
    """What somebody asks for; see `Campaign.ask`."""

    n: int = 1
    budget: Limits = None
    anyway: bool = False
    executor: Executor | None = None


@dataclass(frozen=True)
class Proposal:
    """Pairs to ask for, the seed that they were drawn with, and why they are fewer than were wanted, or why to stop."""

    table: pd.DataFrame
    entries: list[Entry]
    seed: int
    note: str


def ask(journal: Journal, records: Records, wish: Wish) -> pd.DataFrame:
    """The pairs most worth their price, recorded as asked; see `Campaign.ask`."""
    while (table := _ask_of(journal, records, wish)) is None:
        with journal.reading() as log:
            records = Records.of(log)
    return table


def _ask_of(journal: Journal, records: Records, wish: Wish) -> pd.DataFrame | None:
    """As `ask`; None where the campaign was extended meanwhile, and is another."""
    began = time.monotonic()
    view = look(journal, records, wish.budget)
    while True:
        saw = view.ledger.last
        proposal = propose(records, view, wish)
        if why := _end(records, view, proposal):
            proposal = _stopped(proposal, why, anyway=wish.anyway)
        with journal.writing() as log:
            if log.extended() > records.extended:
                return None
            view.ledger.add(records.events(log, after=saw))
            if not _clashes(proposal.entries, view.ledger, records.budget):
                round_ = _round(records, view, proposal, saw)
                number = len(log.rounds()) + 1
                log.add(replace(round_, id=number, seconds=time.monotonic() - began), _model(view))
                log.append([replace(entry, round=number) for entry in proposal.entries])
                return proposal.table


def look(journal: Journal, records: Records, budget: Limits) -> View:
    """What is known now, with a model of it where there is anything to choose."""
    with journal.reading() as log:
        ledger = records.ledger(log)
        seen, rounds = records.seen(ledger), log.rounds()
        stored = None if seen.empty else log.model(records.key(seen))
        fitted = any(each.table_sha256 for each in rounds)
        previous = records.model(log) if fitted and stored is None else None
        earlier = _earlier(log, records, seen)
    view = View(ledger, records.tariff(ledger), seen, len(rounds))
    if seen.empty or _shortage(records, view, [], _least(ledger.left(records.budget), budget)):
        return view
    catalogue = records.catalogue
    chance = learn_chance(catalogue, ledger, seen)
    surrogate = unpack(stored) if stored else _renew(records, seen, previous)
    pool = Pool.read(surrogate.schema, catalogue.priced)
    pool = replace(pool, table=catalogue.pool, costs=torch.from_numpy(view.tariff.costs[pool.rows]))
    view = replace(view, surrogate=surrogate, new=not stored, chance=chance, pool=pool)
    return replace(view, outlook=_outlook(records, view, earlier) if records.settings.stop else None)


def propose(records: Records, view: View, wish: Wish) -> Proposal:
    """At most as many pairs as are wanted that are neither measured nor asked nor failed, as `suggest` chooses them."""
    catalogue, ledger, seed = records.catalogue, view.ledger, records.settings.seed + view.rounds + 1
    n, limit = wish.n, _least(ledger.left(records.budget), wish.budget)
    if note := _shortage(records, view, [], limit):
        return Proposal(lay_out(view.tariff, [], ""), [], seed, f"0 of {n}: {note}")
    if view.surrogate is None or view.pool is None:
        table = choose_first(view.tariff, open_pairs(records, ledger), n, limit)
    else:
        table = _best(records, view, replace(wish, budget=limit), seed)
    entries = _entries(catalogue, table)
    warned = [_useless(table, catalogue.schema.sources[-1]), view.verdict]
    if len(table) < n:
        why = _shortage(records, view, entries, limit)
        warned.insert(0, f"{len(table)} of {n}: {why or 'no other pair tells anything about the target'}")
    return Proposal(table, entries, seed, "; ".join(filter(None, warned)))


def _best(records: Records, view: View, wish: Wish, seed: int) -> pd.DataFrame:
    """What `suggest` chooses, the target first where it is its turn."""
    assert view.surrogate is not None
    assert view.pool is not None
    catalogue, ledger, settings = records.catalogue, view.ledger, records.settings
    target = catalogue.schema.sources[-1]
    rates = exchange(catalogue.schema.units, catalogue.schema.rates, None)
    paid = [(source, convert(cost, rates)) for source, cost in ledger.paid]
    turn = find_turn(paid, target, view.tariff.usual(target))
    table = suggest(
        _closing(view.surrogate, view.pool, catalogue, ledger),
        view.pool,
        wish.n,
        goal=settings.acquisition or settings.goal,
        pending=catalogue.asked(ledger.pending.values()),
        seen=view.seen,
        budget=wish.budget,
        chance=view.chance,
        first=target if turn else None,
        temperature=settings.temperature,
        seed=seed,
        executor=wish.executor,
    )
    if turn and not table.empty and table[catalogue.source_column].iloc[0] == target:
        table["reason"] = [f"{turn}; {table['reason'].iloc[0]}", *table["reason"].iloc[1:]]
    return table


def _renew(records: Records, seen: pd.DataFrame, previous: Surrogate | None) -> Surrogate:
    """A model of what is seen, with the newest verdict on the sources, so that it is said until there is another."""
    schema, settings = records.catalogue.schema, records.settings
    surrogate = renew(seen, records.catalogue.settle(seen), settings.recipe, previous)
    before, now = (len(each.card["seen"][schema.sources[-1]]) if each else 0 for each in (previous, surrogate))
    known = previous.card.get(VERDICT, "") if previous else ""
    verdict = check_up(seen, schema, settings.seed) if is_due(before, now) else known
    return replace(surrogate, card={**surrogate.card, VERDICT: verdict})


def _useless(table: pd.DataFrame, target: str) -> str:
    """A warning of sources that have pairs left, none of which tells anything worth the name about the target."""
    tells = table.attrs.get("tells", {})
    names = [name for name, most in tells.items() if name != target and -math.inf < most < LEAST]
    said = f"explains even {LEAST:.0%} of what is uncertain about {target} there: see diagnose()"
    return f"no pair left of {', '.join(names)} {said}" if names else ""


def open_pairs(records: Records, ledger: Ledger) -> list[Pair]:
    """The pairs of the pool that may still be asked."""
    closed = {pair for pair, standing in ledger.pairs.items() if standing.closed} | records.measured
    sources = records.catalogue.schema.sources
    every = ((candidate, source) for candidate in records.catalogue.firsts for source in sources)
    return [pair for pair in every if pair not in closed]


def _shortage(records: Records, view: View, chosen: Collection[Entry], budget: Limits) -> str:
    """Why nothing can be asked beyond what is chosen; nothing, where something can."""
    schema, taken = records.catalogue.schema, {entry.pair for entry in chosen}
    left = [pair for pair in open_pairs(records, view.ledger) if pair not in taken]
    if not left:
        return "every pair of the pool is measured, asked or failed"
    purse, costs = Purse.of(schema, budget), torch.from_numpy(view.tariff.costs)
    for entry in chosen:
        paid = by_unit(entry.facts["cost"])
        amounts = torch.tensor([paid[unit] for unit in schema.units], dtype=torch.double)
        purse = purse.pay(schema.fidelity(entry.source), amounts)
    places = torch.tensor([records.catalogue.places[candidate] for candidate, _ in left])
    sources = torch.tensor([schema.fidelity(source) for _, source in left])
    if bool(purse.affords(costs)[places, sources].any()):
        return ""
    due = (costs + purse.setup)[places, sources]
    cheapest, may = (
        say(simplest(dict(zip(schema.units, amounts.tolist(), strict=True))))
        for amounts in (due[int(purse.price(due).argmin())], purse.left)
    )
    return f"the cheapest open pair costs {cheapest}, and {may} may be spent"


def _earlier(log: Log, records: Records, seen: pd.DataFrame) -> list[bytes]:
    """As many of the models before the one of this table as any rule looks at, the newest first."""
    memory = max((rule.memory for rule in records.settings.stop), default=0)
    if not memory or seen.empty:
        return []
    tables = dict.fromkeys(each.table_sha256 for each in reversed(log.rounds()) if each.table_sha256)
    tables.pop(records.key(seen), None)
    return [model for table in list(tables)[:memory] if (model := log.model(table))]


def _outlook(records: Records, view: View, earlier: Sequence[bytes]) -> Outlook:
    """What the rules may know, but for the score."""
    assert view.surrogate is not None
    assert view.pool is not None
    catalogue, surrogate = records.catalogue, view.surrogate
    target = surrogate.schema.sources[-1]
    known = _closing(surrogate, view.pool, catalogue, view.ledger).card["seen"][target]
    prospects = Prospects(surrogate.model, view.pool.X, surrogate.card["means"])
    maximize = records.settings.goal == "max"
    return Outlook(
        mean=prospects.mean,
        variance=prospects.variance,
        unknown=view.pool.first & ~torch.isin(view.pool.keys, torch.tensor(known, dtype=torch.long)),
        maximize=maximize,
        best=prospects.best(maximize) if surrogate.card["means"] else None,
        # Before a pool was extended, its categories may have had fewer levels.
        earlier=[
            _mean(model, catalogue.priced)
            for model in map(unpack, earlier)
            if not records.extended or model.schema.featurizers == surrogate.schema.featurizers
        ],
    )


def _mean(surrogate: Surrogate, pool: pd.DataFrame) -> Tensor:
    return Prospects(surrogate.model, Pool.read(surrogate.schema, pool).X, surrogate.card["means"]).mean


def _end(records: Records, view: View, proposal: Proposal) -> str:
    """Which rules say that the campaign has done its work, and why; empty where none does."""
    if view.outlook is None:
        return ""
    outlook = replace(view.outlook, score=proposal.table.attrs.get("highest", math.nan))
    return "; ".join(why for rule in records.settings.stop if (why := rule.explain(outlook)))


def _stopped(proposal: Proposal, why: str, *, anyway: bool) -> Proposal:
    """The proposal without its pairs, or with them and the reason not to ask."""
    if anyway:
        note = f"; {proposal.note}" if proposal.note else ""
        return replace(proposal, note=f"asked all the same, though {why}{note}")
    empty = proposal.table.iloc[:0]
    return replace(proposal, table=empty, entries=[], note=f"done: {why}; ask(anyway=True) goes on")


def learn_chance(catalogue: Catalogue, ledger: Ledger, seen: pd.DataFrame) -> pd.Series | None:
    """The probability of success over the pool; None where too little failed or worked."""
    worked, failed = catalogue.rows(ledger.readings), catalogue.rows(ledger.failures)
    if failed.empty:
        return None
    return chance_of_success(catalogue.settle(seen, failed), worked, failed, catalogue.pool)


def _clashes(entries: Sequence[Entry], ledger: Ledger, budget: Limits) -> bool:
    """Whether others have asked for one of these pairs, or spent the budget for them, meanwhile."""
    left = ledger.left(budget) or {}
    amounts = [entry.facts[name] for entry in entries for name in ("cost", "setup") if name in entry.facts]
    cost = add(map(by_unit, amounts), tuple(left))
    over = any(cost[unit] > each * ROUNDING for unit, each in left.items())
    return over or any(ledger.pairs[e.pair].closed for e in entries if e.pair in ledger.pairs)


def _entries(catalogue: Catalogue, table: pd.DataFrame) -> list[Entry]:
    names = table[catalogue.source_column].tolist()
    drawn = table.attrs.get("probability", [1.0] * len(table))
    works = [{} if x is None else {"chance": x} for x in table.attrs.get("chance", [None] * len(table))]
    paid = [
        {name: simplest(amount) for name, amount in each.items() if name == "cost" or any(amount.values())}
        for each in table.attrs["paid"]
    ]
    told = [amounts | chance for amounts, chance in zip(paid, works, strict=True)]
    cells = zip(table.index, names, told, table["score"], drawn, table["reason"], strict=True)
    return [
        Entry(
            "asked",
            json.dumps(plain(label)),
            source,
            {**facts, "score": score, "probability": float(probability), "reason": reason, "origin": "model"},
        )
        for label, source, facts, score, probability, reason in cells
    ]


def _round(records: Records, view: View, proposal: Proposal, saw: int) -> Round:
    return Round(
        id=0,
        time=now(),
        recipe=json.dumps(records.settings.recipe.config()),
        seed=proposal.seed,
        table_sha256=records.key(view.seen) if view.surrogate else None,
        last_event=saw,
        seconds=0.0,
        note=proposal.note,
    )


def _model(view: View) -> bytes | None:
    """The model, where it is not in the journal yet."""
    return pack(view.surrogate) if view.surrogate and view.new else None


def _least(*limits: Limits) -> Limits:
    known = [limit for limit in limits if limit is not None]
    units = dict.fromkeys(unit for limit in known for unit in limit)
    return {unit: min(limit[unit] for limit in known if unit in limit) for unit in units} if known else None


def _closing(surrogate: Surrogate, pool: Pool, catalogue: Catalogue, ledger: Ledger) -> Surrogate:
    """The surrogate, to which told and failed pairs are known: they are not suggested, and failed ones not believed."""
    keys = pool.keys.tolist()
    seen = {source: list(known) for source, known in surrogate.card["seen"].items()}
    for (candidate, source), standing in ledger.pairs.items():
        if standing.closed and not standing.pending and candidate in catalogue.places:
            seen[source].append(keys[catalogue.places[candidate]])
    return replace(surrogate, card={**surrogate.card, "seen": seen})
