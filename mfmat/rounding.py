"""Rows whose numbers a spreadsheet rounded: which of the asked pairs each of them is."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from decimal import Decimal
from typing import Any

from mfmat.answers import Catalogue
from mfmat.errors import TableError
from mfmat.journal import Entry
from mfmat.ledger import Ledger

DIGITS = 3
"""Significant digits that a number must have been rounded to, at least, to be known again."""
FAR = 10.0 ** (1 - DIGITS)
"""Share of a number that no such rounding moves it by."""


def recognise(entries: Sequence[Entry], catalogue: Catalogue, ledger: Ledger) -> tuple[list[Entry], int]:
    """The entries, and how many of them are pairs that were asked for, known again by rounded numbers.

    That is a row that equals no material which is known, and equals exactly one that was asked for in its source, once
    its numbers are rounded as the row's are (`is_rounded`). Named materials are known by their names alone.

    Raises:
        TableError: a row that may be several of those.
    """
    if catalogue.schema.material is not None:
        return list(entries), 0
    strange = [each for each in entries if each.candidate not in catalogue.places and each.pair not in ledger.pairs]
    asked: dict[str, list[str]] = {}
    for (candidate, source), standing in ledger.pairs.items():
        if (standing.pending or standing.answered) and candidate in catalogue.places:
            asked.setdefault(source, []).append(candidate)
    found = {id(entry): _find(entry, asked.get(entry.source, []), catalogue) for entry in strange}
    known = [replace(each, candidate=found.get(id(each)) or each.candidate) for each in entries]
    return known, sum(candidate is not None for candidate in found.values())


def is_rounded(shown: Any, exact: Any) -> bool:
    """Whether one number is the other, rounded to the digits that it shows, and to three at least.

    >>> is_rounded(0.333, 1 / 3), is_rounded(0.33, 1 / 3), is_rounded(0.3334, 1 / 3), is_rounded(0.5, 0.4999)
    (True, False, False, True)
    """
    numbers = [isinstance(each, int | float) and not isinstance(each, bool) for each in (shown, exact)]
    if shown == exact or not all(numbers) or not math.isfinite(shown) or not exact:
        return bool(shown == exact)
    # Of many asked pairs nearly all are far away, and that is seen at once.
    if abs(shown - exact) > FAR * abs(exact):
        return False
    digits = max(DIGITS, len(Decimal(repr(float(shown))).normalize().as_tuple().digits))
    unit = 10.0 ** (math.floor(math.log10(abs(exact))) + 1 - digits)
    return bool(abs(shown - exact) <= unit / 2 * (1 + 1e-9))


def _find(entry: Entry, asked: Sequence[str], catalogue: Catalogue) -> str | None:
    """The one candidate, of those asked for in its source, that the row of an entry is."""
    row, columns = entry.facts["row"], catalogue.columns
    alike = [name for name in asked if _alike(row, catalogue.cells(name), columns)]
    if len(alike) > 1:
        raise TableError(
            f"the row {entry.facts['label']!r}, whose rounded numbers are those of {' and of '.join(alike[:2])}",
            expected="rows of an asked table with their inputs as they were; nothing of the table was recorded",
            fix="copy the inputs in full, or name materials: Schema(material=...)",
        )
    return alike[0] if alike else None


def _alike(row: Mapping[str, Any], cells: Mapping[Any, Any], columns: Sequence[str]) -> bool:
    return all(is_rounded(row.get(str(column)), cells[column]) for column in columns)
