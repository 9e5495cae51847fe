"""Cells of a table that are neither numbers nor text, as text."""

from __future__ import annotations

import json


def write_cell(cell: object) -> str:
    """The text of a cell; of a structure or a mapping, the JSON that it can be read from.

    >>> write_cell({"species": ["Si"]}), write_cell(1 + 2j)
    ('{"species": ["Si"]}', '(1+2j)')
    """
    record = cell.as_dict() if hasattr(cell, "as_dict") else cell
    return json.dumps(record, default=_plain) if isinstance(record, dict) else str(cell)


def _plain(item: object) -> object:
    # Arrays and NumPy's scalars within a mapping.
    return item.tolist() if hasattr(item, "tolist") else str(item)
