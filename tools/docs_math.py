"""A hook of mkdocs: formulas become MathML, which browsers show without a script or a network."""

from __future__ import annotations

import html
import re
from typing import Any

from latex2mathml.converter import convert
from mkdocs.exceptions import PluginError

FORMULA = re.compile(r'<(span|div) class="arithmatex">\\([(\[])(.*?)\\[)\]]</\1>', re.DOTALL)
UNKNOWN = {re.compile(r"\\arg(?![a-zA-Z])"): r"\\mathrm{arg}\\,"}
"""What the converter does not know, and would show as it is written."""


def on_page_content(content: str, **_: Any) -> str:
    """The page with every formula converted."""
    return FORMULA.sub(_mathml, content)


def _mathml(found: re.Match[str]) -> str:
    formula = html.unescape(found[3])
    for command, spelled in UNKNOWN.items():
        formula = command.sub(spelled, formula)
    shown = convert(formula, display="block" if found[2] == "[" else "inline")
    if "\\" in html.unescape(shown.split("<annotation")[0]):
        raise PluginError(f"a formula with a command that is not shown: {found[3]}")
    return shown
