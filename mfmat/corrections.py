"""Corrections: what was told of pairs, or known of them from the start, replaced, with the old values kept."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace

from mfmat.answers import refuse
from mfmat.journal import Entry, Journal
from mfmat.ledger import Ledger, Pair, Standing, reading
from mfmat.records import Records
from mfmat.rounding import recognise


def correct(journal: Journal, records: Records, answers: Sequence[Entry], why: str) -> int:
    """How many values were recorded in place of those that counted; see `Campaign.correct`.

    All answers of a pair replace together all that counted of it. Each says which of how many it is (`replicate`),
    so that it stands, in the course and in what is spent, for the measurement that it mends: the last for the newest.
    """
    with journal.writing() as log:
        ledger = records.ledger(log)
        given = _group(recognise(answers, records.catalogue, ledger)[0])
        begun = _group(records.begun)
        measured = {pair: _measured(ledger, pair) + len(begun.get(pair, [])) for pair in given}
        refuse([all_[0] for pair, all_ in given.items() if not measured[pair]], "that was never told", "tell(table)")
        more = [all_[-1] for pair, all_ in given.items() if len(all_) > measured[pair]]
        refuse(more, "with more values than it was measured", "tell(table, again=True) for further measurements")
        fresh = [
            _correction(records, answer, (i, len(all_)), pair in begun, why)
            for pair, all_ in given.items()
            if not _says(_counted(ledger, pair, begun), all_)
            for i, answer in enumerate(all_)
        ]
        log.append(fresh)
    return len(fresh)


def _measured(ledger: Ledger, pair: Pair) -> int:
    return sum(event.kind == "told" for event in ledger.pairs.get(pair, Standing()).told)


def _counted(ledger: Ledger, pair: Pair, begun: dict[Pair, list[Entry]]) -> list[Entry]:
    """What counts of a pair, of the start table and of what was told."""
    told = ledger.pairs.get(pair, Standing()).counted
    return [*told, *(begun.get(pair, []) if pair not in ledger.replaced else [])]


def _group(entries: Iterable[Entry]) -> dict[Pair, list[Entry]]:
    found: dict[Pair, list[Entry]] = {}
    for entry in entries:
        found.setdefault(entry.pair, []).append(entry)
    return found


def _says(counted: Sequence[Entry], answers: Sequence[Entry]) -> bool:
    """Whether this correction is what counts already."""
    return Counter(map(reading, counted)) == Counter(map(reading, answers))


def _correction(records: Records, answer: Entry, place: tuple[int, int], begun: bool, why: str) -> Entry:
    took = records.declared.took(answer)
    facts = {**answer.facts, "origin": "human", "why": why}
    facts |= {} if took is None else {"cost": took}
    facts |= {"replicate": list(place)} if place[1] > 1 else {}
    facts |= {"start": True} if begun else {}
    return replace(answer, facts=facts)
