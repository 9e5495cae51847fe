"""Families of compounds by their anion: the coarsest map of chemistry that chemists share."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache

from mfmat.features.elements import load_elements

ANIONS = {
    "oxides": ("O",),
    "halides": ("F", "Cl", "Br", "I", "At"),
    "chalcogenides": ("S", "Se", "Te", "Po"),
    "pnictides": ("N", "P", "As", "Sb", "Bi"),
    "hydrides": ("H",),
}
OTHERS = "other compounds"
ELEMENTS = "elements"


def family(formula: Mapping[int, int]) -> str:
    """The family of a composition (numbers of atoms by atomic number): that of its most electronegative element.

    Pauling's scale, as in the element table; a single element has no anion.

    >>> family({38: 1, 22: 1, 8: 3}), family({13: 2, 29: 1}), family({14: 1})
    ('oxides', 'other compounds', 'elements')
    """
    if len(formula) == 1:
        return ELEMENTS
    negativity = load_elements().column("Electronegativity")
    anion = max(formula, key=lambda number: float(negativity[number - 1]))
    return _family_of().get(anion, OTHERS)


@cache
def _family_of() -> dict[int, str]:
    symbols = load_elements().symbols
    return {symbols.index(s) + 1: name for name, members in ANIONS.items() for s in members if s in symbols}
