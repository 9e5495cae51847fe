"""What a campaign asked, heard and paid, as tables."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from mfmat.amounts import add, by_unit
from mfmat.costs import cost_columns, exchange
from mfmat.durations import summarise
from mfmat.journal import EXTENDED, Event, Log
from mfmat.records import Records

SAID = ("value", "noise", "censored", "cost", "setup", "score", "probability", "chance", "reason", "origin", "why")
"""Facts of events that are columns of the history."""
SELDOM = ("setup", "chance")
"""Those of which a campaign without any needs no column: of set-ups, and of failures to learn from."""


def list_pending(records: Records, log: Log) -> pd.DataFrame:
    """What is asked and not yet told, the oldest first, as `ask` gave it."""
    events, schema = list(records.ledger(log).pending.values()), records.catalogue.schema
    paid = [add(by_unit(event.facts.get(name, {})) for name in ("cost", "setup")) for event in events]
    rates = exchange(schema.units, schema.rates, None)
    said = {name: [event.facts[name] for event in events] for name in ("score", "reason")}
    columns = {"score": said["score"], **cost_columns(paid, rates), "reason": said["reason"]}
    return records.catalogue.asked(events).assign(**columns)


def list_history(events: Sequence[Event]) -> pd.DataFrame:
    """Every event: one row each, in order; amounts of several units as `{"money": 400.0}`."""
    known = {name for event in events for name in event.facts}
    names = [name for name in SAID if name not in SELDOM or name in known]
    about = [(e.candidate, e.source) if e.kind != EXTENDED else (None, None) for e in events]
    rows = [
        [e.time, e.kind, e.round, *pair, *(e.facts.get(name) for name in names)]
        for e, pair in zip(events, about, strict=True)
    ]
    columns = ["time", "kind", "round", "candidate", "source", *names]
    return pd.DataFrame(rows, columns=columns, index=pd.Index([event.id for event in events], name="event"))


def list_costs(records: Records, log: Log) -> pd.DataFrame:
    """What measurements of each source took and, where prices are learned, what the next one is taken to cost."""
    ledger = records.ledger(log)
    table = summarise(records.durations(ledger))
    if records.settings.prices == "declared":
        return table
    tariff = records.tariff(ledger)
    return table.assign(
        factor=[tariff.factors[name] for name in table.index],
        price=tariff.costs.mean(axis=0)[:, 0],
    )
