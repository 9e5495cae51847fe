"""A cell of a table read as a crystal, however it is written."""

from __future__ import annotations

import hashlib
import json
import warnings
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mfmat.cell_text import is_composition, write_composition
from mfmat.cells import is_missing, make_problem
from mfmat.errors import Problem
from mfmat.features.elements import load_elements
from mfmat.features.formulas import read_formula, write_formula

DIGITS = 6
"""Decimals of lattice vectors (Å) and fractional coordinates: crystals that agree in them are one crystal."""
SUFFIXES = (".cif", ".json", ".poscar", ".vasp")
"""Of text that is the path of a structure's file rather than a formula."""
_REMEMBERED = 8192
_DUMMIES = {"D": "H", "T": "H"}


@dataclass(frozen=True, eq=False)
class Crystal:
    """An ordered crystal: where its atoms are, and which.

    The first lattice vector lies along x and the second in the plane of x and y, whatever the orientation that came,
    and every number has `DIGITS` decimals: so a crystal read from a CIF file is the one read from JSON. Mirror images
    are one crystal.

    Attributes:
        lattice: 3 x 3, one vector a row, in Å.
        numbers: n, the atomic numbers.
        positions: n x 3, fractional, from 0 to below 1.
    """

    lattice: NDArray[np.float64]
    numbers: NDArray[np.int64]
    positions: NDArray[np.float64]

    @classmethod
    def of(cls, lattice: Any, numbers: Any, positions: Any) -> Crystal:
        """The crystal with these lattice vectors (Å), atomic numbers and fractional coordinates.

        Raises:
            ValueError: no atoms, numbers that are not finite or fit not together, a flat cell, an unknown element.

        >>> Crystal.of(np.eye(3) * 4.2, [11, 17], [[0, 0, 0], [0.5, 0.5, 1.5]]).formula
        {11: 1, 17: 1}
        """
        vectors, places = np.asarray(lattice, dtype=float), np.asarray(positions, dtype=float)
        elements = np.asarray(numbers, dtype=np.int64)
        if vectors.shape != (3, 3) or not len(elements) or places.shape != (len(elements), 3):
            raise ValueError(f"{len(elements)} atoms, a lattice of {vectors.shape} and coordinates of {places.shape}")
        if not np.isfinite(vectors).all() or not np.isfinite(places).all():
            raise ValueError("a lattice or coordinates that are not finite")
        if elements.min() < 1 or elements.max() > len(load_elements().symbols):
            raise ValueError("an element beyond californium")
        if abs(np.linalg.det(vectors)) < 1e-3:
            raise ValueError("a cell without a volume")
        turned = _on_grid(np.linalg.cholesky(vectors @ vectors.T))
        return cls(turned, elements, _on_grid(_on_grid(places % 1.0) % 1.0))

    @cached_property
    def identity(self) -> str:
        """The same for equal crystals, in every process; the order of the atoms counts."""
        whole = [np.rint(part * 10**DIGITS).astype("<i8").tobytes() for part in (self.lattice, self.positions)]
        return hashlib.blake2b(b"".join([self.numbers.astype("<i8").tobytes(), *whole]), digest_size=16).hexdigest()

    @property
    def formula(self) -> dict[int, int]:
        """How many atoms there are of each atomic number, in lowest terms."""
        counts = Counter(self.numbers.tolist())
        divisor = int(np.gcd.reduce(list(counts.values())))
        return {number: count // divisor for number, count in sorted(counts.items())}

    @property
    def volume(self) -> float:
        """Of the cell, in Å^3."""
        return float(abs(np.linalg.det(self.lattice)))

    def as_dict(self) -> dict[str, Any]:
        """Its `lattice`, `species` and `frac_coords`."""
        symbols = load_elements().symbols
        species = [symbols[number - 1] for number in self.numbers]
        return {"lattice": self.lattice.tolist(), "species": species, "frac_coords": self.positions.tolist()}

    def structure(self) -> Any:
        """The pymatgen `Structure`."""
        from pymatgen.core import Structure

        return Structure(self.lattice, self.numbers.tolist(), self.positions)


def read_crystal(cell: object) -> Crystal:
    """The crystal in one cell.

    Args:
        cell: a pymatgen `Structure`; its dict, or one of `lattice`, `species` and `frac_coords`; JSON text of one of
            them; the text of a CIF or POSCAR file; or the path of a file with one of these.

    Raises:
        ValueError: it cannot be read; the message says why.

    >>> salt = {"lattice": np.eye(3) * 4.2, "species": ["Na", "Cl"], "frac_coords": [[0, 0, 0], [0.5, 0.5, 0.5]]}
    >>> read_crystal(salt).identity == read_crystal(write_crystal(salt)).identity
    True
    """
    if isinstance(cell, Crystal):
        return cell
    if isinstance(cell, str):
        return _read_text(cell)
    if isinstance(cell, Path):
        return _read_file(cell)
    if isinstance(cell, Mapping):
        return _of_mapping(cell)
    if hasattr(cell, "frac_coords") and hasattr(cell, "is_ordered"):
        return _of_structure(cell)
    raise ValueError("structure missing" if is_missing(cell) else "no structure")


def write_crystal(cell: object) -> str:
    """The JSON text of the crystal in a cell: its `lattice`, `species` and `frac_coords`.

    Raises:
        ValueError: it cannot be read.
    """
    return json.dumps(read_crystal(cell).as_dict())


def holds_crystal(cell: object) -> bool:
    """Whether a cell is meant as a crystal rather than as a formula.

    >>> holds_crystal("NaCl"), holds_crystal('{"lattice": [], "species": [], "frac_coords": []}')
    (False, True)
    """
    if isinstance(cell, str):
        return _is_content(cell) or cell.lower().endswith(SUFFIXES)
    if is_composition(cell):
        return False
    return isinstance(cell, Crystal | Mapping | Path) or (hasattr(cell, "frac_coords") and hasattr(cell, "is_ordered"))


def show_cell(cell: object) -> str:
    """A cell as people are shown it: of a crystal the reduced formula, of anything else its text.

    >>> show_cell({"lattice": np.eye(3) * 3, "species": ["Fe"], "frac_coords": [[0, 0, 0]]}), show_cell("no crystal")
    ('Fe', 'no crystal')
    """
    try:
        if (formula := write_composition(cell)) is not None:
            return write_formula(read_formula(formula))
        return write_formula(read_crystal(cell).formula) if holds_crystal(cell) else str(cell)
    except ValueError:
        return str(cell)


class CrystalReading(NamedTuple):
    """The crystals of a column; each row's position among them, -1 for a row with a problem."""

    crystals: list[Crystal]
    codes: NDArray[np.intp]
    problems: list[Problem]


def read_crystals(column: pd.Series) -> CrystalReading:
    """A column of crystals; equal ones are one, and what cannot be read is a problem."""
    crystals: list[Crystal] = []
    known: dict[str, int] = {}
    codes = np.full(len(column), -1, dtype=np.intp)
    problems = []
    for position, cell in enumerate(column):
        try:
            crystal = read_crystal(cell)
        except ValueError as error:
            problems.append(make_problem(column, position, f"cannot be read as a crystal ({error})"))
            continue
        code = known.setdefault(crystal.identity, len(crystals))
        if code == len(crystals):
            crystals.append(crystal)
        codes[position] = code
    return CrystalReading(crystals, codes, problems)


def _on_grid(numbers: NDArray[np.float64]) -> NDArray[np.float64]:
    # Adding 0.0 turns -0.0 into 0.0.
    return np.round(numbers, DIGITS) + 0.0


def _read_text(text: str) -> Crystal:
    if not text.strip():
        raise ValueError("empty text")
    return _of_content(text) if _is_content(text) else _read_file(Path(text.strip()))


def _is_content(text: str) -> bool:
    return text.lstrip().startswith("{") or "\n" in text.strip()


def _read_file(path: Path) -> Crystal:
    try:
        text = path.expanduser().read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError, RuntimeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ValueError(f"neither the text of a structure nor a file that can be read: {reason}") from None
    if not _is_content(text):
        raise ValueError("a file without a structure")
    return _of_content(text)


@lru_cache(maxsize=_REMEMBERED)
def _of_content(text: str) -> Crystal:
    if not text.lstrip().startswith("{"):
        return _parse(text, "cif" if "_cell_length_a" in text else "poscar")
    try:
        found: Mapping[str, Any] = json.loads(text)
    except json.JSONDecodeError as error:
        raise ValueError(f"no JSON: {error}") from None
    return _of_mapping(found)


def _parse(text: str, form: Literal["cif", "poscar"]) -> Crystal:
    from pymatgen.core import Structure

    try:
        # That coordinates of a CIF file were rounded to ideal ones is said for every other file.
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found = Structure.from_str(text, fmt=form)
    except Exception as error:
        # Parsers of files raise whatever a broken line leads to.
        raise ValueError(f"as {form.upper()}: {error or type(error).__name__}") from None
    return _of_structure(found)


def _of_mapping(cell: Mapping[str, Any]) -> Crystal:
    from pymatgen.core import Structure

    try:
        if "sites" in cell:
            return _of_structure(Structure.from_dict(dict(cell)))
        return Crystal.of(cell["lattice"], _numbers(cell["species"]), cell["frac_coords"])
    except KeyError as error:
        raise ValueError(f"a structure's dict without {error}") from None
    except (TypeError, AttributeError) as error:
        raise ValueError(f"a structure's dict that is not one: {error}") from None


def _of_structure(structure: Any) -> Crystal:
    if not structure.is_ordered:
        raise ValueError("sites that several elements share: order them first")
    # Oxidation states and magnetic moments are no part of what is recognised.
    numbers = [getattr(site.specie, "Z", 0) for site in structure]
    return Crystal.of(structure.lattice.matrix, numbers, structure.frac_coords)


def _numbers(species: Sequence[str]) -> list[int]:
    known = {symbol: place + 1 for place, symbol in enumerate(load_elements().symbols)}
    symbols = [_DUMMIES.get(symbol, symbol) for symbol in species]
    if unknown := [symbol for symbol in symbols if symbol not in known]:
        raise ValueError(f"no element {unknown[0]!r}")
    return [known[symbol] for symbol in symbols]
