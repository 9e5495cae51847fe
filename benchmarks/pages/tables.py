"""Numbers and tables as Markdown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any


def table(results: Sequence[Mapping[str, Any]] | Mapping[str, Any]) -> str:
    """Rows under the names of their columns; one mapping as a column of names and one of numbers."""
    if isinstance(results, Mapping):
        results = [{"what": name.replace("_", " "), "value": value} for name, value in results.items()]
    columns = list(dict.fromkeys(name for row in results for name in row))
    numeric = [all(is_number(row.get(name)) for row in results if row.get(name) is not None) for name in columns]
    lines = [
        cells(name.replace("_", " ") for name in columns),
        cells("---:" if right else "---" for right in numeric),
        *(cells(shown(row.get(name)) for name in columns) for row in results),
    ]
    return "\n".join(lines)


def cells(texts: Any) -> str:
    """One line of a table."""
    return "| " + " | ".join(text.replace("|", "\\|") for text in texts) + " |"


def is_number(value: Any) -> bool:
    """Whether a value is printed flush right."""
    return is_spread(value) or (isinstance(value, int | float) and not isinstance(value, bool))


def is_spread(value: Any) -> bool:
    """Whether a value is a mean with its spread."""
    return isinstance(value, Mapping) and set(value) == {"mean", "spread"}


def shown(value: Any) -> str:
    """A value as text: whole numbers in full, others with three figures, nothing for None."""
    if value is None or isinstance(value, bool):
        return {None: "", True: "yes", False: "no"}[value]
    if isinstance(value, int) or (isinstance(value, float) and value.is_integer() and abs(value) < 1e15):
        return f"{int(value):,}".replace(",", " ") if abs(value) >= 10_000 else str(int(value))
    if isinstance(value, float):
        return shown(round(value)) if abs(value) >= 1000 else f"{value:.3g}"
    if isinstance(value, Mapping):
        if is_spread(value):
            return f"{shown(value['mean'])} ± {shown(value['spread'])}"
        return ", ".join(f"{name.replace('_', ' ')} {shown(each)}" for name, each in value.items())
    return ", ".join(map(shown, value)) if isinstance(value, list) else str(value).replace("\n", " ")
