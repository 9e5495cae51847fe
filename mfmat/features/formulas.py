"""Chemical formulas: from what chemists write to whole numbers of atoms, and back to one canonical text."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from fractions import Fraction
from functools import cache

from mfmat.features.elements import load_elements

LAST_ELEMENT = 98
_LARGEST_DENOMINATOR = 1_000_000
_DECIMALS = (1, 10, 100, 1000, 10_000, 100_000, 1_000_000)
_LARGEST_AMOUNT = 1e12
_DIGITS = str.maketrans("₀₁₂₃₄₅₆₇₈₉[]{}", "0123456789()()")
_ISOTOPE = re.compile(r"[DT](?![a-z])")

# What separates the parts of an adduct. A full stop may be a decimal point instead: it separates in front of a
# letter or bracket ("CaO.SiO2", where reading it so changes nothing) and in front of water ("CuSO4.5H2O"),
# unless it follows a lone 0 ("Li0.5H2O") or the number that a formula begins with ("2.5H2O").
_SEPARATOR = re.compile(r"\s*[·•⋅∙・*]\s*")
_STOP = re.compile(r"\.(?=\s*[A-Z(])|(?<!\D0)(?<!^\d)(?<!^\d\d)\.\s*(\d+\.?\d*)(?=\s*\(?H2O\)?\s*(?:$|[·•⋅∙・*.]))")
# Symbols, whole numbers and single brackets need no parser: 3 microseconds instead of 20.
_COUNT = r"(?:[1-9]\d{0,2})?"
_TERM = rf"[A-Z][a-z]?{_COUNT}"
_PLAIN = re.compile(rf"(?:{_TERM}|\((?:{_TERM})+\){_COUNT})+")
_PIECE = re.compile(r"([A-Z][a-z]?|[()])(\d*)")
_PART = re.compile(r"(\d*\.?\d*)\s*(.*)", re.DOTALL)


def normalise(text: str) -> str:
    """A formula as pymatgen reads it: brackets for adducts, ASCII digits, H for D and T.

    >>> normalise("CuSO₄·5H₂O")
    'CuSO4(H2O)5'
    >>> normalise("K4[Fe(CN)6].3D2O")
    'K4(Fe(CN)6)(H2O)3'
    """
    plain = _ISOTOPE.sub("H", text.translate(_DIGITS).strip())
    parts = _SEPARATOR.split(_STOP.sub(r"·\1", plain))
    if len(parts) == 1 and not plain[:1].isdigit():
        return plain
    return "".join(_bracket(part, first=position == 0) for position, part in enumerate(parts))


def _bracket(part: str, *, first: bool) -> str:
    found = _PART.fullmatch(part)
    times, formula = found.groups() if found else ("", part)
    if part.count("(") != part.count(")"):
        raise ValueError("brackets that do not close, or a dot inside them")
    return formula if first and not times else f"({formula}){times}"


def read_formula(text: str) -> dict[int, int]:
    """The smallest whole numbers of atoms that a formula stands for, by atomic number, in rising order.

    Blanks, square and curly brackets, subscripts, hydrate dots (also `.` and `*`) and factors in front
    are understood; deuterium and tritium count as hydrogen. Two formulas of one composition give
    equal numbers: the ratio of each amount to the smallest one is taken as the nearest fraction with a
    denominator of at most a million, which float noise does not move.

    Errors: ValueError for a text that is no formula, or names an element beyond californium.

    >>> read_formula("Hg0.7Cd0.3Te")
    {48: 3, 52: 10, 80: 7}
    """
    plain = _read_plain(text)
    return _read_any(text) if plain is None else plain


def _read_plain(text: str) -> dict[int, int] | None:
    """As `read_formula`, for symbols, whole numbers and single brackets; None for any other text."""
    if not _PLAIN.fullmatch(text):
        return None
    numbers = _atomic_numbers()
    counts: dict[int, int] = {}
    times = 1
    for piece, written in reversed(_PIECE.findall(text)):
        count = int(written) if written else 1
        if piece in "()":
            times = count
        elif piece in numbers:
            counts[numbers[piece]] = counts.get(numbers[piece], 0) + times * count
        else:
            return None
    divisor = math.gcd(*counts.values())
    return {number: counts[number] // divisor for number in sorted(counts)}


@cache
def _atomic_numbers() -> dict[str, int]:
    return {symbol: number for number, symbol in enumerate(load_elements().symbols, start=1)}


def _read_any(text: str) -> dict[int, int]:
    # A tenth of a second that only those who read formulas should wait for.
    from pymatgen.core.composition import Composition
    from pymatgen.core.periodic_table import Element

    amounts: dict[int, float] = {}
    for element, amount in Composition(normalise(text)).items():
        if not isinstance(element, Element) or element.Z > LAST_ELEMENT:
            raise ValueError(f"{element.symbol} is not one of the {LAST_ELEMENT} elements known here")
        amounts[element.Z] = float(amount)
    if not amounts:
        raise ValueError("no atoms")
    if not max(amounts.values()) < _LARGEST_AMOUNT:
        raise ValueError("an amount too large to be meant")
    return dict(sorted(reduce_amounts(amounts).items()))


def reduce_amounts(amounts: Mapping[int, float]) -> dict[int, int]:
    """The smallest whole numbers in the ratio of the given positive amounts.

    >>> reduce_amounts({3: 0.5, 8: 0.25})
    {3: 2, 8: 1}
    """
    for scale in _DECIMALS:
        scaled = [amount * scale for amount in amounts.values()]
        counts = [round(amount) for amount in scaled]
        if all(abs(a - n) <= 1e-12 * n for a, n in zip(scaled, counts, strict=True)):
            divisor = math.gcd(*counts)
            if min(counts) // divisor <= _LARGEST_DENOMINATOR:
                # The fractions below would come to the same; this is the quick way to them.
                return {key: count // divisor for key, count in zip(amounts, counts, strict=True)}
    least = min(amounts.values())
    ratios = {key: Fraction(a / least).limit_denominator(_LARGEST_DENOMINATOR) for key, a in amounts.items()}
    common = math.lcm(*(ratio.denominator for ratio in ratios.values()))
    return {key: int(ratio * common) for key, ratio in ratios.items()}


def write_formula(counts: Mapping[int, int]) -> str:
    """The canonical formula of whole numbers of atoms: rising electronegativity, as chemists order it.

    >>> write_formula(read_formula("O4PFeLi"))
    'LiFePO4'
    """
    table = load_elements()
    strength = table.column("Electronegativity")
    order = sorted(counts, key=lambda number: (strength[number - 1], number))
    return "".join(f"{table.symbols[z - 1]}{counts[z] if counts[z] > 1 else ''}" for z in order)
