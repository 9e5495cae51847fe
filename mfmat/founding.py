"""What a campaign is founded on, and what it is extended by: its candidates, its sources and prices, its budget."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pandas as pd

from mfmat.amounts import Amount, say
from mfmat.answers import Catalogue
from mfmat.chunks import Chunks
from mfmat.errors import SchemaError, TableError
from mfmat.frames import text_digest, write_frame
from mfmat.journal import EXTENDED, Entry, Head, Journal, now
from mfmat.records import Records, Settings, check_prices, compare
from mfmat.schema import Schema
from mfmat.table_files import read_whole

OPEN = ("costs", "setup", "rates", "kinds", "target")
"""What an extension may say anew of a schema, for sources that it knew already within limits."""


def found(schema: Schema, settings: Settings, pool: pd.DataFrame | Chunks, seen: pd.DataFrame | None) -> Head:
    """What a new campaign is; see `Campaign.create`."""
    if schema.sources[-1] in (schema.kinds or {}):
        raise SchemaError(
            f"a campaign for the label {schema.sources[-1]!r}", expected="a target of values", fix="another target"
        )
    compare(schema, settings.budget)
    candidates = read_whole(pool)
    catalogue = Catalogue(schema, candidates)
    catalogue.check()
    if seen is not None and not seen.empty:
        schema.data(seen)
    check_prices(catalogue, settings.prices, seen)
    text = write_frame(candidates)
    start = None if seen is None or seen.empty else write_frame(seen)
    return Head(
        created=now(),
        facts=json.dumps({"schema": schema.config(), **settings.config()}, allow_nan=False),
        pool=text,
        pool_sha256=text_digest(text),
        start=start,
        start_sha256=start and text_digest(start),
    )


def extend(
    journal: Journal,
    schema: Schema | None = None,
    pool: pd.DataFrame | Chunks | None = None,
    budget: Amount | None = None,
    why: str = "",
) -> str:
    """Record what a campaign goes on with, and say what is new in it; see `Campaign.extend`."""
    rows = None if pool is None else read_whole(pool)
    while True:
        with journal.reading() as log:
            records = Records.of(log)
            seen = records.seen(records.ledger(log))
        # Candidates may take long to read: nobody is held up by that.
        said, facts = _plan(records, seen, schema, rows, budget)
        with journal.writing() as log:
            if log.extended() == records.extended:
                told = {"origin": "human", "why": f"{said}: {why}" if why else said}
                log.append([Entry(EXTENDED, "", "", {**facts, **told})] if said else [])
                return said


def _plan(
    records: Records, seen: pd.DataFrame, schema: Schema | None, rows: pd.DataFrame | None, budget: Amount | None
) -> tuple[str, dict[str, Any]]:
    """What is new, in words and as an event has it."""
    known, settings = records.catalogue, records.settings
    settings = settings if budget is None else replace(settings, budget=budget)
    wanted = known.schema if schema is None else _check_schema(schema, known.schema)
    fresh = known.pool.iloc[:0] if rows is None else _fresh(replace(known, schema=wanted), rows)
    candidates = known.pool if fresh.empty else pd.concat([known.pool, fresh])
    catalogue = Catalogue(compare(wanted, settings.budget), candidates)
    if schema is not None or not fresh.empty:
        catalogue.check()
    check_prices(catalogue, settings.prices, seen)
    facts: dict[str, Any] = {} if schema is None else {"schema": schema.config()}
    facts |= {} if budget is None else {"budget": budget}
    if not fresh.empty:
        text = write_frame(fresh)
        facts |= {"pool": text, "pool_sha256": text_digest(text)}
    return _say(records, catalogue, settings), facts


def _check_schema(schema: Schema, known: Schema) -> Schema:
    """The schema, where all that was told by the known one means by it what it meant.

    Raises:
        SchemaError: it reads another column, or reads one otherwise; a source is gone, or stands elsewhere in the order
            of trust; another target; prices in other units.
    """
    kept = {name: getattr(known, name) for name in OPEN}
    other = [name for name, value in vars(replace(schema, **kept)).items() if value != getattr(known, name)]
    old = [name for name in schema.sources if name in known.sources]
    kinds = {name: kind for name, kind in (schema.kinds or {}).items() if name in known.sources}
    if other:
        wrong, right = f"{other[0]} = {getattr(schema, other[0])!r}", f"{getattr(known, other[0])!r}, as it was"
    elif tuple(old) != known.sources or schema.sources[-1] != known.sources[-1]:
        wrong = f"the sources {', '.join(schema.sources)}"
        right = f"{', '.join(known.sources)} in that order, the target last, and others between or before them"
    elif kinds != (known.kinds or {}):
        wrong, right = f"kinds = {schema.kinds!r}", f"{known.kinds!r} for the sources that were there"
    elif schema.units != known.units:
        wrong, right = f"prices in {', '.join(schema.units) or 'plain numbers'}", f"the units {', '.join(known.units)}"
    else:
        return schema
    raise SchemaError(
        f"an extension with {wrong}",
        expected=right,
        fix="dataclasses.replace(campaign.schema, costs={...}), or a new campaign with seen=campaign.seen()",
    )


def _fresh(catalogue: Catalogue, rows: pd.DataFrame) -> pd.DataFrame:
    """The rows that the pool lacks, under labels of their own.

    Raises:
        TableError: a label that another candidate of the pool has.
    """
    Catalogue(catalogue.schema, rows).check()
    fresh = rows[[label not in catalogue.places for label in catalogue.recognise(rows)]]
    if _is_numbered(rows.index):
        first = 1 + max((label for label in catalogue.pool.index if isinstance(label, int)), default=-1)
        return fresh.set_axis(pd.RangeIndex(first, first + len(fresh)))
    if len(taken := fresh.index[fresh.index.isin(catalogue.pool.index)]):
        raise TableError(
            f"a candidate {taken[0]!r} that is another in the pool",
            expected="the same material under that label, or a label that the pool lacks",
            fix="rename it",
        )
    return fresh


def _is_numbered(index: pd.Index) -> bool:
    """Whether the labels are no names, but what a table gets that has none."""
    return index.name is None and index.equals(pd.RangeIndex(len(index)))


def _say(records: Records, catalogue: Catalogue, settings: Settings) -> str:
    """What is new; empty where nothing is."""
    before, schema = records.catalogue.schema, catalogue.schema
    more = len(catalogue.pool) - len(records.catalogue.pool)
    costs, known = schema.costs or {}, before.costs or {}
    changed = [name for name in schema.sources if name in known and costs[name] != known[name]]
    told = [f"{more} more candidate{'s' * (more != 1)}"] if more else []
    told += [f"the source {name} for {_price(costs[name])}" for name in schema.sources if name not in known]
    told += [f"{name} for {_price(costs[name])} instead of {_price(known[name])}" for name in changed]
    told += ["another price of setting up"] if schema.setup != before.setup else []
    told += ["other rates"] if schema.rates != before.rates and settings.budget == records.settings.budget else []
    if settings.budget is not None and settings.budget != records.settings.budget:
        told += [f"a budget of {say(settings.budget)}"]
    return "; ".join(told)


def _price(cost: Any) -> str:
    """A price in words; a text is the column that has it."""
    told = [(cost, "")] if not isinstance(cost, Mapping) else [(each, unit) for unit, each in cost.items()]
    return ", ".join((each if isinstance(each, str) else f"{each:g}") + f" {unit}".rstrip() for each, unit in told)
