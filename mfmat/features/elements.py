"""The table of elements: one number for each property and element, hydrogen to californium."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mfmat.csv_tables import read_csv

_FOLDER = Path(__file__).parent


@dataclass(frozen=True, eq=False)
class ElementTable:
    """Every element's properties, gaps filled and marked.

    Attributes:
        symbols: element symbols in the order of the atomic number; row i holds Z = i + 1.
        properties: property names.
        matrix: elements x properties, complete, read-only; units are those of `read_sources`.
        imputed: elements x properties, true where the source has no value.
    """

    symbols: tuple[str, ...]
    properties: tuple[str, ...]
    matrix: NDArray[np.float64]
    imputed: NDArray[np.bool_]

    def column(self, name: str) -> NDArray[np.float64]:
        """One property of all elements."""
        found: NDArray[np.float64] = self.matrix[:, self.properties.index(name)]
        return found


Table = Literal["usual", "xenonpy"]
_FILES = {
    "usual": ("elements.csv", "element_properties.csv"),
    "xenonpy": ("xenonpy_elements.csv", "xenonpy_properties.csv"),
}


@cache
def load_elements(table: Table = "usual") -> ElementTable:
    """The element table, 98 elements by 54 properties, with every gap filled; `"xenonpy"`: by the 58 of XenonPy.

    A missing value is the mean over the elements of the same group (column of the periodic table)
    that have one; where the whole group has none, it is the median over all elements.

    The 22 properties of Magpie's preset keep Magpie's names (Ward et al., npj Comput. Mater. 2, 16028
    (2016), doi:10.1038/npjcompumats.2016.28); `read_sources` names the source of each property. The 58 keep XenonPy's
    names (Yamada et al., ACS Cent. Sci. 5, 1717 (2019), doi:10.1021/acscentsci.9b00804) and are read from
    the packages that XenonPy read them from; its gaps were filled by multiple imputation, these as all others.

    >>> table = load_elements()
    >>> len(table.symbols), len(table.properties), len(load_elements("xenonpy").properties)
    (98, 54, 58)
    >>> float(table.column("Electronegativity")[table.symbols.index("O")])
    3.44
    """
    given, column = _read(_FILES[table][0]), _read("elements.csv")["Column"]
    filled = given.fillna(given.groupby(column).transform("mean")).fillna(given.median())
    matrix, imputed = filled.to_numpy(copy=True), given.isna().to_numpy(copy=True)
    matrix.setflags(write=False)
    imputed.setflags(write=False)
    return ElementTable(tuple(map(str, given.index)), tuple(map(str, given.columns)), matrix, imputed)


def read_sources(table: Table = "usual") -> pd.DataFrame:
    """Unit, meaning, source and DOI of every property of the element table, by its name.

    >>> read_sources().loc["GSbandgap", "unit"]
    'eV'
    """
    return pd.read_csv(_FOLDER / _FILES[table][1], index_col="name", keep_default_na=False)


def _read(name: str) -> pd.DataFrame:
    given = read_csv(_FOLDER / name, index_col="symbol")
    return given.astype(float)
