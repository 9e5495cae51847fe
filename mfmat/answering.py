"""What became of pairs: told, failed, or withdrawn."""

from __future__ import annotations

from dataclasses import replace

import pandas as pd

from mfmat.answers import refuse
from mfmat.journal import Entry, Journal
from mfmat.records import Records
from mfmat.rounding import recognise
from mfmat.status import Told


def tell(journal: Journal, records: Records, table: pd.DataFrame, *, again: bool) -> Told:
    """Record what was measured; see `Campaign.tell`."""
    answers, empty = records.catalogue.read_answers(table, "told")
    with journal.writing() as log:
        ledger = records.ledger(log)
        answers, rounded = recognise(answers, records.catalogue, ledger)
        fresh = answers if again else ledger.news(answers)
        entries = ledger.attribute(fresh, records.tariff(ledger).bill)
        log.append(entries)
    human = sum(entry.facts["origin"] == "human" for entry in entries)
    return Told(len(fresh), len(answers) - len(fresh), len(empty), unasked=human, rounded=rounded)


def fail(journal: Journal, records: Records, rows: pd.DataFrame, why: str) -> int:
    """Record that measurements gave no value; see `Campaign.fail`."""
    entries = records.catalogue.read_pairs(rows, "failed")
    with journal.writing() as log:
        ledger = records.ledger(log)
        entries, _ = recognise(entries, records.catalogue, ledger)
        standings = {entry.pair: ledger.pairs.get(entry.pair) for entry in entries}
        told = [entry for entry in entries if (known := standings[entry.pair]) and known.counted]
        refuse(told, "that has a value", "correct(table), where the value is wrong")
        fresh = {e.pair: e for e in entries if not ((known := standings[e.pair]) and known.failure)}
        attributed = ledger.attribute(fresh.values(), records.tariff(ledger).bill)
        log.append([replace(entry, facts={**entry.facts, "why": why}) for entry in attributed])
    return len(fresh)


def withdraw(journal: Journal, records: Records, rows: pd.DataFrame, why: str) -> int:
    """Take asks back; see `Campaign.withdraw`."""
    named = records.catalogue.read_pairs(rows, "withdrawn")
    with journal.writing() as log:
        ledger = records.ledger(log)
        entries = {entry.pair: entry for entry in recognise(named, records.catalogue, ledger)[0]}
        gone = [e for pair, e in entries.items() if pair in ledger.pairs and ledger.pairs[pair].withdrawn]
        left = [entry for entry in entries.values() if entry not in gone]
        pending = ledger.pending
        refuse([e for e in left if e.pair not in pending], "that is not pending", "pending() lists those")
        log.append([Entry(e.kind, *e.pair, {"why": why, "origin": "human"}, pending[e.pair].round) for e in left])
    return len(left)
