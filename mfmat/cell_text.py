"""Cells of a table that are neither numbers nor text, as text."""

from __future__ import annotations

import json
from typing import Any, TypeGuard


def write_cell(cell: object) -> str:
    """The text of a cell; of a composition its formula, of a structure or a mapping the JSON that it is read from.

    >>> write_cell({"species": ["Si"]}), write_cell(1 + 2j)
    ('{"species": ["Si"]}', '(1+2j)')
    """
    formula = write_composition(cell)
    if formula is not None:
        return formula
    record = cell.as_dict() if hasattr(cell, "as_dict") else cell
    return json.dumps(record, default=_plain) if isinstance(record, dict) else str(cell)


def write_composition(cell: object) -> str | None:
    """The formula of a pymatgen `Composition`; None for any other cell.

    >>> from pymatgen.core import Composition
    >>> write_composition(Composition({"Hg": 0.7, "Cd": 0.3, "Te": 1})), write_composition("HgTe")
    ('Hg0.7Cd0.3Te1', None)
    """
    if not is_composition(cell):
        return None
    amounts = {symbol: f"{amount:.12f}" for symbol, amount in cell.get_el_amt_dict().items()}
    return "".join(f"{symbol}{amount.rstrip('0').rstrip('.')}" for symbol, amount in amounts.items())


def is_composition(cell: object) -> TypeGuard[Any]:
    """Whether a cell is a pymatgen `Composition`, told without importing pymatgen."""
    return hasattr(cell, "get_el_amt_dict")


def _plain(item: object) -> object:
    # Arrays and NumPy's scalars within a mapping.
    return item.tolist() if hasattr(item, "tolist") else str(item)
