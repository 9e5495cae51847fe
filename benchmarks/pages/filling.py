"""Pages of words with tables in between: the words are written by hand, each table by a function that it names."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

Blocks = Mapping[str, Callable[[], str]]
"""What stands between `<!-- measured: name -->` and the next `<!-- end -->`, by name."""
PLACE = re.compile(r"(<!-- measured: (\S+) -->\n).*?(<!-- end -->)", re.DOTALL)


def fill(text: str, blocks: Blocks) -> str:
    """The page with every block as its function has it now.

    Raises:
        KeyError: a place that no function fills, or a function without a place.
    """
    places = [found[2] for found in PLACE.finditer(text)]
    if sorted(places) != sorted(blocks):
        raise KeyError(f"places {sorted(places)}, blocks {sorted(blocks)}: each block needs one place")
    return PLACE.sub(lambda found: f"{found[1]}\n{blocks[found[2]]().strip()}\n\n{found[3]}", text)
