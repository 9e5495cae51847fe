"""A formula column as numbers: statistics of element properties, element fractions, and what its ions say."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mfmat.cell_text import write_composition
from mfmat.cells import is_missing, make_problem
from mfmat.errors import Problem
from mfmat.features.crystals import holds_crystal, read_crystal
from mfmat.features.elements import load_elements
from mfmat.features.families import family
from mfmat.features.featurizer import Featurizer, read_blocks
from mfmat.features.formulas import read_formula, write_formula
from mfmat.features.ions import IONS, count_ions

STATISTICS = ("mean", "deviation", "min", "max", "range")
POOLED = ("ave", "sum", "var", "max", "min")
_DEFAULT = ("statistics", "fractions", "ions")
_ROWS_AT_ONCE = 1024


@dataclass(frozen=True)
class Composition(Featurizer, kind="composition"):
    """Chemical formulas as fraction-weighted statistics of element properties, element fractions, and ions.

    With x_i the atomic fraction of element i and p_i a property of it, the block `statistics` holds for
    every property

        mean = sum_i x_i p_i,   deviation = sum_i x_i |p_i - mean|,   min, max and range of p_i over the elements

    in the property's own unit (`mfmat.features.elements.read_sources`), the block `fractions` holds x_i
    for hydrogen to californium, and `ions` whether charges can balance, what electrons are left over and how ionic
    bonds are (`mfmat.features.ions.count_ions`): what tells a metal from a semiconductor. On request, `averages` holds
    the means and deviations alone, and `roots` the square roots of the x_i, in which traces stand out: alloys and
    dopants. Equal compositions give equal bits, however they are written.

    For comparison with published work, `descriptors` holds the 290 of XenonPy by its names: of each of its 58 element
    properties the `ave`, `sum`, `var`, `max` and `min`, with

        sum = sum_i n_i p_i,   var = sum_i x_i (p_i - ave)^2,   n_i the atoms of element i in the reduced formula.

    Names and statistics are XenonPy's; element values come from the packages that it read, and what an element lacks is
    filled in as in `load_elements`, not by XenonPy's imputation, so that numbers are close to its own, not equal.

    Args:
        column: the table's column of formulas, as chemists write them (`CuSO4·5H2O`, `Hg0.7Cd0.3Te`), of pymatgen
            `Composition` objects, or of crystals as `Structure` reads them.
        blocks: which of `statistics`, `fractions`, `ions` (these three unless told otherwise), `averages`, `roots` and
            `descriptors` to give; each is one view.

    Errors: SchemaError for an unknown block. A cell that is missing, no text, no formula, or names an
    element beyond californium is a `Problem`, and its row NaN.

    Sources: Ward et al., npj Comput. Mater. 2, 16028 (2016), doi:10.1038/npjcompumats.2016.28; Yamada et al., ACS Cent.
    Sci. 5, 1717 (2019), doi:10.1021/acscentsci.9b00804, for `descriptors`.

    >>> table = pd.DataFrame({"formula": ["GaAs", "AsGa", "gold"]})
    >>> X, problems = Composition("formula", blocks="fractions").encode(table)
    >>> X[:, [30, 32]]
    array([[0.5, 0.5], [0.5, 0.5], [nan, nan]])
    >>> print(problems[0])
    row 2 (number 2), column 'formula': cannot be read as a formula (gold is an invalid formula!), got 'gold'
    """

    column: str
    blocks: tuple[str, ...] = field(default=_DEFAULT, kw_only=True)

    def __post_init__(self) -> None:
        object.__setattr__(self, "blocks", read_blocks(self.blocks, _ENCODERS, _DEFAULT))

    @property
    def columns(self) -> tuple[str, ...]:
        """The formula column."""
        return (self.column,)

    @property
    def views(self) -> dict[str, tuple[str, ...]]:
        """One view a block, named after the column and the block."""
        elements = load_elements()
        statistics = tuple(f"{statistic} {name}" for statistic in STATISTICS for name in elements.properties)
        names = {
            "statistics": statistics,
            "averages": statistics[: 2 * len(elements.properties)],
            "fractions": tuple(f"fraction {symbol}" for symbol in elements.symbols),
            "ions": IONS,
            "roots": tuple(f"root fraction {symbol}" for symbol in elements.symbols),
            "descriptors": tuple(f"{name}:{p}" for name in POOLED for p in load_elements("xenonpy").properties),
        }
        return {f"{self.column}.{block}": names[block] for block in self.blocks}

    def encode(self, table: pd.DataFrame) -> tuple[NDArray[np.float64], list[Problem]]:
        """Numbers (n x d, one block after the other) and the formulas that cannot be read."""
        reading = read_column(table[self.column])
        X = np.full((len(table), sum(map(len, self.views.values()))), np.nan)
        for rows, slots in _slots(reading):
            X[rows] = np.hstack([_ENCODERS[block](slots) for block in self.blocks])
        return X, reading.problems

    def groups(self, table: pd.DataFrame) -> NDArray[np.object_]:
        """Each row's reduced formula, None where there is none.

        >>> Composition("formula").groups(pd.DataFrame({"formula": ["Hg0.7Cd0.3Te", "Cd3Hg7Te10", ""]}))
        array(['Cd3Hg7Te10', 'Cd3Hg7Te10', None], dtype=object)
        """
        return self._named(table, write_formula)

    def families(self, table: pd.DataFrame) -> NDArray[np.object_]:
        """Each row's family by its anion, None where there is none; see `family`.

        >>> Composition("formula").families(pd.DataFrame({"formula": ["SrTiO3", "NaCl", "GaAs", "NiTi"]}))
        array(['oxides', 'halides', 'pnictides', 'other compounds'], dtype=object)
        """
        return self._named(table, family)

    def _named(self, table: pd.DataFrame, name: Callable[[dict[int, int]], str]) -> NDArray[np.object_]:
        return read_column(table[self.column]).named(name)


class Reading(NamedTuple):
    """Distinct formulas as numbers of atoms; each row's position among them, -1 for a row with a problem."""

    formulas: list[dict[int, int]]
    codes: NDArray[np.intp]
    problems: list[Problem]

    def named(self, name: Callable[[dict[int, int]], str]) -> NDArray[np.object_]:
        """What `name` calls each row's formula, None for a row with a problem."""
        names = np.array([*map(name, self.formulas), None], dtype=object)
        found: NDArray[np.object_] = names[self.codes]
        return found


