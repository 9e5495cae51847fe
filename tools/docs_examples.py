"""Griffe extension for the site: examples in docstrings (`>>>`) become blocks of code.

The parser takes `>>>` for an example only under a heading "Examples:"; anywhere else Markdown would make quotations of
it. Indented blocks of formulas, which docstrings write without a fence, stay as they are.
"""

from __future__ import annotations

import re
from typing import Any

import griffe

EXAMPLE = re.compile(r"^(?:>>> .*\n?(?:(?!\s*$).*\n?)*\n*)+", re.MULTILINE)


def fence(text: str) -> str:
    """The docstring with every run of examples in a fence."""
    return EXAMPLE.sub(lambda found: f"```pycon\n{found[0].rstrip()}\n```\n\n", text).rstrip()


class Examples(griffe.Extension):
    """Fences the examples of everything that is documented."""

    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:
        """See griffe: called once for each module, class, function and attribute."""
        if obj.docstring is not None and ">>>" in obj.docstring.value:
            obj.docstring.value = fence(obj.docstring.value)
