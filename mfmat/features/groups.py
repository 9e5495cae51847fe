"""Groups of rows as numbers: a column's names, or the chemistry of a formula."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mfmat.cells import find_missing, is_missing, name_level
from mfmat.errors import Problem, SchemaError
from mfmat.features.composition import read_column
from mfmat.features.elements import load_elements
from mfmat.features.families import family
from mfmat.features.featurizer import Featurizer
from mfmat.identities import as_objects, hash_names

Level = Literal["anion", "system"]


@dataclass(frozen=True)
class GroupNames(Featurizer, ABC):
    """The contract of featurizers that give the name of each row's group as one number.

    Args:
        column: the table's column that is read.
    """

    column: str

    @property
    @abstractmethod
    def feature(self) -> str:
        """The name of the one view and of its one feature."""

    @abstractmethod
    def read(self, table: pd.DataFrame) -> tuple[NDArray[np.object_], list[Problem]]:
        """Each row's group (n), None where there is none, and what could not be read."""

    @property
    def columns(self) -> tuple[str, ...]:
        """The one column."""
        return (self.column,)

    @property
    def views(self) -> dict[str, tuple[str, ...]]:
        """One view of one feature."""
        return {self.feature: (self.feature,)}

    def names(self, table: pd.DataFrame) -> NDArray[np.object_]:
        """Each row's group by name (n), None where there is none; for `metrics.evaluate(by=...)`."""
        return self.read(table)[0]

    def encode(self, table: pd.DataFrame) -> tuple[NDArray[np.float64], list[Problem]]:
        """One number for each row (n x 1), equal for equal names, and what could not be read."""
        names, problems = self.read(table)
        return hash_names(names)[:, None], problems


@dataclass(frozen=True)
class Groups(GroupNames, kind="groups"):
    """A column's names as groups, each one number: metadata for a calibrator, never a scale to learn from.

    The number is a hash of the name's text, the same in every process, so that a name never seen before is
    just another group. Two names share one of the 2^52 numbers with a probability of 2 in 10^16. View and feature are
    called as the column.

    Args:
        column: one name a row: a laboratory, a phase, a batch; 2 and 2.0 are one name.

    Errors: missing cells are `Problem`s, and their rows NaN.

    >>> table = pd.DataFrame({"lab": ["Uppsala", "Kyoto", "Uppsala", None]})
    >>> X, problems = Groups("lab").encode(table)
    >>> X[:, 0] == X[0, 0]
    array([ True, False, True, False])
    >>> problems[0].position, problems[0].what
    (3, 'a missing value')
    """

    @property
    def feature(self) -> str:
        """The column's own name."""
        return self.column

    def read(self, table: pd.DataFrame) -> tuple[NDArray[np.object_], list[Problem]]:
        """Each row's text (n), None where the cell is empty, and the empty cells."""
        names = [None if is_missing(cell) else name_level(cell) for cell in table[self.column]]
        return as_objects(names), find_missing(table[self.column])


@dataclass(frozen=True)
class ChemicalGroups(GroupNames, kind="chemical_groups"):
    """Groups of formulas by their chemistry, each one number: metadata for a calibrator.

    The number is a hash of the group's name, as in `Groups`. View and feature are called "formula.anion", after
    the column and the level.

    Args:
        column: the table's column of formulas, as `Composition` reads them.
        level: `"anion"`: oxides, halides, chalcogenides, ... by the most electronegative element (see
            `mfmat.features.families.family`); `"system"`: the chemical system, such as As-Ga.

    Errors: SchemaError for an unknown level. What `Composition` cannot read is a `Problem`, and its row NaN.

    >>> table = pd.DataFrame({"formula": ["GaAs", "SrTiO3", "Al2O3", "gold"]})
    >>> ChemicalGroups("formula", level="system").names(table)
    array(['As-Ga', 'O-Sr-Ti', 'Al-O', None], dtype=object)
    >>> X, problems = ChemicalGroups("formula").encode(table)
    >>> X[:, 0] == X[1, 0]
    array([False, True, True, False])
    """

    column: str = "formula"
    level: Level = field(default="anion", kw_only=True)

    def __post_init__(self) -> None:
        if self.level not in tuple(_NAMES):
            raise SchemaError(
                f"level={self.level!r}", expected=f"one of {', '.join(_NAMES)}", fix="level='anion', or leave it out"
            )

    @property
    def feature(self) -> str:
        """The column and the level: "formula.anion"."""
        return f"{self.column}.{self.level}"

    def read(self, table: pd.DataFrame) -> tuple[NDArray[np.object_], list[Problem]]:
        """Each row's group (n), None where the formula cannot be read, and those formulas."""
        reading = read_column(table[self.column])
        return reading.named(_NAMES[self.level]), reading.problems


def chemical_system(formula: Mapping[int, int]) -> str:
    """The elements of a composition (numbers of atoms by atomic number), in alphabetical order.

    >>> chemical_system({31: 1, 33: 1})
    'As-Ga'
    """
    symbols = load_elements().symbols
    return "-".join(sorted(symbols[number - 1] for number in formula))


_NAMES = {"anion": family, "system": chemical_system}