def read_column(column: pd.Series) -> Reading:
    """A column of formulas; each distinct text is read once, and what cannot be read is a problem."""
    formulas: list[dict[int, int]] = []
    known: dict[str, int | str] = {}
    codes = np.full(len(column), -1, dtype=np.intp)
    problems = []
    for position, cell in enumerate(column):
        found = _find(cell, known, formulas)
        if isinstance(found, int):
            codes[position] = found
        else:
            problems.append(make_problem(column, position, found))
    return Reading(formulas, codes, problems)


def _find(cell: object, known: dict[str, int | str], formulas: list[dict[int, int]]) -> int | str:
    """The cell's place among the formulas, or what is wrong with it."""
    if holds_crystal(cell):
        return _find_crystal(cell, formulas)
    formula = write_composition(cell)
    cell = cell if formula is None else formula
    if not isinstance(cell, str):
        # Readers of CSV files take sodium nitride, NaN, for a missing value.
        return "formula missing (write sodium nitride as Na1N1)" if is_missing(cell) else "not text"
    if cell not in known:
        try:
            formulas.append(read_formula(cell))
            known[cell] = len(formulas) - 1
        except ValueError as error:
            known[cell] = f"cannot be read as a formula ({error})" if cell.strip() else "empty formula"
    return known[cell]


