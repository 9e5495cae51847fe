"""Long work shows how far it is."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from typing import TypeVar

from tqdm import tqdm

PATIENCE = 2.0
"""Seconds before a bar appears."""
T = TypeVar("T")


def track(items: Iterable[T], title: str, total: int | None = None) -> Iterator[T]:
    """The items as they come, with a bar and the time left on stderr where that is a terminal and the work is long.

    >>> list(track([1, 2, 3], "counting"))
    [1, 2, 3]
    """
    hidden = None if hasattr(sys.stderr, "isatty") else True
    return iter(tqdm(items, title, total, leave=False, delay=PATIENCE, disable=hidden, dynamic_ncols=True))
