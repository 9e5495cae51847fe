"""Entry: one line of a library's index."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

from mfmat.entry_facts import Facts

ENTRIES, ENDING = "entries", ".zip"


@dataclass(frozen=True)
class Entry:
    """One line of the index.

    Attributes:
        name: of the entry.
        sha256: of its file.
        size: of its file, in bytes.
        facts: what is known about it.
    """

    name: str
    sha256: str
    size: int
    facts: Facts

    @property
    def file(self) -> str:
        """Where it stands in the library."""
        return f"{ENTRIES}/{self.name}{ENDING}"

    def line(self) -> bytes:
        """As it stands in the index."""
        return json.dumps(asdict(self), allow_nan=False).encode()


def parse(index: bytes) -> tuple[dict[str, Entry], list[int]]:
    """The entries of an index by name, the latest line of each; and the numbers of lines that cannot be read."""
    numbered = [(i, line) for i, line in enumerate(index.split(b"\n"), 1) if line.strip()]
    try:
        # All at once is several times as fast as line by line.
        return _entries(json.loads(b"[" + b",".join(line for _, line in numbered) + b"]"), len(numbered)), []
    except (ValueError, KeyError, TypeError):
        return _one_by_one(numbered)


def _entries(lines: list[dict[str, Any]], count: int) -> dict[str, Entry]:
    # A line that holds two objects, or none, makes another number of them.
    if len(lines) != count:
        raise ValueError(f"{len(lines)} objects in {count} lines")
    return {line["name"]: Entry(**line) for line in lines}


def _one_by_one(numbered: Iterable[tuple[int, bytes]]) -> tuple[dict[str, Entry], list[int]]:
    found: dict[str, Entry] = {}
    lost = []
    for i, line in numbered:
        try:
            found |= _entries([json.loads(line)], 1)
        except (ValueError, KeyError, TypeError):
            lost.append(i)
    return found, lost