def _find_crystal(cell: object, formulas: list[dict[int, int]]) -> int | str:
    try:
        formulas.append(read_crystal(cell).formula)
    except ValueError as error:
        return f"cannot be read as a crystal ({error})"
    return len(formulas) - 1


class Slots(NamedTuple):
    """Formulas, and as arrays: elements (place in the table) and fractions, rows x slots, and the atoms of each."""

    formulas: list[dict[int, int]]
    elements: NDArray[np.intp]
    fractions: NDArray[np.float64]
    atoms: NDArray[np.float64]


def _slots(reading: Reading) -> Iterator[tuple[NDArray[np.intp], Slots]]:
    """Rows in chunks, and what they hold.

    A slot that a formula does not need repeats its first element with the fraction 0, which changes no bit
    of a sum, minimum or maximum: so a row's numbers cannot depend on the rows beside it.
    """
    rows = np.flatnonzero(reading.codes >= 0)
    for start in range(0, len(rows), _ROWS_AT_ONCE):
        chunk = rows[start : start + _ROWS_AT_ONCE]
        formulas = [reading.formulas[code] for code in reading.codes[chunk]]
        width = max(map(len, formulas))
        elements = np.array([[*f, *([next(iter(f))] * (width - len(f)))] for f in formulas], dtype=np.intp) - 1
        fractions = np.array([[*_fractions(f), *([0.0] * (width - len(f)))] for f in formulas])
        atoms = np.array([float(sum(f.values())) for f in formulas])
        yield chunk, Slots(formulas, elements, fractions, atoms)


def _fractions(formula: dict[int, int]) -> list[float]:
    total = sum(formula.values())
    return [count / total for count in formula.values()]


def _summarise(
    slots: Slots, properties: NDArray[np.float64], power: int
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Mean, mean power of the distance to it, minimum and maximum of element properties."""
    # Slot by slot rather than as a matrix product, whose rounding depends on the shape of the batch.
    low = properties[slots.elements[:, 0]]
    high, mean, deviation = low.copy(), np.zeros_like(low), np.zeros_like(low)
    for element, fraction in zip(slots.elements.T, slots.fractions.T, strict=True):
        values = properties[element]
        mean += fraction[:, None] * values
        np.minimum(low, values, out=low)
        np.maximum(high, values, out=high)
    np.clip(mean, low, high, out=mean)  # rounding must not push a mean out of its bounds
    for element, fraction in zip(slots.elements.T, slots.fractions.T, strict=True):
        deviation += fraction[:, None] * np.abs(properties[element] - mean) ** power
    return mean, deviation, low, high


def _encode_statistics(slots: Slots) -> NDArray[np.float64]:
    mean, deviation, low, high = _summarise(slots, load_elements().matrix, 1)
    return np.hstack([mean, deviation, low, high, high - low])


def _encode_descriptors(slots: Slots) -> NDArray[np.float64]:
    mean, variance, low, high = _summarise(slots, load_elements("xenonpy").matrix, 2)
    return np.hstack([mean, slots.atoms[:, None] * mean, variance, high, low])


def _encode_fractions(slots: Slots) -> NDArray[np.float64]:
    block = np.zeros((len(slots.elements), len(load_elements().symbols)))
    rows = np.arange(len(slots.elements))
    for element, fraction in zip(slots.elements.T, slots.fractions.T, strict=True):
        block[rows, element] += fraction
    return block


def _encode_averages(slots: Slots) -> NDArray[np.float64]:
    return _encode_statistics(slots)[:, : 2 * len(load_elements().properties)]


def _encode_roots(slots: Slots) -> NDArray[np.float64]:
    return np.sqrt(_encode_fractions(slots))


def _encode_ions(slots: Slots) -> NDArray[np.float64]:
    return np.array([count_ions(formula) for formula in slots.formulas])


_ENCODERS = {
    "statistics": _encode_statistics,
    "averages": _encode_averages,
    "fractions": _encode_fractions,
    "roots": _encode_roots,
    "descriptors": _encode_descriptors,
    "ions": _encode_ions,
}
